"""Appends events to the log: salts for those that have a position, and the tiles that they fill.

What is stored follows from events and salts alone, and both are committed together. So a worker that is killed leaves
nothing half done, and the next one goes on at the last salt.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection, transaction

from ..files.loading import load_within
from ..models import ConsentEvent, EventPosition, EventSalt, LogTile
from ..proofs import tree
from ..proofs.tiles import TILE
from . import events, store
from .events import Blinding
from .store import Corrupt, Tree

# One worker at a time, in this database; see `ledger.sequence`.
LOCK = 7_236_841_509_223
# Events at a time. SQLite's write lock is held while they are stored, so there are fewer.
BATCH = 500 if connection.vendor == "sqlite" else 5_000


class Edge:
    """The right edge of the tree: the hashes that are in no full tile, for each level of tiles."""

    def __init__(self, size: int, *, stored: bool = True) -> None:
        """The edge at `size` leaves, as it is stored; `stored=False`: of a tree that is to be built, without a store.

        Raises Corrupt if the tiles are not those of so many leaves.
        """
        self.size = size
        self._levels: list[list[bytes]] = []
        if stored:
            self._load(size)

    def _load(self, size: int) -> None:
        stored = Tree()
        count, level = size, 0
        while count or level == 0:
            full, rest = divmod(count, TILE)
            highest = LogTile.objects.filter(level=level).order_by("-index").values_list("index", flat=True).first()
            if (-1 if highest is None else highest) != full - 1:
                raise Corrupt(f"the log has {size} salts, but tiles on level {level} up to number {highest}")
            self._levels.append(stored.hashes(level, full * TILE, rest) if rest else [])
            count, level = full, level + 1

    def add(self, leaves: Sequence[bytes]) -> list[tuple[int, int, bytes, bytes]]:
        """Append leaf hashes; returns the tiles that are full now, as (level, index, hashes, root)."""
        added, full = list(leaves), []
        before, level = self.size, 0
        self.size += len(added)
        while added:
            if level == len(self._levels):
                self._levels.append([])
            waiting = self._levels[level] + added
            index, added = before // TILE, []
            whole = len(waiting) // TILE * TILE
            for at in range(0, whole, TILE):
                hashes = waiting[at : at + TILE]
                root = tree.subtree(hashes)
                full.append((level, index, b"".join(hashes), root))
                added.append(root)
                index += 1
            self._levels[level] = waiting[whole:]
            before, level = before // TILE, level + 1
        return full

    def root(self) -> bytes:
        """The root of the tree."""
        found = tree.EMPTY_ROOT
        for hashes in self._levels:  # from the right, where the small subtrees are
            end = len(hashes)
            while end:
                width = end & -end
                left = tree.subtree(hashes[end - width : end])
                found = left if found is tree.EMPTY_ROOT else tree.node_hash(left, found)
                end -= width
        return found


class Appender:
    """Appends batch after batch, and keeps the edge of the tree between them."""

    def __init__(self) -> None:
        self._edge: Edge | None = None

    def append(self) -> int:
        """Append the next events, at most BATCH; returns how many, 0 also if another worker does it just now.

        Raises Corrupt, and changes nothing then.
        """
        with _turn() as mine:
            return self._append() if mine else 0

    def _append(self) -> int:
        size = store.size()
        with connection.cursor() as cursor:
            cursor.execute(_NEXT, [size, BATCH])
            rows: list[Any] = cursor.fetchall()
        if not rows:
            return 0
        if [row[0] for row in rows] != list(range(size + 1, size + 1 + len(rows))):
            raise Corrupt(f"positions after {size} are not gapless")
        if self._edge is None or self._edge.size != size:
            self._edge = Edge(size)
        stored = [row[1:] for row in rows]
        blindings = events.blind(stored)
        salts = [(position, *blinding) for position, blinding in enumerate(blindings, start=size + 1)]
        leaves = list(map(tree.leaf_hash, events.entries(size + 1, stored, blindings)))
        edge, self._edge = self._edge, None  # read anew, unless all of this is stored
        tiles = edge.add(leaves)
        with transaction.atomic():
            if connection.vendor == "sqlite" and store.size() != size:
                return 0  # another worker was faster
            load_within(EventSalt._meta.db_table, ("position", *Blinding._fields), salts, with_ids=False)
            load_within(LogTile._meta.db_table, ("level", "index", "hashes", "root"), tiles, with_ids=False)
        self._edge = edge
        return len(rows)


@contextlib.contextmanager
def _turn() -> Iterator[bool]:
    """Whether this worker may append. PostgreSQL keeps others out meanwhile.

    SQLite would have to keep out every writer, so there only the batch itself is stored in a transaction, which looks
    first whether another worker was faster.
    """
    if connection.vendor == "sqlite":
        yield True
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        yield bool(cursor.fetchone()[0])


_NEXT = f"""
SELECT p.position, {store.EVENT}
FROM {EventPosition._meta.db_table} AS p
JOIN {ConsentEvent._meta.db_table} AS e ON e.id = p.event_id
WHERE p.position > %s ORDER BY p.position LIMIT %s"""
