"""A snapshot is of its position whatever others write meanwhile; its instant is before all that it does not know."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.fields import to_micros
from accounts.models import Organization
from consent import ledger
from consent.models import ConsentEvent, EventPosition, PendingEvent
from consent.pipeline import Snapshot
from consent.pipeline.errors import PipelineError
from consent.services import choices
from consent.snapshots import cut as cutting
from consent.snapshots.exporting import export_snapshot
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.cast import Cast
from tests.support.concurrency import Started
from tests.support.replay import cut_at, replay, rows_at
from tests.support.snapshots import VERIFY_KEY

MICROSECOND = dt.timedelta(microseconds=1)


def opt_out(cast: Cast, organization: Organization | None = None) -> ConsentEvent:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=organization or cast.labs, choice="opted_out", actor=cast.provider,
        source="admin", version_required=False,
    )  # fmt: skip
    return ConsentEvent.objects.latest("pk")


def reasons(rows: dict[str, list[dict[str, Any]]]) -> dict[Any, str]:
    return {row["organization"]: row["le_chat_reason"] for row in rows["organizations"]}


def test_cut__event_without_a_position__is_not_contained_and_later(cast: Cast) -> None:
    ledger.sequence()
    event = opt_out(cast)
    assert PendingEvent.objects.filter(event=event).exists()
    found = cut_at()
    assert found.decided_at == event.recorded_at - MICROSECOND
    assert rows_at(found) == replay(found.position)
    assert reasons(rows_at(found))[cast.labs.pk] == "plan_default"


def test_cut__earlier_position__instant_before_the_next_event(cast: Cast) -> None:
    ledger.sequence()
    position = ledger.head()
    event = opt_out(cast)
    opt_out(cast, cast.brage)
    ledger.sequence()
    found = cut_at(position)
    assert found.decided_at == event.recorded_at - MICROSECOND
    assert reasons(rows_at(found))[cast.labs.pk] == "plan_default"
    assert cut_at(position + 1).decided_at < ConsentEvent.objects.latest("pk").recorded_at


def test_cut__quiet_ledger__instant_is_that_of_asking(cast: Cast) -> None:
    """Not that of the last event: else nothing collected since then could be used."""
    ledger.sequence()
    before = ledger.clock()
    assert before - MICROSECOND <= cut_at().decided_at <= ledger.clock()


def test_quiet_instant__clock_stands_still__before_it(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor == "sqlite":
        at = ledger.clock()
        monkeypatch.setattr("accounts.clock.database_now", lambda: at)
        assert cutting.quiet_instant() == at - MICROSECOND


@pytest.mark.django_db(transaction=True)
def test_export__opt_out_while_rows_are_read__is_in_none_of_the_files(cast: Cast, tmp_path: Path) -> None:
    written: list[ConsentEvent] = []

    def meanwhile(_rows: int) -> None:
        if not written:  # after the organizations, before the members
            written.append(Started(lambda: opt_out(cast)).result())
            Started(ledger.sequence).result()

    done = export_snapshot(tmp_path, on_rows=meanwhile)
    assert ledger.head() == done.position + 1
    found = Snapshot.open(done.written.folder, VERIFY_KEY)
    assert found.decided_at < to_micros(written[0].recorded_at)
    assert reasons(rows_at(cut_at(done.position)))[cast.labs.pk] == "plan_default"
    again = export_snapshot(tmp_path / "again", done.position)
    assert again.written.files == done.written.files
    assert export_snapshot(tmp_path / "again").written.files != done.written.files


@pytest.mark.only_on("postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_export__written_before_and_committed_after__is_of_a_later_position(cast: Cast, tmp_path: Path) -> None:
    ledger.sequence()
    with transaction.atomic():
        first = opt_out(cast)
        second = Started(lambda: opt_out(cast, cast.brage)).result()
        done = Started(lambda: export_snapshot(tmp_path)).result()
    assert first.pk < second.pk and done.decided_at < first.recorded_at < second.recorded_at
    ledger.sequence()
    places = dict(EventPosition.objects.values_list("event_id", "position"))
    assert places[second.pk] == done.position == places[first.pk] - 1
    found = cut_at(done.position)
    assert found.floor == first.pk < found.ceiling == second.pk
    told = reasons(rows_at(found))
    assert (told[cast.labs.pk], told[cast.brage.pk]) == ("plan_default", "organization_opted_out")
    assert export_snapshot(tmp_path / "again", done.position).written.files == done.written.files
    assert reasons(rows_at(cut_at()))[cast.labs.pk] == "organization_opted_out"


@pytest.mark.only_on("postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_quiet_instant__transaction_that_has_written_nothing_yet__before_its_start(cast: Cast) -> None:
    """It may have looked at the clock already."""
    with transaction.atomic():
        ledger.clock()
        with connection.cursor() as cursor:
            cursor.execute("SELECT now()")
            (begun,) = cursor.fetchone()
        assert Started(cutting.quiet_instant).result() == begun - MICROSECOND
    assert Started(cutting.quiet_instant).result() > begun


@pytest.mark.only_on("postgresql", reason="SQLite has no roles")
@pytest.mark.django_db(transaction=True)
def test_quiet_instant__transactions_of_another_role_that_writes__refused_unless_they_are_shown(cast: Cast) -> None:
    """They are hidden: what such a transaction has written, and not committed, would count as not written."""
    role = f"blind_{connection.settings_dict['NAME']}"

    def blind(*, may_see: bool) -> dt.datetime:
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE ROLE "{role}"')
            try:
                if may_see:
                    cursor.execute(f'GRANT pg_read_all_stats TO "{role}"')
                cursor.execute(f'SET SESSION AUTHORIZATION "{role}"')
                return cutting.quiet_instant()
            finally:
                cursor.execute("RESET SESSION AUTHORIZATION")
                cursor.execute(f'DROP ROLE "{role}"')

    with transaction.atomic():
        event = opt_out(cast)
        with pytest.raises(PipelineError, match="hidden from this one"):
            Started(lambda: blind(may_see=False)).result()
        assert Started(lambda: blind(may_see=True)).result() < event.recorded_at


def test_cut__twin_that_contains_every_event__tells_of_what_has_no_position(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the replay would notice."""
    ledger.sequence()
    opt_out(cast)
    monkeypatch.setattr(cutting.Cut, "contains", lambda _self, event: f"{event}.id > 0")
    found = cut_at()
    assert rows_at(found) != replay(found.position)
    assert reasons(rows_at(found))[cast.labs.pk] == "organization_opted_out"
