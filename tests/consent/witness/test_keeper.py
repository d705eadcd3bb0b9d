"""The witness's lines as the worker writes them, and what it finds by them in a database that was restored."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.fields import new_id, raw_id
from consent import ledger
from consent.models import EventPosition, Installation, PendingEvent, Trouble
from consent.proofs.witness import START, LogHead, chained
from consent.proofs.witness_files import Witness
from consent.witness import chain, guard, judging, keeper
from tests.support.cast import Cast
from tests.support.choices import choose
from tests.support.ledger_guards import behind_the_guards, sql

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def path(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.WITNESS = [str(tmp_path / "witness.jsonl")]
    settings.WITNESS_CHECK_SECONDS = 0
    guard.forget(connection=connection)
    yield tmp_path / "witness.jsonl"
    guard.forget(connection=connection)


def kept(path: Path) -> Witness:
    assert keeper.keep() == ""  # as at the start of a worker, so that its other threads are trusted
    assert guard.check() == ""
    ledger.sequence()
    assert keeper.keep() == ""
    return Witness((path,))


def test_keep__new_events__are_in_a_line_each_time(cast: Cast, path: Path) -> None:
    files = kept(path)
    first = files.last()
    choose(cast, "opted_out", cast.provider, source="admin", reason="Asked for")
    kept(path)

    begun, last = files.lines()
    assert begun == first and begun.after == 0 and begun.previous == START
    assert last.position == ledger.head() and last.after == begun.position and last.previous == begun.hash
    assert last.events == last.position
    (change,) = last.changes
    assert change[1:] == ("choice.opted_out", str(cast.labs.pk), "", "le_chat", False)
    found = Installation.objects.current()
    assert found.witness_kept and found.witnessed_position == last.position
    assert begun.installation == str(found.pk)


def test_keep__nothing_new__writes_nothing(cast: Cast, path: Path) -> None:
    kept(path)
    before = path.read_bytes()
    kept(path)
    assert path.read_bytes() == before


def test_keep__many_events__are_several_lines_that_follow_each_other(
    cast: Cast, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(path)
    monkeypatch.setattr(keeper, "_EVENTS_A_LINE", 2)
    monkeypatch.setattr(keeper, "_EVENTS_A_ROUND", 4)
    for choice in ["opted_out", "opted_in"] * 5:
        choose(cast, choice, cast.provider, source="admin", reason="Asked for")
    kept(path)
    lines = list(Witness((path,)).lines(ledger.head() - 11))

    assert [line.position - line.after for line in lines[1:]] == [2] * 5
    assert all(a.hash == b.previous and a.position == b.after for a, b in itertools.pairwise(lines))
    assert lines[-1].hash == chain.hash_at(lines[-1].position, lines[0].position, lines[0].hash)


def test_keep__events_that_wait_for_a_position__are_counted(cast: Cast, path: Path) -> None:
    kept(path)
    choose(cast, "opted_out", cast.provider, source="admin", reason="Asked for")
    path.unlink()
    Installation.objects.update(witness_kept=False)
    waiting = PendingEvent.objects.count()
    assert keeper.keep() == ""
    line = Witness((path,)).last()
    assert waiting and line and line.events == line.position + waiting
    assert kept(path).last() != line


def test_keep__in_a_transaction__is_refused(path: Path) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="committed"):
        keeper.keep()


def test_keep__without_the_setting__does_nothing(cast: Cast) -> None:
    assert keeper.keep() == ""
    assert not Installation.objects.current().witness_kept


def remove_last() -> None:
    """As in a backup from before the last event."""
    head = EventPosition.objects.get(position=ledger.head())
    with behind_the_guards():
        sql("DELETE FROM consent_eventposition WHERE position = %s", [head.position])
        sql("DELETE FROM consent_consentevent WHERE id = %s", [head.event_id])


def alter_one() -> None:
    head = EventPosition.objects.get(position=ledger.head())
    with behind_the_guards():
        sql("UPDATE consent_consentevent SET reason = 'another' WHERE id = %s", [head.event_id])


def remove_and_go_on(cast: Cast) -> None:
    remove_last()
    choose(cast, "opted_out", cast.provider, source="admin", reason="Another event in its place")
    # As a program would that knows of no witness.
    with connection.cursor() as cursor:
        cursor.execute(ledger._PLACE, [10])
        cursor.execute("DELETE FROM consent_pendingevent")


TAMPERING: dict[str, tuple[Callable[[Cast], object], Trouble]] = {
    "restored": (lambda _cast: remove_last(), Trouble.HEAD_LOWER),
    "event altered": (lambda _cast: alter_one(), Trouble.OTHER_HASH),
    "restored and gone on": (remove_and_go_on, Trouble.OTHER_HASH),
    "another installation": (
        lambda _cast: sql("UPDATE consent_installation SET id = %s", [another_id()]),
        Trouble.OTHER_INSTALLATION,
    ),
    "later epoch": (lambda _cast: Installation.objects.update(epoch=2), Trouble.OTHER_EPOCH),
}


def another_id() -> Any:
    return raw_id(new_id())


@pytest.mark.parametrize("case", TAMPERING)
def test_keep__database_is_not_the_one__is_quarantine_and_stays(cast: Cast, path: Path, case: str) -> None:
    choose(cast, "opted_out", cast.provider, source="admin", organization=cast.brage)
    kept(path)
    before = path.read_bytes()
    act, trouble = TAMPERING[case]
    act(cast)

    assert guard.check() == trouble, "a process that reads the file sees it by itself"
    assert keeper.keep() == trouble
    found = Installation.objects.current()
    assert found.quarantine == trouble and found.quarantined_at
    assert path.read_bytes() == before
    # Nothing gets a position, and the verdict does not go away.
    choose(cast, "opted_out", cast.provider, source="admin")
    head = ledger.head()
    assert ledger.sequence() == 0 and ledger.head() == head
    assert keeper.keep() == trouble


def test_keep__pending_event_lost__is_quarantine(cast: Cast, path: Path) -> None:
    choose(cast, "opted_out", cast.provider, source="admin")
    assert keeper.keep() == ""
    with behind_the_guards():
        sql("DELETE FROM consent_consentevent WHERE id IN (SELECT event_id FROM consent_pendingevent)")
        sql("DELETE FROM consent_pendingevent")
    assert keeper.keep() == Trouble.FEWER_EVENTS


def test_keep__file_gone__is_lost_only_where_one_was_kept_and_over_when_it_is_back(cast: Cast, path: Path) -> None:
    kept(path)
    elsewhere = path.rename(path.with_suffix(".away"))
    assert keeper.keep() == Trouble.WITNESS_LOST
    assert Installation.objects.current().quarantine == Trouble.WITNESS_LOST
    assert guard.check()
    assert not path.exists(), "nothing is begun anew by itself"

    elsewhere.rename(path)
    assert keeper.keep() == ""
    assert not guard.check()
    assert Installation.objects.current().quarantine == ""


def test_keep__file_damaged__is_quarantine_until_it_is_back(cast: Cast, path: Path) -> None:
    kept(path)
    whole = path.read_bytes()
    path.write_bytes(b"a\nb\nc\n")
    assert keeper.keep() == Trouble.WITNESS_DAMAGED
    path.write_bytes(whole)
    assert keeper.keep() == ""


def test_keep__disk_unmounted__is_lost(cast: Cast, path: Path, settings: Any) -> None:
    kept(path)
    settings.WITNESS = [str(path.parent / "unmounted" / "witness")]
    assert keeper.keep() == Trouble.WITNESS_LOST


def test_keep__log__is_in_the_line_and_a_fork_of_it_is_quarantine(
    cast: Cast, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = {2: "aa" * 32, 3: "bb" * 32}
    size = 2
    monkeypatch.setattr(judging, "_log", [])
    judging.register_log(judging.LogReader(lambda: LogHead(size, heads[size]), heads.get))
    kept(path)
    size = 3
    files = kept(path)
    assert [line.log for line in files.lines()] == [LogHead(2, heads[2]), LogHead(3, heads[3])]
    heads[3] = "cc" * 32
    assert keeper.keep() == Trouble.LOG_FORKED
    del heads[3]
    Installation.objects.update(quarantine="", quarantined_at=None)
    size = 2
    assert keeper.keep() == Trouble.LOG_BEHIND


def test_chain__event_of_today__has_the_hash_that_files_of_yesterday_know(cast: Cast) -> None:
    """Names and spelling of what is chained are for good: a column that is renamed keeps its name here."""
    ledger.sequence()
    event = next(chain.events(0, 1))
    found = json.loads(event.text)
    assert {"position", "id", "recorded_at", "organization_id", "kind", "actor_type", "source"} <= set(found)
    assert found["position"] == 1 and isinstance(found["recorded_at"], int)
    assert chained(START, [event.text]) == chain.hash_at(1, 0, START)
    assert chain.hash_at(ledger.head() + 1, 0, START) is None
