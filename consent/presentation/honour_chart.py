"""The chart of the honour clock: within what time 95 % of what tightened was applied by all consumers, by day.

As `charts`, it computes numbers, and the template draws plain SVG. What still waits counts as not applied yet: so a day
on which a consumer stopped shows no time, instead of a good one.
"""

import dataclasses
import datetime as dt
import math
from collections import defaultdict

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from ..honour_clock import Waiting, waiting
from ..models import AwaitedEvent, DailyHonour
from .honoured import number

DAYS = 90
PERCENT = 95
_DAY = 86_400_000_000  # microseconds
# What may stand at the top of the axis, in seconds.
_TOPS = (60, 300, 900, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600, 86_400, 2 * 86_400, 4 * 86_400, 7 * 86_400)


@dataclasses.dataclass(frozen=True)
class Day:
    """`within`: seconds in which PERCENT of the day's events were applied; None without events, or not yet."""

    day: dt.date
    events: int
    waiting: int
    within: int | None

    @property
    def words(self) -> str:
        return "–" if self.within is None else duration_words(self.within)


@dataclasses.dataclass(frozen=True)
class Bar:
    """`offset`: which of the days, from 0; `height` in per cent of the chart's."""

    offset: int
    day: Day
    height: float

    @property
    def y(self) -> float:
        return 100 - self.height

    @property
    def late(self) -> bool:
        return self.day.within is not None and self.day.within > settings.HONOUR_WITHIN.total_seconds()


@dataclasses.dataclass(frozen=True)
class Clock:
    """`top`: the seconds at the top of the axis. `overall`: as `Day.within`, of all days together."""

    days: tuple[Day, ...]
    top: int
    overall: int | None
    standings: tuple[Waiting, ...]

    @property
    def bars(self) -> list["Bar"]:
        found = [(n, day, day.within) for n, day in enumerate(self.days) if day.within is not None]
        return [Bar(n, day, max(1.0, min(100.0, 100 * within / self.top))) for n, day, within in found]

    @property
    def limit(self) -> float:
        """The height of the service level in per cent; beyond 100 it is above the chart."""
        return 100 * settings.HONOUR_WITHIN.total_seconds() / self.top

    @property
    def limit_y(self) -> float:
        return 100 - self.limit

    @property
    def limit_words(self) -> str:
        return duration_words(int(settings.HONOUR_WITHIN.total_seconds()))

    @property
    def events(self) -> int:
        return sum(each.events for each in self.days)

    @property
    def waiting(self) -> int:
        return sum(each.waiting for each in self.days)

    @property
    def within(self) -> str:
        """The time of all days together, in words; '' without events, or if too many of them still wait."""
        return "" if self.overall is None else duration_words(self.overall)

    @property
    def overdue(self) -> list[Waiting]:
        now = timezone.now()
        return [each for each in self.standings if each.is_overdue(now)]

    @property
    def told(self) -> list[Day]:
        """The days with events, the latest first, for the table."""
        return [each for each in reversed(self.days) if each.events or each.waiting]

    @property
    def levels(self) -> tuple[str, ...]:
        """What stands beside the vertical axis, from the top."""
        return duration_words(self.top), duration_words(self.top // 2), "0"

    @property
    def along(self) -> tuple[dt.date, ...]:
        """What stands below the horizontal axis."""
        return self.days[0].day, self.days[len(self.days) // 2].day, self.days[-1].day


def clock(today: dt.date) -> Clock:
    since = today - dt.timedelta(days=DAYS - 1)
    by_day: dict[dt.date, dict[int, int]] = defaultdict(dict)
    for day, within, events in DailyHonour.objects.filter(day__gte=since).values_list("day", "within", "events"):
        by_day[day][within] = events
    still = _waiting_by_day(since)
    days = tuple(_day(since + dt.timedelta(days=n), by_day, still) for n in range(DAYS))
    overall: dict[int, int] = defaultdict(int)
    for counts in by_day.values():
        for within, events in counts.items():
            overall[within] += events
    longest = max((day.within for day in days if day.within is not None), default=0)
    return Clock(days, _top(longest), percentile(overall, sum(still.values())), tuple(waiting()))


def _day(day: dt.date, by_day: dict[dt.date, dict[int, int]], still: dict[dt.date, int]) -> Day:
    counts, left = by_day.get(day, {}), still.get(day, 0)
    return Day(day, sum(counts.values()) + left, left, percentile(counts, left))


def _waiting_by_day(since: dt.date) -> dict[dt.date, int]:
    """How many events of each day still wait; those from before `since` are left out."""
    epoch = dt.date(1970, 1, 1)
    # Integers divide to integers on both databases.
    statement = f"SELECT at / {_DAY}, COUNT(*) FROM {AwaitedEvent._meta.db_table} WHERE at >= %s GROUP BY 1"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, [(since - epoch).days * _DAY])
        return {epoch + dt.timedelta(days=day): count for day, count in cursor.fetchall()}


def percentile(counts: dict[int, int], left: int) -> int | None:
    """Within how many seconds PERCENT of the events were applied; None without events, or if more still wait."""
    total = sum(counts.values()) + left
    needed, reached = math.ceil(total * PERCENT / 100), 0
    for within in sorted(counts):
        reached += counts[within]
        if reached >= needed:
            return within
    return None


def _top(longest: int) -> int:
    return next((top for top in _TOPS if longest <= top), longest)


def duration_words(seconds: int) -> str:
    """A length of time, short: 45 s, 12 min, 3 h, 2 d; rounded up."""
    for unit, words in ((86_400, _("%(n)s d")), (3_600, _("%(n)s h")), (60, _("%(n)s min"))):
        if seconds >= 2 * unit:
            return words % {"n": number(math.ceil(seconds / unit))}
    return _("%(n)s s") % {"n": number(seconds)}
