"""Followers read the ledger in position order and process each event exactly once (projections).

A batch and the new position of the cursor are stored in one transaction: after a crash the next worker continues where
the last commit ended.
"""

from collections.abc import Callable, Sequence

from django.db import transaction

from .. import ledger
from ..models import ConsentEvent, FollowerCursor
from .daily_totals import add_up
from .honour import await_events
from .name_words import index_names
from .telling import tell
from .wording_totals import count_choices

BATCH = 2_000
Follower = Callable[[Sequence[ConsentEvent]], None]
# By the names of their stored cursors, which stay as they are: “rollup” is that of the daily totals.
FOLLOWERS: dict[str, Follower] = {
    "honour": await_events,
    "notices": tell,
    "rollup": add_up,
    "wordings": count_choices,
    "words": index_names,
}


def follow_all(head: int | None = None) -> bool:
    """Let each follower process one batch, up to the position `head`; returns whether any of them had events."""
    last = ledger.head() if head is None else head
    return sum(follow(name, last) for name in FOLLOWERS) > 0  # not any(): each has its turn


@transaction.atomic
def follow(name: str, head: int) -> bool:
    cursor, _made = FollowerCursor.objects.get_or_create(name=name)
    if cursor.position >= head:
        return False
    # The lock lets one worker process the batch; another one that waited here reads the moved cursor.
    cursor = FollowerCursor.objects.select_for_update().get(name=name)
    beyond = ConsentEvent.objects.all().placed().filter(placed__position__gt=cursor.position)
    events = list(beyond.filter(placed__position__lte=head)[:BATCH])
    if not events:
        return False
    FOLLOWERS[name](events)
    cursor.position = events[-1].placed.position
    cursor.save(update_fields=["position"])
    return True


def catch_up(name: str) -> None:
    """Let the follower process all events up to the head, in this call."""
    while follow(name, ledger.head()):
        pass


def skip_to_head(name: str) -> None:
    """Skip all events so far, as after loading a demo or moving from another database."""
    FollowerCursor.objects.update_or_create(name=name, defaults={"position": ledger.head()})


def lag(name: str) -> int:
    """How many positions the follower is behind the head."""
    position = FollowerCursor.objects.filter(name=name).values_list("position", flat=True).first() or 0
    return max(0, ledger.head() - position)
