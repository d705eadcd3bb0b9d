"""What the log shows to the outside, as C2SP's tlog-tiles says: checkpoint, tiles and bundles of entries.

The API serves these and `export_log` writes them as files, byte for byte the same. Only what a checkpoint signed is
shown.

An origin that has ended stays as it was, at its own address: `/log/1/` has its last checkpoint, and the tiles that this
one takes. `/log/` itself shows the newest origin; its tiles may differ there from those of the one before.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.conf import settings

from ..models import LogCheckpoint
from ..proofs import leaf, tiles
from ..proofs.note import Verifier
from ..proofs.tiles import TILE
from . import keys, origins, store
from .checkpoints import latest
from .store import Corrupt, Tree

# One part of a number has three digits; all but the last begin with an x. Seven parts are more than any log has.
_PATH = re.compile(r"(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_HIGHEST = 63


class Place(NamedTuple):
    """A tile, or a bundle of entries (`level` None); `width`: how many of its 256 places are taken."""

    level: int | None
    number: int
    width: int = TILE

    def path(self) -> str:
        """Its path below `tile/`."""
        return tiles.path("entries" if self.level is None else str(self.level), self.number, self.width)


def parse(path: str) -> Place | None:
    """The place that a path names, None for any other spelling than `Place.path` has."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    kind, parts, width = found.groups()
    level = None if kind == "entries" else int(kind)
    number = int(parts.replace("/", "").replace("x", ""))
    place = Place(level, number, int(width) if width else TILE)
    is_known = (level or 0) <= _HIGHEST and (width is None or place.width < TILE)
    return place if is_known and place.path() == path else None


def content(place: Place, last: LogCheckpoint | None) -> bytes | None:
    """The bytes at a place; None unless the last checkpoint of an origin, or one of it before, takes it.

    Raises Corrupt.
    """
    if last is None or not _is_signed(place, last):
        return None
    if place.level is None:
        first = place.number * TILE
        entries = store.entries(list(store.read(first, place.width)))
        if len(entries) < place.width:
            raise Corrupt(f"the log has no entry {first + len(entries)}")
        return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)
    return b"".join(Tree().hashes(place.level, place.number * TILE, place.width))


def _is_signed(place: Place, last: LogCheckpoint) -> bool:
    """Whether a tree that was signed has this tile: a full one for good, a partial one at that very size."""
    shift = 8 * (place.level or 0)
    first = place.number * TILE + place.width << shift
    if first > last.size:  # also keeps numbers from the database that it can't hold
        return False
    if place.width == TILE:
        return True
    made = LogCheckpoint.objects.filter(origin=last.origin_id)
    return made.filter(size__gte=first, size__lt=first + (1 << shift)).exists()


def places(size: int) -> Iterator[Place]:
    """All that the tree of `size` leaves has: bundles of entries, then tiles, each level from the left."""
    for level in (None, *range(_HIGHEST + 1)):
        count = size >> 8 * (level or 0)
        if not count:
            return
        full, rest = divmod(count, TILE)
        yield from (Place(level, number) for number in range(full))
        if rest:
            yield Place(level, full, rest)


def about() -> dict[str, Any]:
    """How to read and check this log; says nothing about what is in it."""
    number = origins.number()
    verifiers = keys.verifiers(number)
    return {
        **_origin(number, "" if number == 1 else f"{number}/", verifiers),
        "public": settings.LOG_PUBLIC,
        "seconds_between_checkpoints": settings.LOG_CHECKPOINT_SECONDS,
        "leaf": leaf.DOMAIN.decode().strip(),
        "ended": [_ended(each, verifiers) for each in range(1, number)],
    }


def _origin(number: int, below: str, verifiers: Sequence[Verifier]) -> dict[str, Any]:
    name, address = keys.name_of(number), f"{settings.PORTAL_URL}/log/{below}"
    return {
        "origin": name,
        "verifier_keys": [str(key) for key in verifiers if key.name == name],
        "checkpoint": f"{address}checkpoint",
        "tiles": f"{address}tile/",
    }


def _ended(number: int, verifiers: Sequence[Verifier]) -> dict[str, Any]:
    """One that nothing is known of is named too: a restore may have lost it, and somebody has receipts of it."""
    last = latest(number)
    return {**_origin(number, f"{number}/", verifiers), "last_checkpoint": last.note if last else ""}
