"""Compares two checkpoints of a log: that the tree of the newer one begins with that of the older."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from . import note, tree
from .errors import ProofError
from .note import Checkpoint, Verifier
from .receipt import Check, problem_of
from .tiles import Tiles


class Compared(NamedTuple):
    """What two checkpoints claim, and what came of each step."""

    old: Checkpoint
    new: Checkpoint
    checks: list[Check]


def compare(old: str, new: str, folder: Path, verifiers: Iterable[Verifier]) -> Compared:
    """Compare two signed notes by the tiles in a folder, which whoever keeps the log may have written.

    Raises ProofError for what is no checkpoint, and NoTile or OSError where the tiles can't be read.
    """
    keys = list(verifiers)
    claimed = [Checkpoint.parse(note.text_of(each)) for each in (old, new)]
    first, last = claimed
    steps = {
        "the older checkpoint is signed with the key of the log": lambda: note.open_checkpoint(old, keys),
        "the newer checkpoint is signed with the key of the log": lambda: note.open_checkpoint(new, keys),
        "both are of one log, in this order": lambda: _require_order(first, last),
    }
    checks = [Check(what, problem_of(step)) for what, step in steps.items()]
    if not checks[-1].problem:
        tiles = Tiles(folder, last.size)
        trees = {
            "the tiles lead to the root of the newer checkpoint": lambda: _require_tiles(tiles, last),
            "the newer tree begins with the older one": lambda: _require_beginning(tiles, first, last),
        }
        checks += [Check(what, problem_of(step)) for what, step in trees.items()]
    return Compared(first, last, checks)


def _require_order(old: Checkpoint, new: Checkpoint) -> None:
    if old.origin != new.origin:
        raise ProofError(f"The older one is of {old.origin}, the newer one of {new.origin}.")
    if old.size > new.size:
        raise ProofError(f"The one given as older has {old.size} events, the other only {new.size}: swap them.")


def _require_tiles(tiles: Tiles, new: Checkpoint) -> None:
    if tree.root(tiles.read, new.size) != new.root:
        raise ProofError(f"The tree of their first {new.size} leaves has another root.")


def _require_beginning(tiles: Tiles, old: Checkpoint, new: Checkpoint) -> None:
    proof = tree.consistency(tiles.read, old.size, new.size)
    tree.verify_consistency(old.size, new.size, proof, old.root, new.root)
