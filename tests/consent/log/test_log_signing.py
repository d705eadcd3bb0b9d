"""What the log refuses to sign: whatever could become a second log under the name of the first."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from consent import ledger
from consent.log import appending, checkpoints, keys, origins
from consent.models import EventSalt, Installation, LogCheckpoint, LogOrigin, Restore
from consent.proofs.witness_files import Witness
from consent.services import restored
from consent.witness import guard, keeper
from tests.support.cast import Cast
from tests.support.ledger_guards import behind_the_guards, sql
from tests.support.log import ORIGIN, SETTINGS, add_events, step

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kept(settings: Any) -> Iterator[None]:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    yield
    guard.forget(connection=connection)  # what it found in a test is rolled back


def sizes() -> list[int]:
    return list(LogCheckpoint.objects.order_by("size").values_list("size", flat=True))


def names() -> list[str]:
    """The name at the top of each checkpoint."""
    return [each.note.partition("\n")[0] for each in LogCheckpoint.objects.order_by("size")]


def test_sign__witness_is_kept_but_not_seen_here__refused() -> None:
    """By its position alone the events could have other salts than those that the witness has the tree of."""
    add_events(3)
    Installation.objects.update(witness_kept=True, witnessed_position=3)
    step()
    assert EventSalt.objects.count() == 3 and sizes() == []
    with pytest.raises(checkpoints.Refused, match="does not see its files"):
        checkpoints.sign(at_once=True)


def test_sign__no_witness_was_ever_kept__signs() -> None:
    add_events(3)
    step()
    assert sizes() == [3]


def test_sign__after_a_restored_database_was_adopted__never_again_under_that_name(cast: Cast) -> None:
    ledger.sequence()
    step()
    before = sizes()
    restored.begin_epoch(epoch=2, restored_to=3, lost_to=3, actor=cast.provider, reason="Both disks failed")
    ledger.sequence()
    assert appending.Appender().append()
    with pytest.raises(checkpoints.Refused, match="A restored database was adopted"):
        checkpoints.sign()
    step()
    assert sizes() == before and Restore.objects.count() == 1
    assert checkpoints.standing().state == "paused" and origins.is_paused()
    origins.resume()
    step()
    assert sizes() == [*before, ledger.head()]
    assert names() == [ORIGIN, f"{ORIGIN}/2"]
    assert checkpoints.standing()[:1] + checkpoints.standing()[-1:] == ("ok", 2)


def test_sign__log_that_begins_after_a_restore__under_the_name_of_its_epoch(cast: Cast) -> None:
    """The lost ledger may have had a log, under the name of the epoch before."""
    restored.begin_epoch(epoch=2, restored_to=3, lost_to=3, actor=cast.provider, reason="Both disks failed")
    ledger.sequence()
    step()
    assert sizes() == [ledger.head()] and names() == [f"{ORIGIN}/2"]


def test_sign__another_origin_is_set__refused(settings: Any) -> None:
    add_events(3)
    step()
    add_events(3)
    assert appending.Appender().append()
    settings.LOG_ORIGIN = "elsewhere.example/log"
    with pytest.raises((checkpoints.Refused, keys.BadKey)):
        checkpoints.sign()
    step()
    assert sizes() == [3]


def test_step__in_quarantine__adds_and_signs_nothing() -> None:
    add_events(3)
    Installation.objects.update(quarantine="head_lower", quarantined_at=ledger.clock())
    guard.check()
    step()
    assert sizes() == [] and not EventSalt.objects.exists()


def test_pause__nothing_was_signed_here_yet__nothing_is(cast: Cast) -> None:
    """The copy that this one comes from may have signed, under the same key, what came after."""
    ledger.sequence()
    origins.pause()
    step()
    assert sizes() == [] and checkpoints.standing().state == "paused"
    origins.resume()
    step()
    assert sizes() == [ledger.head()]


def test_pause__no_log_is_kept__nothing_begins(settings: Any) -> None:
    settings.LOG_SIGNING_KEY = ""
    origins.pause()
    assert not LogOrigin.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_sign__witness_without_this_tree__waits_for_its_line(settings: Any, tmp_path: Path) -> None:
    """Positions are not enough: salts that are drawn anew, after a restore, make another tree of the same events."""
    settings.WITNESS = [str(tmp_path / "witness")]
    add_events(3)
    appending.Appender().append()
    assert checkpoints.sign() is None
    assert keeper.keep() == ""
    line = Witness.at(settings.WITNESS).last()
    assert line is not None and line.log == checkpoints.head()
    made = checkpoints.sign()
    assert made is not None and made.size == 3


@pytest.mark.django_db(transaction=True)
def test_sign__witness_has_another_tree_of_that_size__nothing(settings: Any, tmp_path: Path) -> None:
    """Even where the quarantine was not noticed yet."""
    settings.WITNESS = [str(tmp_path / "witness")]
    add_events(3)
    appending.Appender().append()
    assert keeper.keep() == ""
    with behind_the_guards():
        sql("DELETE FROM consent_eventsalt")
    appending.Appender().append()
    assert checkpoints.sign() is None and sizes() == []


@pytest.mark.django_db(transaction=True)
def test_judge__salts_drawn_anew__log_forked(settings: Any, tmp_path: Path) -> None:
    settings.WITNESS = [str(tmp_path / "witness")]
    add_events(3)
    appending.Appender().append()
    assert keeper.keep() == ""
    with behind_the_guards():
        sql("DELETE FROM consent_eventsalt")
    assert keeper.keep() == "log_behind"
    Installation.objects.update(quarantine="", quarantined_at=None)
    appending.Appender().append()
    assert guard.check() == "log_forked"


def test_sign__restore_adopted_meanwhile__nothing_under_the_old_name(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question whether it may be signed and the row: the last moment at which anybody can look."""
    add_events(3)
    appending.Appender().append()
    turn = checkpoints._take_turn

    def adopt_and_take_turn() -> None:
        restored.begin_epoch(epoch=2, restored_to=3, lost_to=3, actor=cast.provider, reason="Both disks failed")
        turn()

    monkeypatch.setattr(checkpoints, "_take_turn", adopt_and_take_turn)
    assert checkpoints.sign() is None and sizes() == [] and not LogOrigin.objects.exists()
