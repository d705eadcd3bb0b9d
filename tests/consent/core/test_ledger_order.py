"""Instants of one subject strictly increase, and readers who follow the positions never miss an event."""

import concurrent.futures
import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction

from accounts.access import Actor
from accounts.models import Member, Organization
from consent import ledger, verification
from consent.models import ConsentEvent, EventPosition, PendingEvent, PrivacySetting
from consent.services import choices, members, organizations
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.concurrency import LIMIT, Started, race
from tests.support.factories import UserFactory
from tests.support.ledger_guards import behind_the_guards, everything, sql

LAST = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
postgresql_only = pytest.mark.only_on("postgresql", reason="SQLite has one writer at a time")


def choose(cast: Cast, choice: str, organization: Organization | None = None) -> PrivacySetting:
    return choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=organization or cast.labs,
        choice=choice,
        actor=cast.provider,
        source="admin",
        reason="By telephone",
        version_required=False,
    )


def positions() -> list[tuple[int, int]]:
    return list(EventPosition.objects.order_by("position").values_list("position", "event_id"))


# --- The clock ---------------------------------------------------------------------------------------------------


def test_clock__nothing_before__now_with_a_time_zone(db: None) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    assert before < ledger.clock() < before + dt.timedelta(hours=2)
    assert ledger.clock().utcoffset() == dt.timedelta()


def test_clock__latest_of_several_lies_ahead__a_microsecond_after_it(db: None) -> None:
    assert ledger.clock(LAST, None, LAST - MICROSECOND) == LAST + MICROSECOND


CLOCKS: dict[str, Callable[[int], dt.datetime]] = {
    "stands still": lambda n: LAST,
    "goes back": lambda n: LAST - n * dt.timedelta(hours=1),
    "jumps": lambda n: LAST + (-1) ** n * dt.timedelta(days=n),
}


@pytest.mark.parametrize("course", CLOCKS)
def test_membership_and_choice__clock_is_wrong__neither_moves_the_other(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, course: str
) -> None:
    """Else the instants of the one, which the organization sees, would tell how often the other was changed (R4)."""

    def instants(chosen: int) -> list[dt.datetime]:
        with transaction.atomic():
            monkeypatch.setattr(ledger, "_database_now", lambda: LAST)
            for n in range(chosen):
                choices.choose(
                    surface=LE_CHAT_MOBILE,
                    organization=cast.labs,
                    member=cast.labs_member,
                    choice=("opted_out", "opted_in")[n % 2],
                    actor=Actor.from_user(cast.member, confirmed=True),
                    source="data_controls",
                    version_required=False,
                )
            told = iter(range(1, 1000))
            monkeypatch.setattr(ledger, "_database_now", lambda: CLOCKS[course](next(told)))
            by: dict[str, Any] = {"actor": cast.provider, "source": "admin"}
            member = members.update_member(member=cast.labs_member, role="auditor", **by)
            members.remove_member(member=member, **by)
            members.add_member(organization=cast.labs, email=cast.member.email, **by)
            rows = ConsentEvent.objects.filter(member=cast.labs_member, product="").order_by("pk")
            found = list(rows.values_list("recorded_at", flat=True))
            transaction.set_rollback(True)
        return found

    assert len(instants(0)) == 4
    assert instants(0) == instants(1) == instants(5)


@pytest.mark.parametrize("course", CLOCKS)
def test_events_of_a_subject__clock_is_wrong__strictly_increase(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, course: str
) -> None:
    told = iter(range(1, 1000))
    monkeypatch.setattr(ledger, "_database_now", lambda: CLOCKS[course](next(told)))
    member = Actor.from_user(cast.member, confirmed=True)
    for choice in ("opted_out", "opted_in", "opted_out"):
        choose(cast, choice)
        choices.choose(
            surface=LE_CHAT_MOBILE,
            organization=cast.labs,
            member=cast.labs_member,
            choice=choice,
            actor=member,
            source="data_controls",
            version_required=False,
        )
    for name in ("One", "Two"):
        organizations.update_organization(organization=cast.labs, name=name, actor=cast.provider, source="admin")
    of_labs = {"organization": cast.labs, "actor": cast.provider, "source": "admin"}
    organizations.close_organization(**of_labs, reason="r")
    organizations.reopen_organization(**of_labs, reason="r")
    members.remove_member(member=cast.labs_member, actor=cast.provider, source="admin")
    members.add_member(**of_labs, email=cast.member.email)

    subjects: dict[Any, list[dt.datetime]] = {}
    for event in ConsentEvent.objects.filter(organization=cast.labs).order_by("pk"):
        subjects.setdefault((event.member_id, event.product), []).append(event.recorded_at)
    assert len(subjects) >= 5
    for instants in subjects.values():
        assert instants == sorted(set(instants))
    assert verification.verify().problems == []


@postgresql_only
def test_clock__on_postgresql__goes_on_within_a_transaction(db: None) -> None:
    # now() would stand still for all of the transaction, and be that of its beginning, before the lock.
    first = ledger.clock()
    sql("SELECT pg_sleep(0.002)")
    assert ledger.clock() > first


def test_history_clock__installation_with_a_history__refused(cast: Cast) -> None:
    with pytest.raises(RuntimeError, match="history of its own"), ledger.history_clock():
        pytest.fail("the clock was set back")


def test_history_clock__empty_installation__tells_a_history_and_stops(db: None) -> None:
    operator = Actor.from_user(UserFactory(email="odin@provider.example", superuser=True), confirmed=True)
    then = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    with ledger.history_clock() as travel:
        travel(then)
        made = organizations.create_organization(draft=OrganizationDraft(name="Old"), actor=operator, source="command")
    assert made.created_at == then
    assert ledger.clock() > then + dt.timedelta(days=1)


# --- Positions ---------------------------------------------------------------------------------------------------


def test_sequence__events_are_pending__placed_gapless_in_order_of_id_and_again_nothing(cast: Cast) -> None:
    events = list(ConsentEvent.objects.order_by("pk").values_list("pk", flat=True))
    assert PendingEvent.objects.count() == len(events)
    assert ledger.head() == 0
    assert ledger.sequence() == len(events)
    assert positions() == list(enumerate(events, start=1))
    assert ledger.head() == len(events)
    before = everything()
    assert ledger.sequence() == 0
    assert everything() == before
    placed = EventPosition.objects.first()
    assert placed is not None and placed.organization_id == placed.event.organization_id


def test_sequence__more_than_one_transaction_takes__places_all(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_PLACE_PER_TRANSACTION", 2)
    count = ConsentEvent.objects.count()
    assert count > 4
    assert ledger.sequence() == count
    assert [position for position, _ in positions()] == list(range(1, count + 1))
    assert not PendingEvent.objects.exists()


def test_feed__reads__in_order_of_position_and_placed_events_only(cast: Cast) -> None:
    ledger.sequence()
    choose(cast, "opted_out")
    placed = [event.pk for event in ConsentEvent.objects.all().placed()]
    assert placed == [event for _, event in positions()]
    assert ConsentEvent.objects.count() == len(placed) + 1


class Reader:
    """Reads by position as feeds do, and by id as one would without thinking."""

    def __init__(self) -> None:
        self.position, self.by_position = 0, list[int]()
        self.id, self.by_id = 0, list[int]()
        self.read()

    def read(self) -> None:
        for position, event in EventPosition.objects.filter(position__gt=self.position).values_list(
            "position", "event_id"
        ):
            assert position == self.position + 1
            self.position = position
            self.by_position.append(event)
        for pk in ConsentEvent.objects.filter(pk__gt=self.id).order_by("pk").values_list("pk", flat=True):
            self.id = pk
            self.by_id.append(pk)


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_reader__lower_id_becomes_visible_later__by_position_has_it_and_by_id_loses_it(cast: Cast) -> None:
    ledger.sequence()
    reader = Reader()
    with transaction.atomic():
        choose(cast, "opted_out")
        slow = ConsentEvent.objects.latest("pk").pk
        # Meanwhile another organization's change takes the next id and commits; somebody sequences and reads.
        quick = Started(lambda: choose(cast, "opted_out", cast.brage)).result().last_event_id
        assert quick > slow

        def read() -> None:
            ledger.sequence()
            reader.read()

        Started(read).result()
        assert slow not in reader.by_position
    read()
    assert reader.by_position[-2:] == [quick, slow]
    assert slow not in reader.by_id, "the naive reader was to lose it"
    assert set(ConsentEvent.objects.values_list("pk", flat=True)) == set(reader.by_position)
    assert verification.verify().problems == []


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_two_sequencers__at_the_same_time__second_waits_and_nothing_is_placed_twice(cast: Cast) -> None:
    count = ConsentEvent.objects.count()

    def late() -> None:
        choose(cast, "opted_out")
        ledger.sequence()

    assert race(ledger.sequence, late)
    assert [position for position, _ in positions()] == list(range(1, count + 2))
    assert verification.verify().problems == []


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_two_sequencers__without_the_lock__collide(cast: Cast) -> None:
    def place() -> None:
        sql(ledger._PLACE, [1000])

    with pytest.raises(DatabaseError, match="duplicate key"):
        race(place, place)


WRITERS, CHANGES, SEQUENCERS = 8, 12, 2


def on_its_own_connection(call: Callable[[], Any]) -> Any:
    try:
        return call()
    finally:
        connections.close_all()


def by_subject(ids: list[int]) -> dict[Any, list[ConsentEvent]]:
    """The events of each layer, in the order of these ids."""
    events, subjects = ConsentEvent.objects.in_bulk(ids), dict[Any, list[ConsentEvent]]()
    for event in map(events.__getitem__, ids):
        subjects.setdefault((event.organization_id, event.member_id, event.product), []).append(event)
    return subjects


@pytest.mark.django_db(transaction=True)
def test_eight_writers_and_two_sequencers__all_at_once__lose_and_reorder_nothing(cast: Cast) -> None:
    made = organizations.create_organizations(
        [OrganizationDraft(name=f"Organization {n}") for n in range(WRITERS // 2)],
        actor=cast.provider,
        source="admin",
    )
    done = threading.Event()
    reader = Reader()

    def write(n: int) -> int:
        # Two writers share an organization, so ids of one subject come from both.
        for k in range(CHANGES):
            organizations.update_organization(
                organization=made[n // 2], name=f"Name {n} {k}", actor=cast.provider, source="admin"
            )
        return CHANGES

    def keep_placing() -> int:
        placed = 0
        while not done.is_set():
            placed += ledger.sequence()
            time.sleep(0.02)  # SQLite hands the write lock to whoever asks often: leave the writers a turn
        return placed

    def keep_reading() -> None:
        while not done.is_set():
            reader.read()

    with concurrent.futures.ThreadPoolExecutor(WRITERS + SEQUENCERS + 1) as pool:
        others = [pool.submit(on_its_own_connection, keep_placing) for _ in range(SEQUENCERS)]
        others.append(pool.submit(on_its_own_connection, keep_reading))
        try:
            writers = [pool.submit(on_its_own_connection, lambda n=n: write(n)) for n in range(WRITERS)]
            assert [writer.result(LIMIT) for writer in writers] == [CHANGES] * WRITERS
        finally:
            done.set()
        for other in others:
            other.result(LIMIT)
    ledger.sequence()
    reader.read()

    assert sorted(reader.by_position) == sorted(ConsentEvent.objects.values_list("pk", flat=True))
    assert len(set(reader.by_position)) == len(reader.by_position)
    subjects = by_subject(reader.by_position)
    for of_one in subjects.values():
        assert [event.pk for event in of_one] == sorted(event.pk for event in of_one)
        assert [event.recorded_at for event in of_one] == sorted(event.recorded_at for event in of_one)
    assert max(len(of_one) for of_one in subjects.values()) == 2 * CHANGES + 1
    assert verification.verify().problems == []


@pytest.mark.django_db(transaction=True)
def test_sequence__in_one_transaction_with_its_events__rolled_back_with_them(cast: Cast) -> None:
    before = everything()

    class Abort(Exception):
        pass

    def write_place_and_fail() -> None:
        with transaction.atomic():
            choose(cast, "opted_out")
            ledger.sequence()
            raise Abort

    with pytest.raises(Abort):
        write_place_and_fail()
    assert everything() == before


def test_note_pending__trigger_away_while_an_event_is_written__verification_names_it(cast: Cast) -> None:
    ledger.sequence()
    with behind_the_guards():
        choose(cast, "opted_out")
    event = ConsentEvent.objects.latest("pk").pk
    assert f"event {event} has no position and is not pending" in verification.verify().problems


def test_members_and_organizations__of_the_cast__have_a_position_each(cast: Cast) -> None:
    ledger.sequence()
    for table in (Organization, Member):
        assert table.objects.count() > 0
    told = set(EventPosition.objects.values_list("organization_id", flat=True))
    assert told == set(Organization.objects.values_list("pk", flat=True))
