"""The note on an organization's pages about what the provider did, until each person has seen it."""

import dataclasses

from accounts.access import Actor
from accounts.models import Organization

from ..notices.seen import unseen_acts
from ..presentation.histories import Row, rows_of

SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Unseen:
    """The newest acts that a person has not seen, whether there are more, and the position of the newest."""

    rows: list[Row]
    more: bool
    position: int


def unseen(actor: Actor, organization: Organization) -> Unseen | None:
    """None for people who are shown none, and when they have seen everything."""
    acts = list(unseen_acts(actor, organization)[: SHOWN + 1])
    if not acts:
        return None
    rows = rows_of([act.event for act in acts[:SHOWN]], actor)
    return Unseen(rows, more=len(acts) > SHOWN, position=acts[0].position)
