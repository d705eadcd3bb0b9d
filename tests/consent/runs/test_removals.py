"""Batches of removals: when they are made, that they follow each other, and how they end."""

import datetime as dt
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction

from accounts.access import Actor, Forbidden, NotFound
from accounts.models import OutgoingMessage
from consent import ledger, triggers, verification, worker
from consent.errors import Invalid, Refused, Unprocessable
from consent.models import (
    ConsentEvent,
    EventKind,
    OpenRemoval,
    RemovalAcknowledgement,
    RemovalBatch,
    RemovalCursor,
    RemovalState,
    TrainingRun,
)
from consent.services import choices, locks, members, organizations, removal_entries, removals, runs
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.factories import OrganizationFactory
from tests.support.histories import History
from tests.support.keys import issue_key
from tests.support.ledger_guards import behind_the_guards, changes_nothing, refusal, sql
from tests.support.training import register, report, sha256, with_snapshots

pytestmark = pytest.mark.thorough


@pytest.fixture
def run(cast: Cast) -> TrainingRun:
    return register(actor=cast.provider, external_id="exp-12")


@pytest.fixture
def act(cast: Cast) -> dict[str, Any]:
    return {"actor": cast.provider, "source": "api"}


def opt_out(cast: Cast) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )


def test_issue__after_an_opt_out__makes_one_batch_with_its_counts_event_and_deadline(
    cast: Cast, run: TrainingRun, act: dict[str, Any], settings: Any
) -> None:
    opt_out(cast)
    batch = removals.issue(run=run, **act)
    assert batch is not None
    assert (batch.number, batch.entries, batch.from_position) == (1, 1, run.snapshot_position)
    assert batch.counts == [
        {"level": "organization", "product": "le_chat", "reason": "organization_opted_out", "entries": 1}
    ]
    assert batch.due_at - batch.issued_at == dt.timedelta(days=settings.REMOVAL_DEADLINE_DAYS) == dt.timedelta(days=7)
    (entry,) = removal_entries.entries_of(removals.range_of(run, batch))
    assert (entry.organization, entry.member, entry.product, entry.keep_from) == (cast.labs.pk, None, "le_chat", None)
    assert batch.digest == removal_entries.totals_of(removals.range_of(run, batch)).digest
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.target, event.after) == (EventKind.REMOVAL_ISSUED, str(batch.pk), f"{run.pk}, 1")
    assert event.organization is None
    assert OpenRemoval.objects.get().due_at == batch.due_at


def test_issue__again_without_anything_new__makes_none_and_writes_nothing(
    cast: Cast, run: TrainingRun, act: dict[str, Any]
) -> None:
    opt_out(cast)
    assert removals.issue(run=run, **act)
    assert removals.issue(run=run, **act) is None  # moves past the event of the batch itself
    with changes_nothing():
        assert removals.issue(run=run, **act) is None


def nothing_to_remove(cast: Cast) -> None:
    """What moves no layer and no membership of anybody who can be in the data."""
    act: dict[str, Any] = {"actor": cast.provider, "source": "admin"}
    organizations.update_organization(organization=cast.labs, name="Kvasir Laboratories", **act)
    made = OrganizationFactory(name="Newcomers", plan="le_chat_free", actor=cast.provider)
    members.add_member(organization=made, email="new@people.example", role="owner", **act)
    choices.choose(surface=LE_CHAT_CONSOLE, organization=made, choice="opted_out", **act)
    # Never allowed use, so nothing of theirs is in the data.
    locks.place_lock(organization=cast.brage, product="le_chat", reason="contract", reference="A-1", **act)


def test_issue__after_events_that_no_data_hangs_on__makes_none(
    cast: Cast, run: TrainingRun, act: dict[str, Any]
) -> None:
    nothing_to_remove(cast)
    assert removals.issue(run=run, **act) is None
    assert not RemovalBatch.objects.exists()
    # The next begins where the data was filtered all the same.
    opt_out(cast)
    batch = removals.issue(run=run, **act)
    assert batch is not None and (batch.from_position, batch.entries) == (run.snapshot_position, 1)


@pytest.mark.django_db
def test_batches__of_a_random_history__follow_each_other_and_hold_all_entries_once() -> None:
    history = History(11)
    history.steps(10)
    run = register(report(history.cut(), name="a"), actor=history.operator)
    for _n in range(6):
        history.steps(6)
        removals.issue(run=run, actor=history.operator, source="api")
    batches = list(run.batches.order_by("number"))
    assert len(batches) > 2
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))
    assert batches[0].from_position == run.snapshot_position
    assert all(one.to_position == other.from_position for one, other in pairwise(batches))
    by_batch = [list(removal_entries.entries_of(removals.range_of(run, batch))) for batch in batches]
    assert [len(entries) for entries in by_batch] == [batch.entries for batch in batches]
    latest = {(each.member or each.organization, each.product): each for entries in by_batch for each in entries}
    whole = removal_entries.entries_of(removals.range_of(run)._replace(until=batches[-1].to_position))
    assert latest == {(each.member or each.organization, each.product): each for each in whole}


# --- By the worker ---


def test_worker__an_hour_after_registering__makes_the_batch_and_waits_for_the_next_hour(
    cast: Cast, run: TrainingRun
) -> None:
    opt_out(cast)
    ledger.sequence()
    assert removals.issue_next() is False
    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(hours=1, minutes=1)):
        if connection.vendor == "postgresql":  # whose clock is its own
            RemovalCursor.objects.update(looked_at=ledger.clock() - removals.EVERY)
        worker.work_once()
        assert RemovalBatch.objects.get().run == run
        assert removals.issue_next() is False


def test_worker__retired_run__is_left_alone(cast: Cast, run: TrainingRun) -> None:
    runs.retire(run=run, reason="over", actor=cast.provider, source="api")
    opt_out(cast)
    assert removals.issue_next() is False
    assert not RemovalBatch.objects.exists()


def test_issue__another_process_was_faster__makes_no_second_batch(
    cast: Cast, run: TrainingRun, act: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opt_out(cast)
    counted = removals.totals_of

    def meanwhile(within: removal_entries.Range) -> removal_entries.Totals:
        totals = counted(within)
        monkeypatch.setattr(removals, "totals_of", counted)
        assert removals.issue(run=run, **act)
        return totals

    monkeypatch.setattr(removals, "totals_of", meanwhile)
    assert removals.issue(run=run, **act) is None
    assert RemovalBatch.objects.count() == 1


# --- Acknowledging ---


@pytest.fixture
def batch(cast: Cast, run: TrainingRun, act: dict[str, Any]) -> RemovalBatch:
    opt_out(cast)
    made = removals.issue(run=run, **act)
    assert made is not None
    return removals.get_batch(run, made.pk)


def test_acknowledge__batch__is_stored_once_with_its_event(
    cast: Cast, batch: RemovalBatch, act: dict[str, Any]
) -> None:
    now = ledger.clock()
    assert batch.state(now) == RemovalState.OPEN
    said = {"removed": 920, "evidence": sha256("what is left"), "note": "by merge"}
    made = removals.acknowledge(batch=batch, **said, **act)
    assert (made.removed, made.note, made.verified) == (920, "by merge", False)
    assert removals.get_batch(batch.run, batch.pk).state(now) == RemovalState.ACKNOWLEDGED
    assert not OpenRemoval.objects.exists()
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.target, event.after) == (
        EventKind.REMOVAL_ACKNOWLEDGED,
        str(batch.pk),
        str(batch.run_id),
    )
    with changes_nothing():
        assert removals.acknowledge(batch=batch, **said, **act) == made
    with refusal(Refused, "acknowledged", ""):
        removals.acknowledge(batch=batch, **said | {"removed": 921}, **act)


def test_acknowledge__with_a_report_that_denies_nothing__is_verified(batch: RemovalBatch, act: dict[str, Any]) -> None:
    clean = report(
        batch.to_position,
        allowed=66,
        inputs=[{"name": "left", "rows": 67, "size": 5, "sha256": sha256("left")}],
        counts=[
            {"product": "le_chat", "data_kind": "document", "reason": None, "rows": 66},
            {"product": "le_chat", "data_kind": "document", "reason": "cooling_off", "rows": 1},
        ],
        read=67,
        denied=1,
    )
    assert batch.run.allowed == 70
    with changes_nothing(), pytest.raises(Unprocessable) as unknown:
        removals.acknowledge(batch=batch, removed=3, report=clean, **act)
    assert (unknown.value.code, unknown.value.field) == ("unknown_snapshot", "report/snapshot")
    with_snapshots(clean)
    with changes_nothing(), pytest.raises(Unprocessable, match="at most 66 are left") as caught:
        removals.acknowledge(batch=batch, removed=4, report=clean, **act)
    assert (caught.value.code, caught.value.field) == ("inconsistent", "report/read")
    assert removals.acknowledge(batch=batch, removed=3, report=clean, **act).verified


@pytest.mark.parametrize(
    ("other", "error", "code"),
    [
        (lambda batch: report(batch.to_position - 1, allowed=30), Unprocessable, "too_early"),
        (lambda batch: with_snapshots(report(batch.to_position, allowed=30))[0], Unprocessable, "records_left"),
        (lambda batch: report(batch.to_position), Unprocessable, "inconsistent"),
        (lambda batch: {"format": 1}, Invalid, "invalid"),
        (lambda batch: report(batch.to_position, read=5), Unprocessable, "inconsistent"),
    ],
)
def test_acknowledge__with_another_report__is_refused(
    batch: RemovalBatch, act: dict[str, Any], other: Any, error: Any, code: str
) -> None:
    given = other(batch)
    with changes_nothing(), pytest.raises(error) as caught:
        removals.acknowledge(batch=batch, removed=3, report=given, **act)
    assert caught.value.code == code
    assert not RemovalAcknowledgement.objects.exists()


@pytest.mark.parametrize("wrong", [{"removed": -1}, {"removed": True}, {"removed": 2**63}, {"note": "n" * 501}])
def test_acknowledge__wrong_value__is_refused(batch: RemovalBatch, act: dict[str, Any], wrong: dict[str, Any]) -> None:
    with refusal(Invalid):
        removals.acknowledge(batch=batch, **{"removed": 1, **wrong}, **act)


def test_acknowledge__retired_run__is_refused_and_the_batch_says_why(
    cast: Cast, batch: RemovalBatch, act: dict[str, Any]
) -> None:
    runs.retire(run=batch.run, reason="over", **act)
    assert not OpenRemoval.objects.exists()
    with refusal(Refused, "retired", ""):
        removals.acknowledge(batch=batch, removed=1, **act)
    assert removals.get_batch(batch.run, batch.pk).state(ledger.clock()) == RemovalState.RETIRED
    with refusal(Refused, "retired", ""):
        removals.issue(run=runs.get_run(cast.provider, batch.run_id), **act)


def test_state__after_its_deadline__is_overdue(batch: RemovalBatch) -> None:
    assert batch.state(batch.due_at - dt.timedelta(microseconds=1)) == RemovalState.OPEN
    assert batch.state(batch.due_at) == RemovalState.OVERDUE


def test_removals__by_others_than_operators__are_forbidden(cast: Cast, batch: RemovalBatch) -> None:
    reader, _text = issue_key("reader", ["pipeline:read"])
    for actor in (Actor.from_user(cast.owner), Actor.system(), Actor.from_key(reader)):
        with refusal(Forbidden):
            removals.issue(run=batch.run, actor=actor, source="api")
        with refusal(Forbidden):
            removals.acknowledge(batch=batch, removed=1, actor=actor, source="api")
    other = register(actor=cast.provider)
    for run, ident in ((other, batch.pk), (batch.run, "x"), (batch.run, other.pk)):
        with pytest.raises(NotFound):
            removals.get_batch(run, ident)


def test_member__opted_out_and_left__is_an_entry_of_its_own(cast: Cast, run: TrainingRun, act: dict[str, Any]) -> None:
    person = Actor.from_user(cast.member, confirmed=True)
    choices.choose(
        surface=LE_CHAT_MOBILE,
        organization=cast.labs,
        member=cast.labs_member,
        choice="opted_out",
        actor=person,
        source="data_controls",
    )
    assert removals.issue(run=run, **act)
    members.remove_member(member=cast.labs_member, actor=cast.provider, source="admin")
    assert removals.issue(run=run, **act)
    first, second = (
        list(removal_entries.entries_of(removals.range_of(run, batch))) for batch in run.batches.order_by("number")
    )
    assert [(each.member, each.product, each.reason) for each in first] == [
        (cast.labs_member.pk, "le_chat", "member_opted_out")
    ]
    assert {(each.member, each.product, each.reason) for each in second} == {
        (cast.labs_member.pk, "le_chat", "member_opted_out"),
        (cast.labs_member.pk, "ai_studio", "member_left"),
    }


@pytest.mark.parametrize("verb", ["UPDATE {} SET {column} = {column}", "DELETE FROM {}"])
@pytest.mark.parametrize(("table", "column"), [(triggers.REMOVAL, "due_at"), (triggers.ACKNOWLEDGEMENT, "removed")])
def test_database__change_of_a_removal__is_refused(
    batch: RemovalBatch, act: dict[str, Any], verb: str, table: str, column: str
) -> None:
    removals.acknowledge(batch=batch, removed=1, **act)
    with changes_nothing(), pytest.raises(DatabaseError, match=triggers.REFUSAL), transaction.atomic():
        sql(verb.format(table, column=column))


# --- What is overdue ---


def make_late(*batches: RemovalBatch) -> None:
    OpenRemoval.objects.filter(batch__in=batches).update(due_at=ledger.clock() - dt.timedelta(seconds=1))


def test_overdue__batch__is_mailed_to_operators_once_for_each_run(
    cast: Cast, run: TrainingRun, batch: RemovalBatch, act: dict[str, Any]
) -> None:
    assert removals.overdue() == 0 and removals.most_overdue(5) == []
    assert removals.tell_next_overdue() is False
    make_late(batch)
    assert removals.overdue() == 1 and removals.most_overdue(5) == [batch]
    assert removals.tell_next_overdue() is True
    assert removals.tell_next_overdue() is False
    (mail,) = OutgoingMessage.objects.all()
    assert mail.recipient == cast.operator.email and run.name in mail.subject
    assert f"/admin/consent/trainingrun/{run.pk}/change/" in mail.body
    # An hour later there is another, and nobody is mailed again.
    members.remove_member(member=cast.labs_member, actor=cast.provider, source="admin")
    second = removals.issue(run=run, **act)
    assert second is not None
    make_late(second)
    assert removals.tell_next_overdue() is True
    assert OutgoingMessage.objects.count() == 1
    for each in (batch, second):
        removals.acknowledge(batch=each, removed=0, **act)
    assert removals.overdue() == 0


# --- Moving and verifying ---


def test_verify__runs_and_removals_as_they_are__finds_nothing(batch: RemovalBatch, act: dict[str, Any]) -> None:
    ledger.sequence()
    assert verification.verify().problems == []
    removals.acknowledge(batch=batch, removed=0, **act)
    runs.retire(run=batch.run, reason="over", **act)
    ledger.sequence()
    assert verification.verify().problems == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE consent_trainingrun SET allowed = allowed + 1", "its counts do not add up"),
        ("UPDATE consent_trainingrun SET manifest = '{}'", "its manifest is of other data"),
        ("UPDATE consent_runfile SET size = size + 1", "its digest is not that of its files"),
        ("UPDATE consent_runfile SET position = position + 1", "its positions are not those of its files"),
        ("UPDATE consent_removalbatch SET from_position = 0", "its removals do not follow each other"),
        ("UPDATE consent_removalbatch SET to_position = 1000000", "a removal reaches beyond the ledger"),
        ("DELETE FROM consent_openremoval", "what waits to be acknowledged is wrong"),
        ("DELETE FROM consent_removalcursor", "how far it was looked at for removals is wrong"),
    ],
)
def test_verify__something_altered__names_the_run(batch: RemovalBatch, statement: str, told: str) -> None:
    ledger.sequence()
    with behind_the_guards():
        sql(statement)
    assert f"training run {batch.run_id}: {told}" in verification.verify().problems


def test_verify__row_without_event__and_event_without_row__are_named(batch: RemovalBatch) -> None:
    ledger.sequence()
    with behind_the_guards():
        sql("DELETE FROM consent_openremoval")
        sql("DELETE FROM consent_removalbatch")
        sql("UPDATE consent_consentevent SET target = '' WHERE kind = 'run.registered'")
    problems = verification.verify().problems
    assert f"removal.issued {batch.pk}: an event tells of it, but it is not there" in problems
    assert f"run.registered {batch.run_id}: no event tells of it" in problems
