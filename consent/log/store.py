"""Reads the log: its size, its entries, and the hash of any complete subtree, from full tiles and the last events."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from django.db import connection

from ..models import ConsentEvent, EventPosition, EventSalt, LogTile
from ..proofs import tree
from ..proofs.errors import ProofError
from ..proofs.tiles import LEVELS, TILE
from . import events
from .events import Blinding, Row


class Corrupt(Exception):
    """The log contradicts itself: rows of it are missing or altered. The message says where."""


def size() -> int:
    """The number of leaves: each event up to that position has one."""
    rows = _rows(f"SELECT MAX(position) FROM {EventSalt._meta.db_table}", [])
    return rows[0][0] or 0


class Tree:
    """The tree as it is stored, for one operation: what it has read it keeps.

    `remembers`: of the last events those are not read whose leaves this process has made before. That is for proofs,
    which are checked against a signed root; whatever signs, or looks for alterations, reads every event.
    """

    def __init__(self, *, remembers: bool = False) -> None:
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._leaves = REMEMBERED.leaves if remembers else _leaves

    def read(self, level: int, index: int) -> bytes:
        """The hash of the complete subtree of 2**level leaves at `index`: what the functions of `proofs.tree` take.

        Raises Corrupt where the log does not have it.
        """
        tiles, inner = divmod(level, LEVELS)
        return tree.subtree(self.hashes(tiles, index << inner, 1 << inner))

    def hashes(self, level: int, first: int, count: int) -> list[bytes]:
        """`count` hashes of one level of tiles, from the one numbered `first`, all of one tile. Raises Corrupt."""
        number, offset = divmod(first, TILE)
        found = self._tile(level, number, offset + count)
        if len(found) < offset + count:
            raise Corrupt(f"the log has no hash {first + count - 1} on level {LEVELS * level}")
        return found[offset : offset + count]

    def _tile(self, level: int, number: int, width: int) -> list[bytes]:
        found = self._tiles.get((level, number), [])
        if len(found) < width:
            found = self._tiles[level, number] = stored_tile(level, number) or self._edge(level, number)
        return found

    def _edge(self, level: int, number: int) -> list[bytes]:
        """The hashes there are of a tile that is not full."""
        first = number * TILE
        if level == 0:
            return self._leaves(first, TILE)
        found = _rows(_ROOTS, [level - 1, first, first + TILE])
        if [index for index, _root in found] != list(range(first, first + len(found))):
            raise Corrupt(f"tiles are missing on level {level - 1}, from {first}")
        return [bytes(root) for _index, root in found]


def stored_tile(level: int, number: int) -> list[bytes]:
    """The hashes of a full tile; empty if there is none."""
    text = b"".join(bytes(hashes) for (hashes,) in _rows(_TILE, [level, number]))
    return [text[at : at + 32] for at in range(0, len(text), 32)]


def _leaves(after: int, limit: int) -> list[bytes]:
    return list(map(tree.leaf_hash, entries(list(read(after, limit)))))


class _Remembered:
    """Leaf hashes of the last events as this process has made them, by their salts.

    A salt is never drawn twice, so what a restore has put at the same positions finds none.
    """

    def __init__(self) -> None:
        self._made: dict[bytes, bytes] = {}

    def leaves(self, after: int, limit: int) -> list[bytes]:
        made = self._made  # another thread may exchange it
        salts = [bytes(salt) for (salt,) in _rows(_SALTS, [after, after + limit])]
        leaves = [made[salt] for salt in itertools.takewhile(made.__contains__, salts)]
        if len(leaves) < len(salts):
            leaves += _leaves(after + len(leaves), limit - len(leaves))
        # Where a salt was erased it is empty, and tells nothing of the event.
        self._made = {salt: leaf for salt, leaf in zip(salts, leaves, strict=False) if salt}
        return leaves

    def forget(self) -> None:
        """Let the next proof read every event: one may have been altered when its leaf was made, and be put right."""
        self._made = {}


REMEMBERED = _Remembered()


def root(size: int) -> bytes:
    """The root of the first `size` leaves. Raises Corrupt."""
    return tree.root(Tree().read, size)


class Logged(NamedTuple):
    """An event in the log, with what proves that."""

    position: int
    row: Row
    blinding: Blinding

    @property
    def body(self) -> str:
        """The text that was hashed. It proves nothing where the salt was erased: then `blinding.entry` is not empty."""
        return events.bodies(self.position, [self.row], [self.blinding])[0]

    @property
    def entry(self) -> bytes:
        return entries([self])[0]


def read(after: int, limit: int) -> Iterator[Logged]:
    """The events in the log at the `limit` positions after one, in order; fewer where it ends. Raises Corrupt for a gap
    before another."""
    for n, row in enumerate(_rows(_LOGGED, [after, after + limit] * 2), start=after + 1):
        if row[0] != n:
            raise Corrupt(f"the log has no salt of position {n}, or there is no such event")
        yield logged(row)


def entries(found: Sequence[Logged]) -> list[bytes]:
    """What the log holds for events at positions that follow each other: 32 bytes each. Raises Corrupt."""
    first = found[0].position if found else 0
    try:
        return events.entries(first, [each.row for each in found], [each.blinding for each in found])
    except (ProofError, LookupError, TypeError, ValueError) as error:  # values that none of ours are
        if len(found) == 1:
            raise Corrupt(f"the event at position {first} or its salt is not one of ours: {error!r}") from None
    return [entry for each in found for entry in entries([each])]


def find(position: int) -> Logged | None:
    """The event at this position, if it is in the log."""
    rows = _rows(_LOGGED, [position - 1, position] * 2)
    return logged(rows[0]) if rows else None


def logged(row: Row) -> Logged:
    """From a row of position, columns of the blinding, columns of the event."""
    end = 1 + len(Blinding._fields)
    return Logged(row[0], row[end:], Blinding(*row[1:end]))


# Plain statements: a proof asks for half a dozen small things, and a queryset takes longer for each than the database.
def _rows(statement: str, values: Sequence[int]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[Row] = cursor.fetchall()
        return rows


def _columns(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{connection.ops.quote_name(name)}" for name in names)


_INDEX = connection.ops.quote_name("index")
_TILE = f"SELECT hashes FROM {LogTile._meta.db_table} WHERE level = %s AND {_INDEX} = %s"
_ROOTS = f"""
SELECT {_INDEX}, root FROM {LogTile._meta.db_table}
WHERE level = %s AND {_INDEX} >= %s AND {_INDEX} < %s ORDER BY {_INDEX}"""
_SALTS = f"""
SELECT salt FROM {EventSalt._meta.db_table} WHERE position > %s AND position <= %s ORDER BY position"""
BLINDING, EVENT = _columns("s", Blinding._fields), _columns("e", events.COLUMNS)
# Both tables have bounds: PostgreSQL, where its statistics are old, would read one of them from its beginning.
_LOGGED = f"""
SELECT s.position, {BLINDING}, {EVENT}
FROM {EventSalt._meta.db_table} AS s
JOIN {EventPosition._meta.db_table} AS p ON p.position = s.position
JOIN {ConsentEvent._meta.db_table} AS e ON e.id = p.event_id
WHERE s.position > %s AND s.position <= %s AND p.position > %s AND p.position <= %s ORDER BY s.position"""
