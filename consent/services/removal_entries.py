"""What has to go from data that was allowed earlier: entries that say what of each key may still be kept.

An entry follows from the ledger's state at the end of a range of positions alone, and there is one for every key that
an event in the range was about. So it makes no difference how a record came to be allowed, and applying entries a
second time changes nothing. Positions up to the end are given for good: the same range has the same entries for ever.
"""

import hashlib
import heapq
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from django.db import connection

from accounts.catalogue import Product
from accounts.fields import from_raw_flag, from_raw_id

from ..models import EventKind
from ..removal_sql import OF_MEMBERS, OF_MEMBERSHIPS, OF_ORGANIZATIONS
from ..rules import Reason
from ..surfaces import WITH_MEMBERS

_PAGE = 5_000


class Level(StrEnum):
    ORGANIZATION = "organization"
    MEMBER = "member"


class Range(NamedTuple):
    """The positions after `after`, up to `until`; `top` is the highest position of the run's files, at most `until`.

    `everybody`: the run may hold records of any key, for the events that its filter knew are lost by a restore.
    """

    after: int
    until: int
    top: int
    everybody: bool = False


class Entry(NamedTuple):
    """Of this key and product only records collected from `keep_from` on, and before `keep_until`, may be kept.

    Instants are microseconds since 1970 UTC. `keep_from` None: keep nothing; `keep_until` None: without an end.
    `position` is that of the last event the entry rests on: of several entries of a key the highest holds.
    """

    level: Level
    organization: uuid.UUID
    member: uuid.UUID | None
    product: str
    keep_from: int | None
    keep_until: int | None
    reason: str
    position: int

    def as_json(self) -> dict[str, Any]:
        return self._asdict() | {
            "level": self.level.value,
            "organization": str(self.organization),
            "member": str(self.member) if self.member else None,
        }


class Totals(NamedTuple):
    """What a range holds: its number of entries, counts by level, product and reason, and the digest of its entries."""

    entries: int
    counts: list[dict[str, Any]]
    digest: str


def entries_of(within: Range, page: int = _PAGE) -> Iterator[Entry]:
    """All entries of a range, in order of position; `page` rows of each kind are held at a time."""
    parts = []
    for product in Product.values:
        parts.append(_paged(OF_ORGANIZATIONS, product, within, page))
        parts.append(_paged(OF_MEMBERS if product in WITH_MEMBERS else OF_MEMBERSHIPS, product, within, page))
    return heapq.merge(*parts, key=lambda entry: (entry.position, entry.product))


def page_of(within: Range, limit: int) -> tuple[list[Entry], int | None]:
    """The first entries of a range, about `limit`, and the position to go on after; None if these are all.

    Entries of one position stay together, so that a position is all that has to be remembered.
    """
    found = list(itertools.islice(entries_of(within, limit + 1), limit + 1))
    if len(found) <= limit:
        return found, None
    last = found[-1].position
    whole = [entry for entry in found if entry.position < last]
    if not whole:  # a limit below the number of products: take all of this one position
        whole = list(itertools.takewhile(lambda entry: entry.position == last, entries_of(within, limit + 1)))
    return whole, whole[-1].position


def totals_of(within: Range) -> Totals:
    """Count and digest the entries of a range; the digest is that of the lines that `removals` writes."""
    seen, counts = hashlib.sha256(), Counter[tuple[str, str, str]]()
    for entry in entries_of(within):
        seen.update(line_of(entry))
        counts[entry.level.value, entry.product, entry.reason] += 1
    told = [
        {"level": level, "product": product, "reason": reason, "entries": number}
        for (level, product, reason), number in sorted(counts.items())
    ]
    return Totals(counts.total(), told, seen.hexdigest())


def line_of(entry: Entry) -> bytes:
    """The entry as a line of JSON Lines, always by the same bytes."""
    return json.dumps(entry.as_json(), separators=(",", ":"), sort_keys=True).encode() + b"\n"


def _paged(statement: str, product: str, within: Range, page: int) -> Iterator[Entry]:
    """The entries of one statement; a position has at most one."""
    after = within.after
    while True:
        found = _fetch(statement, {**within._asdict(), "after": after, "product": product, "limit": page})
        for row in found:
            yield _entry(product, row)
        if len(found) < page:
            return
        after = found[-1].position


class _Row(NamedTuple):
    """A row of the statements; instants in microseconds. Of a member: `allowed` None if they never chose; `kind` and
    `at` of the last joining or leaving.
    """

    position: int
    organization: Any
    member: Any
    allowed: bool | None
    reason: str | None
    since: int | None
    joined_at: int | None
    kind: str | None
    at: int | None


def _fetch(statement: str, parameters: dict[str, Any]) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(map(_Row._make, cursor.fetchall()))


def _entry(product: str, row: _Row) -> Entry:
    organization = from_raw_id(row.organization)
    if row.member is None:
        return Entry(Level.ORGANIZATION, organization, None, product, *_kept_of_organization(row), row.position)
    return Entry(Level.MEMBER, organization, from_raw_id(row.member), product, *_kept_of_member(row), row.position)


Kept = tuple[int | None, int | None, str]  # from when, until when, and why not the rest


def _kept_of_organization(row: _Row) -> Kept:
    if from_raw_flag(row.allowed):
        return row.since, None, Reason.COLLECTED_BEFORE_ALLOWED.value
    return None, None, row.reason or ""


def _kept_of_member(row: _Row) -> Kept:
    """As `rules.resolve` judges a member."""
    if row.joined_at is None:
        return None, None, Reason.UNKNOWN_MEMBER.value
    if row.allowed is not None and not from_raw_flag(row.allowed):
        return None, None, row.reason or ""
    keep_from = max(row.joined_at, row.since or row.joined_at)
    if row.kind == EventKind.MEMBER_LEFT:
        return keep_from, row.at, Reason.MEMBER_LEFT.value
    return keep_from, None, Reason.COLLECTED_BEFORE_ALLOWED.value
