"""Leases: who holds one, and how a holder finds out that it is lost; the same for everything that workers lease."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import models

from accounts import outbox
from accounts.leases import Lease, LostLease, withdraw
from accounts.models import OutgoingMessage
from consent import ledger
from consent.delivery import endpoints
from consent.imports import reading
from consent.jobs import engine
from consent.models import BulkJob, WebhookAttempt, WebhookEndpoint
from tests.support.concurrency import race, together
from tests.support.factories import (
    BulkJobFactory,
    OutgoingMessageFactory,
    WebhookEndpointFactory,
    WebhookTestFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)
PAST = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True)
class Held:
    """A table of work: how a row of it is made, and how a worker takes the next one."""

    lease: Lease
    make: Callable[[], models.Model]
    take: Callable[[], Any]


def _job(**changes: Any) -> BulkJob:
    return BulkJobFactory(**changes)


def _endpoint() -> WebhookEndpoint:
    return WebhookEndpointFactory()


def _test() -> WebhookAttempt:
    return WebhookTestFactory()


def _message() -> OutgoingMessage:
    return OutgoingMessageFactory()


WORK = {
    "job": Held(engine.LEASE, lambda: _job(kind="choice", status="queued", product="le_chat"), engine.claim_next),
    "import": Held(
        reading.LEASE,
        lambda: _job(kind="import", status="reading", table="members", selection={reading.FILE: "a file's id"}),
        reading._take_next,
    ),
    "webhook": Held(endpoints.LEASE, _endpoint, lambda: endpoints._take_endpoint(head=1)),
    "test": Held(endpoints.TEST_LEASE, _test, endpoints._take_test),
    "message": Held(outbox.LEASE, _message, outbox._take_message),
}


@pytest.fixture(params=WORK)
def work(request: pytest.FixtureRequest) -> Held:
    return WORK[request.param]


def rows(row: models.Model) -> Any:
    return type(row)._default_manager.all()


def stored(row: models.Model) -> dict[str, Any]:
    return dict(rows(row).values().get(pk=row.pk))


def lapse(work: Held, row: models.Model) -> None:
    """The lease is over, and whoever holds it knows nothing of it."""
    rows(row).filter(pk=row.pk).update(**{work.lease.until: PAST})


def test_take__held_by_somebody__is_left_alone_until_the_lease_is_over(work: Held) -> None:
    made = work.make()
    begun = ledger.clock()
    first = work.take()
    assert first == made and getattr(first, work.lease.until) >= begun + work.lease.length
    assert work.take() is None
    lapse(work, first)
    second = work.take()
    assert second == made
    assert getattr(second, work.lease.fence) > getattr(first, work.lease.fence)


def test_take__several_wait__one_each(work: Held) -> None:
    made = [work.make(), work.make()]
    assert {work.take().pk, work.take().pk} == {each.pk for each in made}
    assert work.take() is None


def test_take__two_at_the_same_time__one_gets_it(work: Held) -> None:
    work.make()
    found = together(work.take, work.take)
    assert [each is None for each in sorted(found, key=lambda each: each is None)] == [False, True]


def test_take__while_another_takes_it__waits_and_gets_nothing(work: Held) -> None:
    work.make()
    found: list[Any] = []
    race(lambda: found.append(work.take()), lambda: found.append(work.take()))
    assert [each is None for each in found] == [False, True]


@pytest.mark.parametrize("way", ["keep", "release"])
def test_whoever_was_taken_for_dead__writes_nothing_any_more(work: Held, way: str) -> None:
    work.make()
    stale = work.take()
    lapse(work, stale)
    current = work.take()
    before = stored(current)
    if way == "keep":
        with pytest.raises(LostLease):
            work.lease.keep(rows(stale), stale)
    else:
        assert not work.lease.release(rows(stale), stale, **{work.lease.until: PAST})
    assert stored(current) == before
    work.lease.keep(rows(current), current)
    assert stored(current)[work.lease.until] >= before[work.lease.until]


def test_keep__holds_it_for_another_length__with_its_changes(work: Held) -> None:
    work.make()
    held = work.take()
    work.lease.keep(rows(held), held)
    begun = ledger.clock()
    work.lease.keep(rows(held), held)  # its own former lease is no other's
    assert getattr(held, work.lease.until) == stored(held)[work.lease.until] >= begun + work.lease.length
    assert work.take() is None


def test_keep__no_longer_among_the_rows_to_work_at__is_refused(work: Held) -> None:
    work.make()
    held = work.take()
    before = stored(held)
    with pytest.raises(LostLease):
        work.lease.keep(rows(held).none(), held)
    assert stored(held) == before
    rows(held).filter(pk=held.pk).delete()
    with pytest.raises(LostLease):
        work.lease.keep(rows(held), held)


def test_release__the_next_takes_it_at_once(work: Held) -> None:
    work.make()
    held = work.take()
    assert work.lease.release(rows(held), held, **{work.lease.until: ledger.clock()})
    assert work.take() == held


@pytest.mark.parametrize("name", ["job", "import", "webhook"])
def test_withdraw__whoever_holds_it_is_refused(name: str) -> None:
    work = WORK[name]
    work.make()
    held = work.take()
    row = rows(held).get(pk=held.pk)
    withdraw(row)
    row.save(update_fields=["leased_until", "fence"])
    with pytest.raises(LostLease):
        work.lease.keep(rows(held), held)
    assert work.take() == row
