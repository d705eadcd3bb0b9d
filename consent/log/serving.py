"""What the log shows to the outside, as C2SP's tlog-tiles says: checkpoint, tiles and bundles of entries.

The API serves these and `export_log` writes them as files, byte for byte the same. Only what a checkpoint signed is
shown.
"""

import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.conf import settings

from ..models import LogCheckpoint, LogOrigin
from ..proofs import leaf, tiles
from . import keys, store
from .checkpoints import latest
from .store import TILE, Corrupt, Tree

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


def content(place: Place) -> bytes | None:
    """The bytes at a place; None unless a checkpoint takes it. Raises Corrupt."""
    if not _is_signed(place):
        return None
    if place.level is None:
        first = place.number * TILE
        entries = [each.entry for each in store.read(first, place.width)]
        if len(entries) < place.width:
            raise Corrupt(f"the log has no entry {first + len(entries)}")
        return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)
    return b"".join(Tree().hashes(place.level, place.number * TILE, place.width))


def _is_signed(place: Place) -> bool:
    """Whether a tree that was signed has this tile: a full one for good, a partial one at that very size."""
    last = latest()
    if last is None:
        return False
    shift = 8 * (place.level or 0)
    first = place.number * TILE + place.width << shift
    if first > last.size:  # also keeps numbers from the database that it can't hold
        return False
    if place.width == TILE:
        return True
    return LogCheckpoint.objects.filter(size__gte=first, size__lt=first + (1 << shift)).exists()


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
    origins = list(LogOrigin.objects.order_by("number"))
    number = origins[-1].number if origins else 1
    verifiers = keys.verifiers(number)
    base = f"{settings.PORTAL_URL}/log"
    return {
        "origin": keys.name_of(number),
        "verifier_keys": [str(each) for each in verifiers if each.name == keys.name_of(number)],
        "public": settings.LOG_PUBLIC,
        "checkpoint": f"{base}/checkpoint",
        "tiles": f"{base}/tile/",
        "seconds_between_checkpoints": settings.LOG_CHECKPOINT_SECONDS,
        "leaf": leaf.DOMAIN.decode().strip(),
        "ended": [
            {
                "origin": each.name,
                "verifier_keys": [str(key) for key in verifiers if key.name == each.name],
                "last_checkpoint": each.last_note,
            }
            for each in origins[:-1]
        ],
    }
