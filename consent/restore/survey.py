"""What a restored database has lost, by what the witness says: up to where both agree, and what came after that."""

import dataclasses
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from .. import ledger
from ..models import ConsentEvent
from ..proofs.witness import Change, Line
from ..proofs.witness_files import Witness
from .asked import Asked

_COMPARED = 100_000  # lines that are kept, to look for one that agrees
# The hash at a line's position, of the events here after the line before it; None: there are not all of them.
HashAt = Callable[[Line], str | None]


class NothingInCommon(Exception):
    """The witness and this database do not agree about any position: one of them is another installation's."""


@dataclasses.dataclass(frozen=True)
class Survey:
    """What was found. `head`: the last position here; `restored_to`: the last one that is as it was witnessed.

    `lost`: position → what the witness, or a copy, says of the event that had it, in order of position; of positions up
    to `lost_to` that are not in it nothing is known. `witnessed`: whether there is a witness at all. `counted`: how
    many events more the witness has counted, which had no position yet: what was said just before the end.
    """

    head: int
    restored_to: int
    lost_to: int
    lost: Mapping[int, Change]
    witnessed: bool
    counted: int = 0

    @property
    def number(self) -> int:
        """How many positions are lost."""
        return self.lost_to - self.restored_to

    @property
    def unknown(self) -> int:
        """How many of them nobody tells of."""
        return self.number - len(self.lost)

    @property
    def differing(self) -> int:
        """How many positions have another event here than was witnessed."""
        return max(0, min(self.head, self.lost_to) - self.restored_to)

    def kinds(self) -> dict[str, int]:
        """Kind → how many lost events."""
        return dict(sorted(Counter(change.kind for change in self.lost.values()).items()))

    def layers(self) -> dict[tuple[str, str], int]:
        """(level, product) → how many layers lost an event."""
        named = {(each.organization, each.member, each.product) for each in self.lost.values() if each.product}
        told = Counter(("member" if member else "organization", str(product)) for _pk, member, product in named)
        return dict(sorted(told.items()))

    def asked(self) -> Asked:
        return Asked.of(self.lost.values())


class _Point(NamedTuple):
    """Where a witness has come to; `begins`: the first position that it covers."""

    last: Line | None
    begins: int
    within: deque[Line]


def survey(witness: Witness, hash_at: HashAt, *, told: Mapping[int, Change] | None = None, lost_to: int = 0) -> Survey:
    """Compare this database with its witness. `told`: what copies of the ledger say, by position; `lost_to`: the last
    position that was given, if somebody knows it otherwise.

    Raises NothingInCommon, and what reading the witness raises.
    """
    head = ledger.head()
    point = _read(witness, head)
    restored_to = _in_common(point, head, hash_at)
    lost = dict(told or {}) | _lost(witness, restored_to) if point.last else dict(told or {})
    if point.last:
        restored_to = _further(restored_to, head, lost)
    lost = {position: lost[position] for position in sorted(lost) if position > restored_to}
    last = max(restored_to, lost_to, point.last.position if point.last else 0, *lost, 0)
    counted = point.last.events - max(last, head + ledger.pending()) if point.last else 0
    return Survey(head, restored_to, last, lost, witnessed=point.last is not None, counted=max(0, counted))


def _read(witness: Witness, head: int) -> _Point:
    """The last line, and those up to the head here that still hold: an epoch's first line takes back some before."""
    within: deque[Line] = deque(maxlen=_COMPARED)
    last, begins = None, 0
    for line in witness.lines():
        begins = line.after if last is None else begins
        last = line
        if line.restored_to is not None:
            while within and within[-1].position > line.restored_to:
                within.pop()
        if line.position <= head:
            within.append(dataclasses.replace(line, changes=()))
    return _Point(last, begins, within)


def _in_common(point: _Point, head: int, hash_at: HashAt) -> int:
    """The position of the last line that agrees with this database."""
    for line in reversed(point.within):
        if hash_at(line) == line.hash:
            return line.position
    if point.within and point.begins:
        raise NothingInCommon
    # Nothing of what is here was witnessed: the witness began later, or the ledger is as good as empty.
    return min(head, point.begins) if point.last else head


def _lost(witness: Witness, after: int) -> dict[int, Change]:
    """What the witness says of positions beyond one, as it held at the end."""
    found: dict[int, Change] = {}
    for line in witness.lines(after):
        if line.restored_to is not None:
            found = {position: change for position, change in found.items() if position <= line.restored_to}
        found |= {change.position: change for change in line.changes if change.position > after}
    return found


def _further(restored_to: int, head: int, lost: Mapping[int, Change]) -> int:
    """How far the events here go on to be those that the witness tells of, between two of its lines."""
    for change in _here(restored_to, head):
        if lost.get(change.position) != change:
            break
        restored_to = change.position
    return restored_to


def _here(after: int, until: int) -> Iterator[Change]:
    """What events here say, as a witness would."""
    rows = ConsentEvent.objects.filter(placed__position__gt=after, placed__position__lte=until)
    fields = ("placed__position", "kind", "organization_id", "member_id", "product", "allowed")
    for position, kind, organization, member, product, allowed in rows.order_by("placed__position").values_list(
        *fields
    ):
        yield Change(position, kind, str(organization or ""), str(member or ""), product, allowed)


def first_unknown(found: Survey) -> list[tuple[int, int]]:
    """The spans of positions, first and last, of which nothing is known; 10 at most."""
    spans, before = [], found.restored_to
    for position in itertools.chain(found.lost, [found.lost_to + 1]):
        if position > before + 1:
            spans.append((before + 1, position - 1))
        before = position
    return spans[:10]
