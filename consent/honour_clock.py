"""The honour clock: how far consumers have applied the ledger, and what waits for them longer than HONOUR_WITHIN.

The clock runs for each event that tightened, from when it was saved until every dataset of every consumer that was
registered then is at its position. `projections.honour` keeps the events that wait, and the daily numbers.
"""

import dataclasses
import datetime as dt
import math
from collections.abc import Iterable

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery

from .models import AwaitedEvent, ConsumerDataset

COUNTED = 10_000
_STEPS = 8  # for each doubling: numbers of seconds are rounded up by at most 9 %


@dataclasses.dataclass(frozen=True)
class Waiting:
    """A live dataset, and since when the oldest event waits for it; None if none does."""

    dataset: ConsumerDataset
    since: dt.datetime | None

    def is_overdue(self, now: dt.datetime) -> bool:
        return self.since is not None and now - self.since > settings.HONOUR_WITHIN

    @property
    def overdue_at(self) -> dt.datetime | None:
        """When the service level is, or was, missed."""
        return self.since and self.since + settings.HONOUR_WITHIN

    def is_late(self, now: dt.datetime) -> bool:
        """Whether the consumer is slower than it was registered to be."""
        expected = dt.timedelta(minutes=self.dataset.consumer.expected_lag_minutes)
        return self.since is not None and now - self.since > expected


def live_datasets() -> list[ConsumerDataset]:
    return list(_live())


def _live() -> QuerySet[ConsumerDataset]:
    rows = ConsumerDataset.objects.filter(removed_at=None, consumer__removed_at=None)
    return rows.select_related("consumer").order_by("consumer__name", "name", "pk")


def level(datasets: Iterable[ConsumerDataset]) -> int | None:
    """The position up to which no dataset has anything left to apply; None without datasets."""
    return min((dataset.level for dataset in datasets), default=None)


def waiting() -> list[Waiting]:
    """Each live dataset with what waits for it, ordered by consumer; one query."""
    # The first by position is the oldest, but for events that were saved at the same time.
    beyond = AwaitedEvent.objects.filter(position__gt=OuterRef("position")).filter(
        position__gt=OuterRef("starts_after")
    )
    rows = _live().annotate(oldest=Subquery(beyond.order_by("position").values("at")[:1]))
    return [Waiting(dataset, dataset.oldest) for dataset in rows]


def waiting_for(datasets: Iterable[ConsumerDataset]) -> int:
    """How many events wait for any of these datasets; at most COUNTED are counted."""
    first = level(datasets)
    if first is None:
        return 0
    return AwaitedEvent.objects.filter(position__gt=first).order_by()[:COUNTED].count()


def overdue(now: dt.datetime) -> list[Waiting]:
    return [each for each in waiting() if each.is_overdue(now)]


def rounded(seconds: float) -> int:
    """The number of whole seconds as daily numbers keep it: rounded up, by at most a few per cent."""
    if seconds <= 1:
        return 1
    return math.ceil(2 ** (math.ceil(_STEPS * math.log2(seconds)) / _STEPS))
