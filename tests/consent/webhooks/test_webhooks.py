"""Webhooks: in order, at least once, signed; and receivers of every kind."""

import datetime as dt
import os
import random
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
import trustme
from standardwebhooks import Webhook, WebhookVerificationError

from accounts.access import Actor, Forbidden
from accounts.leases import LostLease
from accounts.models import OutgoingMessage
from consent import ledger
from consent.delivery import endpoints, sending
from consent.errors import Invalid
from consent.models import ConsentEvent, PositionAdvance, WebhookAttempt, WebhookEndpoint
from consent.services import choices, webhooks
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from consent.webhooks.secrets import secret_of
from tests.support import webhook_receiver
from tests.support.cast import Cast
from tests.support.consumers import registered
from tests.support.ledger_guards import refusal
from tests.support.processes import database_url
from tests.support.webhook_receiver import Receiver, receiver
from tests.support.webhooks import LOCAL, deliver, endpoint_for, happen

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def local(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LOCAL.items():
        setattr(settings, name, value)
    monkeypatch.setattr(sending, "TOTAL", 1.5)
    monkeypatch.setattr(sending, "READ", 1.0)


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def due_now(endpoint: WebhookEndpoint) -> None:
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(next_attempt_at=None)


# --- What arrives -----------------------------------------------------------------------------------------------------


def test_delivery__events_after_its_making__in_order_signed_and_noted(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there)
    happen(cast, 3)
    deliver()
    placed = ConsentEvent.objects.filter(organization=cast.labs, kind="organization.updated").placed()
    assert there.positions == [event.placed.position for event in placed]
    for headers, body in there.got:
        told = Webhook(secret_of(endpoint)).verify(body, headers)
        assert headers["webhook-id"] == f"evt_{told['id']}" and told["kind"] == "organization.updated"
    endpoint.refresh_from_db()
    assert endpoint.position == ledger.head()
    attempts = WebhookAttempt.objects.order_by("pk")
    assert [(each.status, each.delivered, each.answer) for each in attempts] == [(200, True, "thanks")] * 3


def test_delivery__same_body_as_the_api(cast: Cast, there: Receiver) -> None:
    from tests.support.callers import by_key

    reader = by_key("events:read")
    endpoint_for(cast, there, everybody=True)
    happen(cast)
    deliver()
    shown = reader.get(f"events/?after={there.positions[0] - 1}").json()["results"]
    assert there.events == [{"type": each["kind"], "timestamp": each["recorded_at"], **each} for each in shown]


def test_delivery__organizations_endpoint__its_own_events_without_members_choices(cast: Cast, there: Receiver) -> None:
    endpoint_for(cast, there)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.brage, choice="opted_out", actor=cast.provider, source="admin"
    )  # fmt: skip
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=cast.labs, member=cast.labs_member, choice="opted_out",
        actor=cast.provider, source="admin",
    )  # fmt: skip
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )  # fmt: skip
    ledger.sequence()
    deliver()
    [event] = there.events
    assert (event["organization"], event["member"], event["kind"]) == (str(cast.labs.pk), None, "choice.opted_out")
    assert event["actor"] == {"type": "user", "id": None, "label": "The provider"}


def test_delivery__only_some_kinds__the_others_are_passed_by(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there, kinds=["choice.opted_out"])
    happen(cast, 2)
    deliver()
    endpoint.refresh_from_db()
    assert there.got == [] and endpoint.position == ledger.head()


def test_rotation__both_secrets_sign_for_a_day_then_the_new_one(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there)
    old = secret_of(endpoint)
    endpoint = webhooks.rotate_secret(source="admin", endpoint=endpoint, actor=cast.provider)
    new = secret_of(endpoint)
    assert new != old
    happen(cast)
    deliver()
    for secret in (old, new):
        Webhook(secret).verify(there.got[0][1], there.got[0][0])
    WebhookEndpoint.objects.update(previous=[[*endpoint.previous[0][:2], 0]])
    happen(cast)
    deliver()
    Webhook(new).verify(there.got[1][1], there.got[1][0])
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(there.got[1][1], there.got[1][0])


def test_replay__from_a_position__everything_after_it_once_more(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there)
    happen(cast, 4)
    deliver()
    positions = there.positions
    webhooks.replay(source="admin", endpoint=endpoint, after=positions[1], actor=cast.provider)
    deliver()
    assert there.positions == positions + positions[2:]
    with refusal(Invalid, "position", "after"):
        webhooks.replay(source="admin", endpoint=endpoint, after=ledger.head() + 1, actor=cast.provider)


def test_delivery__https__certificate_checked_against_the_name(cast: Cast, settings: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    for name, arrives in (("localhost", True), ("elsewhere.example", False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        settings.WEBHOOK_CA_FILE = str(tmp_path / "ca.pem")
        with receiver(context) as there:
            url = there.url.replace("http:", "https:")
            endpoint = webhooks.create_endpoint(source="admin", organization=cast.labs, url=url, actor=cast.provider)
            attempt = webhook_receiver.result_of_test(endpoint)
        assert (attempt.delivered, bool(there.got)) == (arrives, arrives)
    assert "certificate" in attempt.error.lower()


# --- Receivers that are down, slow, hostile ---------------------------------------------------------------------------


def test_receiver__down_then_up__tried_again_later_and_nothing_skipped(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there)
    there.behave = webhook_receiver.saying(503)
    happen(cast, 3)
    deliver()
    endpoint.refresh_from_db()
    assert (len(there.got), endpoint.failures, endpoint.status) == (1, 1, "active")
    wait = endpoint.next_attempt_at - ledger.clock()
    assert dt.timedelta(seconds=3) < wait < dt.timedelta(seconds=6)
    assert not OutgoingMessage.objects.exists()
    deliver()
    assert len(there.got) == 1  # not before its time
    there.behave = webhook_receiver.ok
    due_now(endpoint)
    deliver()
    endpoint.refresh_from_db()
    first, *rest = there.positions
    assert rest == sorted(rest) and rest[0] == first and len(rest) == 3
    assert (endpoint.failures, endpoint.next_attempt_at, endpoint.position) == (0, None, ledger.head())


def test_receiver__keeps_failing__paused_visibly_after_the_last_attempt(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there)
    there.behave = webhook_receiver.saying(500)
    happen(cast)
    waits = []
    for _ in range(len(endpoints.BACK_OFF) + 1):
        deliver()
        endpoint.refresh_from_db()
        waits.append(endpoint.next_attempt_at and (endpoint.next_attempt_at - ledger.clock()).total_seconds())
        due_now(endpoint)
    steps = len(endpoints.BACK_OFF)
    assert [round(wait / seconds) for wait, seconds in zip(waits, endpoints.BACK_OFF, strict=False)] == [1] * steps
    assert sum(endpoints.BACK_OFF) > dt.timedelta(days=3).total_seconds()
    assert (endpoint.status, endpoint.paused_because, len(there.got)) == ("paused", "failing", steps + 1)
    assert len({headers["webhook-id"] for headers, _body in there.got}) == 1
    there.behave = webhook_receiver.ok
    deliver()
    assert len(there.got) == steps + 1
    webhooks.update_endpoint(source="admin", endpoint=endpoint, actor=cast.provider, status="active")
    deliver()
    assert len(there.got) == steps + 2 and WebhookEndpoint.objects.get().position == ledger.head()


def test_jitter__other_draws_in_between__the_same_for_the_same_failure_and_different_for_others() -> None:
    endpoint, other = WebhookEndpoint(), WebhookEndpoint()
    first = endpoints._jitter(endpoint, "evt_1", 1)
    random.random()  # noqa: S311  as another thread may
    assert endpoints._jitter(endpoint, "evt_1", 1) == first
    others = [(endpoint, "evt_2", 1), (other, "evt_1", 1), (endpoint, "evt_1", 2)]
    assert len({first, *(endpoints._jitter(*each) for each in others)}) == 4


def test_receiver__gone__paused_at_once(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there)
    there.behave = webhook_receiver.saying(410)
    happen(cast, 2)
    deliver()
    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.paused_because, len(there.got)) == ("paused", "gone", 1)


NOW = dt.datetime(2026, 11, 27, 18, tzinfo=dt.UTC)
DAY = 24 * 3600


@pytest.mark.parametrize(
    ("header", "waits"),
    [
        ("120", 120), (" 120 ", 120), ("0120", 120), ("86400", DAY), ("86401", DAY), ("9" * 12, DAY), ("9" * 5000, DAY),
        ("Fri, 27 Nov 2026 18:02:00 GMT", 120), ("Friday, 27-Nov-26 18:02:00 GMT", 120),
        ("Fri Nov 27 18:02:00 2026", 120),
        ("Mon, 30 Nov 2026 09:00:00 GMT", DAY), ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        # Sooner than the schedule has it, or nothing that can be read: the schedule.
        ("1", 5), ("0", 5), ("-120", 5), ("120.5", 5), ("1e3", 5), ("soon", 5), ("", 5), ("\xb2", 5), ("120, 240", 5),
        ("Fri, 27 Nov 2026 17:00:00 GMT", 5), ("Thu, 01 Jan 1970 00:00:00 GMT", 5), ("2026-11-27T18:02:00Z", 5),
    ],
)  # fmt: skip
def test_receiver__says_when_to_come_back__not_tried_before_nor_later_than_a_day(
    cast: Cast, there: Receiver, monkeypatch: pytest.MonkeyPatch, header: str, waits: int
) -> None:
    endpoint = endpoint_for(cast, there)
    there.behave = webhook_receiver.saying(503, Retry_After=header)
    happen(cast)
    with monkeypatch.context() as patch, time_machine.travel(NOW, tick=False):
        patch.setattr(ledger, "_database_now", lambda: NOW)  # a receiver's dates are the machine's
        deliver(rounds=1)
    endpoint.refresh_from_db()
    assert waits <= (endpoint.next_attempt_at - NOW).total_seconds() <= waits * (1 + endpoints.JITTER)
    assert endpoint.failures == 1


@pytest.mark.parametrize("status", [410, 500])
@pytest.mark.parametrize("whose", ["a person's", "the machine's", "everybody's"])
def test_receiver__paused__told_by_mail_to_who_answers_for_it(
    cast: Cast, there: Receiver, status: int, whose: str
) -> None:
    by = cast.provider if whose == "everybody's" else Actor.from_user(cast.admin, confirmed=True)
    endpoint = webhooks.create_endpoint(
        organization=None if whose == "everybody's" else cast.labs, url=there.url, actor=by, source="admin"
    )
    if whose == "the machine's":
        WebhookEndpoint.objects.update(created_by=None)
    there.behave = webhook_receiver.saying(status)
    happen(cast)
    WebhookEndpoint.objects.update(failures=len(endpoints.BACK_OFF))
    OutgoingMessage.objects.all().delete()
    deliver(rounds=1)
    told = {"a person's": cast.admin, "the machine's": cast.owner, "everybody's": cast.operator}[whose]
    mail = OutgoingMessage.objects.get()
    endpoint.refresh_from_db()
    assert (
        mail.recipient == told.email
        and endpoint.url in mail.body
        and endpoint.get_paused_because_display() in mail.body
    )
    assert endpoint.status == "paused" and "Go on" in mail.body
    deliver(rounds=1)
    assert OutgoingMessage.objects.count() == 1


def test_tell_paused__whoever_answers_for_it_can_not_sign_in__the_owners_are_told(cast: Cast, there: Receiver) -> None:
    endpoint = webhooks.create_endpoint(
        organization=cast.labs, url=there.url, actor=Actor.from_user(cast.admin, confirmed=True), source="admin"
    )
    endpoint.created_by.is_active = False
    webhooks.tell_paused(endpoint, "failing")
    assert [each.recipient for each in OutgoingMessage.objects.all()] == [cast.owner.email]


BAD = {
    "redirects": (webhook_receiver.saying(302, Location="http://169.254.169.254/"), 302, "redirects are not followed"),
    "hangs": (webhook_receiver.silent, None, "no answer in time"),
    "drips": (webhook_receiver.dripping, None, "no answer in time"),
    "sends no HTTP": (webhook_receiver.rubbish, None, "RemoteProtocolError"),
    "sends headers without end": (webhook_receiver.long_headers, None, "RemoteProtocolError"),
    "hangs up": (webhook_receiver.hanging_up, None, "RemoteProtocolError"),
}


@pytest.mark.parametrize("how", BAD)
def test_receiver__misbehaves__counted_as_a_failure_and_said(cast: Cast, there: Receiver, how: str) -> None:
    behave, status, error = BAD[how]
    endpoint = endpoint_for(cast, there)
    there.behave = behave
    happen(cast)
    deliver(rounds=1)
    attempt = WebhookAttempt.objects.get()
    assert (attempt.status, attempt.delivered) == (status, False) and error in attempt.error
    endpoint.refresh_from_db()
    assert (endpoint.failures, len(there.got)) == (1, 1)


@pytest.mark.parametrize("behave", [webhook_receiver.endless, webhook_receiver.bomb], ids=["endless", "packed"])
def test_receiver__answers_without_end_or_packed__little_is_read_and_kept(
    cast: Cast, there: Receiver, behave: webhook_receiver.Behave
) -> None:
    endpoint_for(cast, there)
    there.behave = behave
    happen(cast)
    deliver(rounds=1)
    attempt = WebhookAttempt.objects.get()
    assert attempt.delivered and len(attempt.answer) <= 200


def test_receiver__slow_one__holds_up_no_other(cast: Cast, there: Receiver) -> None:
    there.behave = webhook_receiver.silent
    endpoint_for(cast, there)
    with receiver() as quick:
        endpoint_for(cast, quick, everybody=True)
        happen(cast)
        deliver(rounds=2)
        assert len(quick.got) == 1


def test_endpoint__changed_while_it_is_delivered_to__the_change_counts(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there)
    happen(cast, 3)

    def pause(handler: webhook_receiver.Handler) -> None:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
            status="paused", paused_because="somebody", fence=endpoint.fence + 7, position=0
        )
        webhook_receiver.ok(handler)

    taken = endpoints._take_endpoint()
    assert taken is not None
    webhooks.replay(source="admin", endpoint=endpoint, after=0, actor=cast.provider)  # somebody else, meanwhile
    with pytest.raises(LostLease):
        endpoints._Turn(taken, sending.Sender()).run(lambda: False)
    endpoint.refresh_from_db()
    assert endpoint.position == 0


# --- Killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_worker__killed_in_mid_delivery__nothing_lost_nothing_out_of_order(cast: Cast) -> None:
    with receiver() as there:
        endpoint = endpoint_for(cast, there)

        def slowly(handler: webhook_receiver.Handler) -> None:
            time.sleep(0.01)
            webhook_receiver.ok(handler)

        there.behave = slowly
        happen(cast, 120)
        expected = list(
            ConsentEvent.objects.filter(kind="organization.updated").placed().values_list("placed__position", flat=True)
        )
        for _ in range(3):
            so_far = len(there.got)
            worker = started_worker()
            while len(there.got) < so_far + 20:
                time.sleep(0.01)
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            WebhookEndpoint.objects.update(leased_until=None)  # as it will be half a minute later
        worker = started_worker()
        limit = time.monotonic() + 60
        while WebhookEndpoint.objects.get(pk=endpoint.pk).position < expected[-1] and time.monotonic() < limit:
            time.sleep(0.05)
        worker.terminate()
        assert worker.wait(60) == 0
    seen: list[int] = []
    for position in there.positions:
        if not seen or position > seen[-1]:
            seen.append(position)
    assert seen == expected  # each for the first time in order; what was repeated had been there
    assert len(there.got) <= len(expected) + 3 * endpoints._NOTED * 2


def started_worker() -> subprocess.Popen[bytes]:
    environment = {
        **os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "true",
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128", "LOG_LEVEL": "WARNING",
    }  # fmt: skip
    return subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=Path(__file__).parents[3], env=environment)


def test_viewer__is_nobody_in_particular() -> None:
    endpoint = WebhookEndpoint(organization=None)
    assert endpoints._viewer(endpoint) == Actor.system()


# --- Who may ----------------------------------------------------------------------------------------------------------


def test_services__whoever_does_not_manage_webhooks__forbidden(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there)
    stranger = Actor.from_user(cast.auditor, confirmed=True)
    with refusal(Forbidden):
        webhooks.create_endpoint(source="admin", organization=cast.labs, url=there.url, actor=stranger)
    with refusal(Forbidden):
        webhooks.create_endpoint(
            source="admin", organization=None, url=there.url, actor=Actor.from_user(cast.owner, confirmed=True)
        )
    with refusal(Forbidden):
        webhooks.update_endpoint(source="admin", endpoint=endpoint, actor=stranger, status="paused")
    with refusal(Forbidden):
        webhooks.replay(source="admin", endpoint=endpoint, after=0, actor=stranger)
    with refusal(Forbidden):
        webhooks.rotate_secret(source="admin", endpoint=endpoint, actor=stranger)
    with refusal(Forbidden):
        webhooks.delete_endpoint(source="admin", endpoint=endpoint, actor=stranger)


# --- Of consumers -----------------------------------------------------------------------------------------------------


def test_delivery__to_a_consumers_webhook__notes_what_it_was_delivered(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_for(cast, there, everybody=True)
    made = registered(cast, webhook=endpoint)
    happen(cast, 2)
    deliver()
    made.consumer.refresh_from_db()
    assert made.consumer.delivered == ledger.head()
    there.behave = lambda handler: handler.answer(500)
    happen(cast)
    deliver()
    made.consumer.refresh_from_db()
    assert made.consumer.delivered < ledger.head()
    delivered = PositionAdvance.objects.filter(consumer=made.consumer, dataset=None)
    assert max(delivered.values_list("position", flat=True)) == made.consumer.delivered
