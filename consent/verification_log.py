"""Verifies that the log says what the ledger says: part of `verification`.

Each event is hashed anew and compared with its leaf, tiles are compared from below upwards, and each checkpoint with
the tree and its signature. So whoever rewrites an event would have to make the log anew, and could not sign it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

from django.db import connection

from .log import events, origins, store
from .log.appending import Edge
from .log.keys import BadKey
from .log.store import Corrupt, Logged
from .models import ConsentEvent, EventKind, EventPosition, EventSalt, LogCheckpoint, LogOrigin, LogTile, Restore
from .proofs import note, tree
from .proofs.errors import ProofError
from .proofs.note import Verifier
from .proofs.tiles import TILE

SHOWN = 10  # offenders named per check
_BATCH = 2_000
Faults = dict[str, list[str]]


def problems(on_progress: Callable[[int], None] | None = None, *, signatures: bool = True) -> list[str]:
    """A line for each fault, at most SHOWN of a kind. `on_progress` gets the number of leaves that were compared.

    `signatures`: False where the keys of the log may not be known yet.
    """
    size = store.size()
    beyond = LogCheckpoint.objects.filter(size__gt=size).order_by("size").values_list("size", flat=True)
    found = [f"a checkpoint has {pk} leaves, but the log has only {size}" for pk in beyond[:SHOWN]]
    found += _missing(size) + list(_wrong_origins())
    # Without a gap every leaf follows from its event and salt, and all above from the leaves.
    return found or _Comparison(size, signatures=signatures).run(on_progress)


def signature_problems() -> list[str]:
    """A line if the keys of the settings did not sign the newest checkpoint of the log; empty without one."""
    last = LogCheckpoint.objects.order_by("-size").first()
    if last is None:
        return []
    try:
        note.open_checkpoint(last.note, origins.verifiers())
    except (BadKey, ProofError) as error:
        return [str(error)]
    return []


def _wrong_origins() -> Iterator[str]:
    """Origins that no epoch began, and checkpoints of one that has what came after its epoch."""
    known = {1, *Restore.objects.values_list("epoch", flat=True)}
    for origin in LogOrigin.objects.all():
        if origin.number not in known:
            yield f"the log has the origin {origin.name}, but no restore began it"
    with connection.cursor() as cursor:
        cursor.execute(_SIGNED_AFTER, [SHOWN])
        for size, name in cursor.fetchall():
            yield f"the checkpoint of {size} leaves was signed as {name}, which had ended"


def _missing(size: int) -> list[str]:
    """Positions up to this one that have no salt, no event, or are not there."""
    found = []
    for table, what in ((EventSalt, "salt"), (EventPosition, "event")):
        rows = table._base_manager.filter(pk__lte=size)
        if rows.count() != size or (size and not rows.filter(pk=1).exists()):
            there = chain(rows.order_by("pk").values_list("pk", flat=True).iterator(_BATCH), [size + 1])
            found += [f"the log has position {pk}, but there is no {what} of it" for pk in islice(_gaps(there), SHOWN)]
    with connection.cursor() as cursor:
        cursor.execute(_WITHOUT_EVENT, [size, SHOWN])
        found += [f"the log has position {pk}, but there is no event of it" for (pk,) in cursor.fetchall()]
    return list(dict.fromkeys(found))


def _gaps(numbers: Iterator[int]) -> Iterator[int]:
    wanted = 1
    for number in numbers:
        yield from range(wanted, number)
        wanted = number + 1


_WITHOUT_EVENT = (
    f"SELECT p.position FROM {EventPosition._meta.db_table} AS p WHERE p.position <= %s AND NOT EXISTS"
    f" (SELECT 1 FROM {ConsentEvent._meta.db_table} AS e WHERE e.id = p.event_id) ORDER BY p.position LIMIT %s"
)


_SIGNED_AFTER = (
    f"SELECT c.size, o.name FROM {LogCheckpoint._meta.db_table} AS c"
    f" JOIN {LogOrigin._meta.db_table} AS o ON o.number = c.origin_id"
    f" JOIN {EventPosition._meta.db_table} AS p ON p.position = c.size"
    " WHERE p.epoch > c.origin_id ORDER BY c.size LIMIT %s"
)


class _Comparison:
    """Walks over all leaves in order, and builds the tree beside what is stored of it."""

    def __init__(self, size: int, *, signatures: bool) -> None:
        self._size, self._edge, self._tiles = size, Edge(0, stored=False), 0
        self._faults: Faults = {}
        erased = ConsentEvent.objects.filter(kind=EventKind.LOG_SALT_ERASED)
        self._erased = set(erased.values_list("target", flat=True))
        self._verifiers = self._keys() if signatures else ()

    def _keys(self) -> tuple[Verifier, ...]:
        checkpoints = LogCheckpoint.objects.count()
        try:
            found = origins.verifiers()
        except BadKey as error:
            self._fault("keys", f"the signatures of {checkpoints} checkpoints were not checked: {error}")
            return ()
        if not found and checkpoints:
            self._fault("keys", f"the signatures of {checkpoints} checkpoints were not checked: set LOG_VERIFIER_KEY")
        return found

    def _fault(self, kind: str, line: str) -> None:
        lines = self._faults.setdefault(kind, [])
        if len(lines) < SHOWN:
            lines.append(line)

    def run(self, on_progress: Callable[[int], None] | None) -> list[str]:
        try:
            self._walk(self._leaves(on_progress))
        except Corrupt as error:  # salts that are not in a row
            self._fault("row", str(error))
        return [line for lines in self._faults.values() for line in lines]

    def _walk(self, leaves: Iterator[bytes]) -> None:
        made = LogCheckpoint.objects.order_by("size").select_related("origin")
        for checkpoint in chain(made.iterator(_BATCH), [None]):
            until = checkpoint.size if checkpoint else self._size
            while missing := until - self._edge.size:
                self._compare_tiles(self._edge.add(list(islice(leaves, min(missing, _BATCH)))))
            if checkpoint:
                self._compare_checkpoint(checkpoint)
        if (there := LogTile.objects.count()) != self._tiles:
            self._fault("tiles", f"the log has {there} tiles, and not the {self._tiles} of its leaves")

    def _leaves(self, on_progress: Callable[[int], None] | None) -> Iterator[bytes]:
        for after in range(0, self._size, _BATCH):
            until = min(after + _BATCH, self._size)
            found = list(store.read(after, until - after))
            if len(found) < until - after:
                raise Corrupt(f"the log has no salt of position {after + len(found) + 1}, or there is no such event")
            for each, entry in zip(found, self._entries(found), strict=True):
                if entry and (wrong := events.fault(each.row, each.blinding)):
                    self._fault("event", f"the event at position {each.position} {wrong}")
                if bool(each.blinding.entry) != (str(each.position) in self._erased):
                    self._fault(
                        "erased", f"the salt of position {each.position} is erased without an event, or the reverse"
                    )
                yield tree.leaf_hash(entry)
            if on_progress:
                on_progress(until)

    def _entries(self, found: Sequence[Logged]) -> Sequence[bytes]:
        """Their entries; of an event that has none because it can't be read, an empty one, which is no leaf's."""
        try:
            return store.entries(found)
        except Corrupt as error:
            if len(found) == 1:
                self._fault("event", str(error))
                return [b""]
        return [entry for each in found for entry in self._entries([each])]

    def _compare_tiles(self, tiles: list[tuple[int, int, bytes, bytes]]) -> None:
        self._tiles += len(tiles)
        for level, index, hashes, root in tiles:
            stored = LogTile.objects.filter(level=level, index=index).first()
            if stored is None:
                self._fault("tiles", f"tile {index} on level {level} is missing")
            elif (bytes(stored.hashes), bytes(stored.root)) != (hashes, root):
                self._fault(
                    "tiles", f"tile {index} on level {level} is not that of the events: {_differs(stored, hashes)}"
                )

    def _compare_checkpoint(self, checkpoint: LogCheckpoint) -> None:
        name = f"the checkpoint of {checkpoint.size} leaves"
        root = self._edge.root()
        if bytes(checkpoint.root) != root:
            self._fault("root", f"{name} has another root than the events")
        if not self._verifiers:
            return
        try:
            signed = note.open_checkpoint(checkpoint.note, self._verifiers)
        except ProofError as error:
            self._fault("note", f"{name} is not signed: {error}")
            return
        if (signed.size, signed.root) != (checkpoint.size, root):
            self._fault("note", f"{name} was signed for another tree")
        if signed.origin != checkpoint.origin.name:
            self._fault("note", f"{name} is of {checkpoint.origin.name}, but was signed as {signed.origin}")


def _differs(stored: LogTile, hashes: bytes) -> str:
    """Which events differ, of a tile on level 0."""
    found = bytes(stored.hashes)
    first = stored.index * TILE + 1
    wrong = [n for n in range(TILE) if found[n * 32 : n * 32 + 32] != hashes[n * 32 : n * 32 + 32]]
    if stored.level or not wrong:
        return "tiles below, or its root, differ"
    return f"position {', '.join(str(first + n) for n in wrong[:SHOWN])}"
