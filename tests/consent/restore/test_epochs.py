"""Restores that were adopted, the epochs that they began, and what `verify_ledger` finds wrong with them."""

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from consent import ledger, rules, verification, verification_restores
from consent.delivery.endpoints import _message_id
from consent.models import ConsentEvent, EventKind, EventPosition, Installation, Restore
from consent.presentation.effects import Effects
from consent.presentation.events import serialize_event
from consent.presentation.honoured import is_tightening
from consent.rules import MEMBER_START, State
from consent.services import layers, trail
from tests.conftest import lift_triggers
from tests.support.cast import Cast

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
BEFORE = NOW - dt.timedelta(days=3)


@pytest.mark.parametrize("state", [State(subscribed=True, allowed=True, since=BEFORE), MEMBER_START])
def test_restart__allowed__begins_anew(state: State) -> None:
    after = rules.restart(state, NOW)
    assert (after.allowed, after.since, after.choice, after.reason_code) == (True, NOW, state.choice, state.reason_code)


@pytest.mark.parametrize("locked", [True, False])
def test_restart__not_allowed__stays_as_it_is(locked: bool) -> None:
    state = State(locked=locked, since=BEFORE)
    assert rules.restart(state, NOW) == state


def adopt(cast: Cast, restored_to: int, lost_to: int, epoch: int = 2) -> Restore:
    """What adopting writes, without any lost position."""
    event = trail.note(
        EventKind.RESTORE_ADOPTED,
        organization=None,
        actor=cast.provider,
        source="command",
        target=epoch,
        after=f"{restored_to}, {lost_to}",
    )
    Installation.objects.update(epoch=epoch)
    return Restore.objects.create(
        epoch=epoch, restored_to=restored_to, lost_to=lost_to, adopted_at=event.recorded_at, event=event
    )


def sql(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.mark.django_db
def test_sequence__after_a_restore__positions_are_of_its_epoch(cast: Cast) -> None:
    ledger.sequence()
    head = ledger.head()
    adopt(cast, head, head)
    ledger.sequence()
    assert set(EventPosition.objects.filter(position__lte=head).values_list("epoch", flat=True)) == {1}
    assert set(EventPosition.objects.filter(position__gt=head).values_list("epoch", flat=True)) == {2}
    assert list(verification_restores.problems()) == []


@pytest.mark.django_db
def test_event__of_a_later_epoch__says_so_and_has_another_message_id(cast: Cast) -> None:
    ledger.sequence()
    head = ledger.head()
    adopt(cast, head, head)
    ledger.sequence()
    first, last = (
        ConsentEvent.objects.placed().order_by("pk").first(),
        ConsentEvent.objects.placed().order_by("pk").last(),
    )
    assert first is not None and last is not None
    assert serialize_event(first, "", for_operator=True)["epoch"] == 1
    assert serialize_event(last, "", for_operator=True)["epoch"] == 2
    assert (_message_id(first), _message_id(last)) == (f"evt_{first.pk}", f"evt_{last.pk}_2")


@pytest.mark.django_db
def test_restarted__event__tightens_and_tells_what_it_did(cast: Cast) -> None:
    setting = layers.lock_setting(cast.labs, "le_chat")

    origin = ledger.Origin(actor=cast.provider, source="command", by_operator=True, reason="Restored")
    at = ledger.clock(setting.changed_at)
    allowed = setting.allowed
    layers.write(setting, EventKind.SINCE_RESTARTED, rules.restart(setting.state, at), origin, at)
    event = ConsentEvent.objects.order_by("-pk")[0]
    effects = Effects([event])
    assert not effects.began(event) and not effects.ended(event)
    assert is_tightening(event, effects) is allowed
    ledger.sequence()
    assert verification.verify().problems == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [{"epoch": 1}, {"restored_to": -1}, {"restored_to": 5, "lost_to": 4}, {"epoch": 2}],
    ids=["epoch 1", "before the first position", "lost before restored", "twice"],
)
def test_restore__impossible__is_refused_by_the_database(cast: Cast, fields: dict[str, int]) -> None:
    adopt(cast, 0, 0)
    values: dict[str, Any] = {"epoch": 3, "restored_to": 0, "lost_to": 0, "adopted_at": NOW, "event_id": 1} | fields
    with pytest.raises(DatabaseError), transaction.atomic():
        Restore.objects.bulk_create([Restore(**values)])
    assert Restore.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["UPDATE consent_restore SET lost_to = 9", "DELETE FROM consent_restore"])
def test_restore__changed_or_deleted__is_refused_by_the_database(cast: Cast, verb: str) -> None:
    made = adopt(cast, 0, 0)
    with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
        sql(verb)
    for act in (made.save, made.delete):
        with pytest.raises(TypeError):
            act()
    assert Restore.objects.get().lost_to == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE consent_restore SET lost_to = lost_to + 1", "no event tells of it"),
        ("UPDATE consent_restore SET epoch = 3", "another epoch than its last restore began"),
        ("UPDATE consent_installation SET epoch = 1", "another epoch than its last restore began"),
        ("UPDATE consent_consentevent SET after = '0, 0' WHERE kind = 'restore.adopted'", "there is no such restore"),
        ("UPDATE consent_eventposition SET epoch = 7 WHERE position = 3", "of epoch 7, which no restore began"),
        ("UPDATE consent_eventposition SET epoch = 2 WHERE position = 3", "epochs of positions do not follow"),
    ],
)
def test_verify__restore_altered__named(cast: Cast, statement: str, problem: str) -> None:
    ledger.sequence()
    head = ledger.head()
    adopt(cast, head, head)
    ledger.sequence()
    assert list(verification_restores.problems()) == []
    lift_triggers()
    sql(statement)
    assert any(problem in each for each in verification_restores.problems())


@pytest.mark.django_db
def test_verify__lost_positions__each_has_its_own_event(cast: Cast) -> None:
    ledger.sequence()
    head = ledger.head()
    adopt(cast, head, head + 3)
    assert list(verification_restores.problems()) == ["restore of epoch 2: not every lost position says so"]
