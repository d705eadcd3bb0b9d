"""How many choices a day were made in view of which words, so that pages about wordings never read the ledger.

A follower of its own, whose cursor begins at the start of the ledger: an installation that has events already reads
each once more, and then has the totals of its whole history. A batch costs one update for each group in it, and where
one person chose for both layers, one query for each 500 of these. For the pages there are a few dozen rows a day at the
most, whatever the number of events.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence

from django.db.models import F

from ..models import ConsentEvent, DailyWording
from ..surfaces import SURFACES, Scope

_TOGETHER = 500  # ids in one statement
# What the two events of one person's choice have in common (R17).
Both = tuple[object, str | None, dt.datetime, str]


def count_choices(events: Sequence[ConsentEvent]) -> None:
    """Add a batch of events to the totals of their days. One person's choice for both layers counts once."""
    counted = [event for event in events if event.wording and event.kind.startswith("choice.")]
    copies = [event for event in counted if not _is_own(event.surface, of_member=event.member_id is not None)]
    repeated = {event.pk for event in copies}
    twins = set(_twins(copies)) if copies else set()
    counts = Counter(
        (event.recorded_at.date(), event.surface, event.wording, event.language, event.choice)
        for event in counted
        if event.pk not in repeated or _both(event) not in twins
    )
    for (day, surface, wording, language, choice), number in sorted(counts.items()):
        key = {"day": day, "surface": surface, "wording": wording, "language": language, "choice": choice}
        if not DailyWording.objects.filter(**key).update(choices=F("choices") + number):
            DailyWording.objects.create(**key, choices=number)


def _is_own(surface: str, *, of_member: bool) -> bool:
    """Whether the event is of the layer that the surface is for; else it repeats one person's choice in the other."""
    known = SURFACES.get(surface)
    return known is None or (known.scope is Scope.MEMBER) is of_member


def _both(event: ConsentEvent) -> Both:
    return event.organization_id, event.product, event.recorded_at, event.surface


def _twins(copies: Sequence[ConsentEvent]) -> Iterator[Both]:
    """What is recorded in the surface's own layer at the instants of these, which may be in another batch."""
    for start in range(0, len(copies), _TOGETHER):
        part = copies[start : start + _TOGETHER]
        rows = ConsentEvent.objects.filter(
            organization_id__in={event.organization_id for event in part},
            recorded_at__in={event.recorded_at for event in part},
        )
        keys = ("organization_id", "product", "recorded_at", "surface", "member_id")
        for organization, product, at, surface, member in rows.order_by().values_list(*keys):
            if _is_own(surface, of_member=member is not None):
                yield organization, product, at, surface
