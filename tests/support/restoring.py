"""A database that is restored to an earlier moment: what was done since is gone, but for the witness's lines."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from django.db import connection, transaction

from consent import ledger
from consent.models import EventPosition
from consent.proofs.witness_files import Witness
from consent.transfer import state
from consent.witness import guard, judging, keeper


def witness_all() -> None:
    """What the worker does: give events their positions, and note them."""
    guard.check()
    ledger.sequence()
    files = Witness.at(witness_paths())
    with files.held() as held:
        keeper._write(held, files.last(), judging.facts())
    guard.forget(connection=connection)


def witness_paths() -> list[str]:
    files = judging.witness()
    assert files is not None
    return [str(path) for path in files.paths]


@contextlib.contextmanager
def lost(copy: Path | None = None) -> Iterator[None]:
    """Whatever is done in the block is witnessed, and then lost: as by a backup that was made before it.

    `copy`: where to write an export of the database that is lost.
    """
    with transaction.atomic():
        yield
        witness_all()
        if copy is not None:
            with copy.open("wb") as out:
                state.write_state(out)
        transaction.set_rollback(True)
    guard.forget(connection=connection)


def head() -> int:
    return EventPosition.objects.order_by("-position").values_list("position", flat=True).first() or 0
