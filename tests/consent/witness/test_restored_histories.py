"""Random histories: every copy of an earlier moment is recognised, and the database itself never taken for one."""

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from consent import ledger
from consent.models import Installation
from consent.proofs.witness import Line
from consent.witness import guard, judging, keeper
from tests.support.cast import Cast
from tests.support.choices import choose

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.only_on("sqlite", reason="what it copies is a file; `make restore-drill` restores a server's"),
]
Copies = list[tuple[Path, int]]


@pytest.fixture
def places(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.WITNESS = [str(tmp_path / "one"), str(tmp_path / "two")]
    settings.WITNESS_CHECK_SECONDS = 0
    live = connection.settings_dict["NAME"]
    yield tmp_path
    use(live)
    guard.forget(connection=connection)


def use(name: object) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


def copied(to: Path) -> Path:
    connection.ensure_connection()
    with contextlib.closing(sqlite3.connect(to)) as copy:
        connection.connection.backup(copy)
    return to


def lived(cast: Cast, places: Path, dice: random.Random) -> Copies:
    """A history with copies of some moments, and for each how many events there were. Nowhere a false alarm."""
    copies: Copies = []
    for step in range(25):
        one = dice.choice([cast.labs, cast.brage])
        said = dice.choice(["opted_in", "opted_out"])
        choose(cast, said, cast.provider, source="admin", reason=f"{step}", organization=one)
        if dice.random() < 0.5:
            assert guard.check() == ""
            ledger.sequence()
        if dice.random() < 0.5:
            assert keeper.keep() == ""
        if dice.random() < 0.3:
            connection.close()  # a new connection is judged again
        assert guard.check() == ""
        if dice.random() < 0.4:
            copies.append((copied(places / f"copy-{step}"), judging.facts().events))
        if dice.random() < 0.1:
            (places / "one").unlink(missing_ok=True)  # the other one has it all
    ledger.sequence()
    assert keeper.keep() == "" and guard.check() == ""
    return copies


def gone_on(cast: Cast, line: Line) -> None:
    """As with a program that knows of no witness: other events at the positions that were lost, and beyond."""
    with connection.cursor() as cursor:
        while ledger.head() <= line.position:
            for said in ("opted_out", "opted_in"):
                choose(cast, said, cast.provider, source="admin", reason="Another", organization=cast.labs)
            cursor.execute(ledger._PLACE, [1_000])
            cursor.execute("DELETE FROM consent_pendingevent")


@pytest.mark.parametrize("seed", range(6))
def test_histories__restored_to_any_earlier_moment__are_always_noticed_and_never_without(
    cast: Cast, places: Path, settings: Any, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311  a die, no secret
    live, files = connection.settings_dict["NAME"], settings.WITNESS
    assert keeper.keep() == ""
    copies = lived(cast, places, dice)
    line = judging.witness().last()  # type: ignore[union-attr]
    assert line is not None and line.position == ledger.head()
    noticed = 0
    for path, events in copies:
        use(str(path))
        earlier = events < line.events or ledger.head() < line.position
        assert bool(guard.check()) is earlier, path
        noticed += earlier
        if earlier and dice.random() < 0.5:
            settings.WITNESS = []
            Installation.objects.update(witness_kept=False)
            guard.forget(connection=connection)
            gone_on(cast, line)
            settings.WITNESS = files
            earlier = events < line.events  # what only had no position yet is there, and may have got the same
            assert guard.check() != "" or not earlier
        if earlier:
            before = (places / "two").read_bytes()
            assert keeper.keep() != ""
            assert (places / "two").read_bytes() == before
    assert noticed
    use(live)
    assert guard.check() == "" and keeper.keep() == ""
