"""What the events that were lost ask for, layer by layer: pure, from what the witness, or a copy, tells of them.

Only the last word counts: who opted out and in again has said yes. But a layer that was interrupted, or of which not
all is known, begins anew; and whatever denied use in a way that can't be made again is replaced by a lock.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from ..models import EventKind
from ..proofs.witness import Change


class Key(NamedTuple):
    """An organization's layer for a product, or with `member` that member's; `product` '': the membership itself."""

    organization: str
    member: str
    product: str


def ident(value: object) -> str:
    """An id as text; '' for none."""
    return str(value) if value else ""


class Act(StrEnum):
    """What is done about a layer, in this order."""

    LEAVE = "leave"
    OPT_OUT = "opt_out"
    LOCK = "lock"
    DENY = "deny"  # a lock, or of a member an opt-out, if the layer still allows use after all that
    RESTART = "restart"  # what is allowed begins anew


@dataclasses.dataclass(slots=True)
class Standing:
    """Where the lost events left a layer. None: none of them was about that."""

    out: bool | None = None
    locked: int | None = None  # the position of the event that placed the lock that was there at the end; 0: lifted
    ended: bool | None = None  # the account closed, or the subscription ended
    left: bool | None = None
    allowed: bool = True  # after the last of them
    interrupted: bool = False
    told_again: bool = False


_OUT = {EventKind.CHOICE_OPTED_OUT: True, EventKind.CHOICE_OPTED_IN: False}
_ENDED = {
    EventKind.ORGANIZATION_CLOSED: True,
    EventKind.SUBSCRIPTION_ENDED: True,
    EventKind.ORGANIZATION_REOPENED: False,
    EventKind.SUBSCRIPTION_STARTED: False,
}
_MEMBERSHIP = {EventKind.MEMBER_LEFT: True, EventKind.MEMBER_JOINED: False}
# An external id that meant another before: answers to questions by it would be those of somebody else.
_MEANINGS = frozenset({EventKind.EXTERNAL_ID_WITHDRAWN, EventKind.EXTERNAL_ID_REBOUND})
# What happened to keys, people and the installation can't be done again from a witness: somebody has to look.
_BY_HAND = (
    "access.",
    "cooling_off.",
    "consumer.",
    "run.",
    "removal.",
    "organization.",
    "external_id.",
    "member.updated",
)


@dataclasses.dataclass
class Asked:
    """What lost events ask for, of each layer; `meanings`: organizations whose external ids came to mean others."""

    standings: dict[Key, Standing] = dataclasses.field(default_factory=dict)
    meanings: set[str] = dataclasses.field(default_factory=set)
    by_hand: dict[str, int] = dataclasses.field(default_factory=dict)
    # Whether all is known of what was lost, so that what was never interrupted need not begin anew.
    known: bool = False

    @classmethod
    def of(cls, changes: Iterable[Change]) -> "Asked":
        """From changes in order of position."""
        asked = cls()
        for change in changes:
            asked.add(change)
        return asked

    def add(self, change: Change) -> None:
        if change.kind in _MEANINGS and change.organization:
            self.meanings.add(change.organization)
        if change.kind.startswith(_BY_HAND) and not change.product:
            self.by_hand[change.kind] = self.by_hand.get(change.kind, 0) + 1
        if change.product is None or not change.organization or not (change.product or change.member):
            return
        key = Key(change.organization, change.member, change.product)
        if not change.product and change.kind not in _MEMBERSHIP:
            return
        _follow(self.standings.setdefault(key, Standing()), change)

    def name(self, organization: str, member: str, product: str) -> None:
        """A layer of which nothing is lost, and which has to be told of once more."""
        self.standings.setdefault(Key(organization, member, product), Standing(told_again=True)).told_again = True

    def acts(self) -> Iterator[tuple[Key, Act]]:
        """What is done about each layer that was named, in order of organization."""
        for key, standing in sorted(self.standings.items()):
            yield from ((key, act) for act in _acts(key, standing, known=self.known))


def _follow(standing: Standing, change: Change) -> None:
    kind = change.kind
    standing.allowed = change.allowed
    standing.interrupted |= not change.allowed
    if kind in _OUT:
        standing.out = _OUT[EventKind(kind)]
    elif kind == EventKind.CHOICE_RESTORED:
        standing.out = not change.allowed  # whatever the job put back: in doubt out
    elif kind == EventKind.CHOICE_CONFIRMED:
        standing.out = not change.allowed  # in doubt out here too
    elif kind == EventKind.LOCK_PLACED:
        standing.locked = change.position
    elif kind == EventKind.LOCK_LIFTED:
        standing.locked = 0
    elif kind in _ENDED:
        standing.ended = _ENDED[EventKind(kind)]
    elif kind in _MEMBERSHIP:
        standing.left = _MEMBERSHIP[EventKind(kind)]


def _acts(key: Key, standing: Standing, *, known: bool) -> Iterator[Act]:
    if not key.product:
        # Who left and joined again was away: what was collected before is not used.
        if standing.left:
            yield Act.LEAVE
        elif standing.interrupted:
            yield Act.RESTART
        return
    if standing.out:
        yield Act.OPT_OUT
    if standing.locked or standing.ended:
        yield Act.LOCK
    if not standing.allowed:
        yield Act.DENY
    if standing.interrupted or standing.told_again or not known:
        yield Act.RESTART
