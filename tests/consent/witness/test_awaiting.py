"""With WITNESS_SYNC a write that tightens is answered once its line is on disk, or says that it is not."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from consent import ledger
from consent.models import ConsentEvent
from consent.proofs.witness_files import Witness
from consent.witness import awaiting, guard, keeper
from tests.support.callers import World

pytestmark = pytest.mark.django_db(transaction=True)
OUT = {"choice": "opted_out"}


@pytest.fixture
def path(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.WITNESS, settings.WITNESS_SYNC = [str(tmp_path / "witness")], True
    guard.forget(connection=connection)
    yield tmp_path / "witness"
    guard.forget(connection=connection)


@contextlib.contextmanager
def a_worker() -> Iterator[None]:
    told = threading.Event()

    def work() -> None:
        while not told.is_set():
            ledger.sequence()
            keeper.keep()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        told.set()
        thread.join()


def test_opt_out__worker_writes_the_line__is_answered_after_it(world: World, path: Path) -> None:
    with a_worker():
        answer = world.key.put(f"{world.labs}privacy-settings/le_chat_console/", OUT)
        position = ConsentEvent.objects.get(kind="choice.opted_out").placed.position
        line = Witness((path,)).last()
    assert answer.status_code == 200 and "witnessed" not in answer.json() and "Witnessed" not in answer
    assert line is not None and line.position >= position


def test_opt_out__no_worker__is_stored_and_answered_as_not_witnessed(
    world: World, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaiting, "SECONDS", 0.05)
    answer = world.key.put(f"{world.labs}privacy-settings/le_chat_console/", OUT)

    assert answer.status_code == 200 and answer.json()["witnessed"] is False and answer["Witnessed"] == "false"
    assert answer.json()["choice"] == "opted_out"
    read = world.key.get(f"{world.labs}privacy-settings/le_chat_console/")
    assert "witnessed" not in read.json() and "Witnessed" not in read
    assert answer["ETag"] == read["ETag"]


def test_opt_in__loosens__does_not_wait(world: World, path: Path) -> None:
    path_of = f"{world.labs}privacy-settings/le_chat_console/"
    tag = world.operator_key.get(path_of)["ETag"]
    answer = world.operator_key.put(path_of, {"choice": "opted_in", "reason": "Asked"}, If_Match=tag)
    assert answer.status_code == 200 and "witnessed" not in answer.json()
