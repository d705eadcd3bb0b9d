"""Tiles of a log as files, in the paths of C2SP's tlog-tiles (c2sp.org/tlog-tiles): what anybody may copy of a log."""

from pathlib import Path

from . import tree
from .encoding import HASH
from .errors import ProofError

TILE = 256  # hashes in a full tile
LEVELS = 8  # levels of the tree in one level of tiles


class NoTile(ProofError):
    """The folder does not have a tile that the tree takes: nothing can be said."""


def path(kind: str, number: int, width: int = TILE) -> str:
    """The path of a tile below `tile/`; `kind`: its level, or `entries`; `width`: how many of its places are taken."""
    text = f"{number % 1000:03}"
    while number := number // 1000:
        text = f"x{number % 1000:03}/{text}"
    return f"{kind}/{text}" if width == TILE else f"{kind}/{text}.p/{width}"


class Tiles:
    """The tree of `size` leaves, from a folder that has `tile/`. Who reads it has to compare what comes of it."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder / "tile", size

    def read(self, level: int, index: int) -> bytes:
        """The hash of the complete subtree of 2**level leaves at `index`: see `tree.Read`. Raises NoTile, OSError."""
        tiles, inner = divmod(level, LEVELS)
        number, first = divmod(index << inner, TILE)
        return tree.subtree(self._hashes(tiles, number, first + (1 << inner))[first:])

    def _hashes(self, level: int, number: int, count: int) -> list[bytes]:
        """The first hashes of a tile: of the full one, or of one that is at least as wide."""
        width = min(TILE, (self._size >> LEVELS * level) - number * TILE)
        full = self._folder / path(str(level), number)
        partial = full.with_name(f"{full.name}.p")
        wider = sorted((each for each in partial.glob("*") if each.name.isdecimal()), key=lambda each: int(each.name))
        for file in (full, partial / str(width), *reversed(wider)):
            if file.is_file() and len(found := file.read_bytes()[: TILE * HASH]) >= count * HASH:
                return [found[at : at + HASH] for at in range(0, count * HASH, HASH)]
        raise NoTile(f"There is no tile {full}, or it is too short for a tree of {self._size} leaves.")
