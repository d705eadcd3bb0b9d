"""The chart of opt-ins and opt-outs a day on a surface, with a line where other words began.

As `charts`, it computes numbers, and the template draws plain SVG: opt-ins upward, opt-outs downward.
"""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Sum

from ..models import DailyWording
from ..surfaces import SURFACES
from .charts import round_up
from .wording_counts import Counts, WordingRow, counted, place_of

DAYS = 90


@dataclasses.dataclass(frozen=True)
class Day:
    """`offset`: which of the chart's days, from 0; heights in per cent of the chart's, whose middle is 0 choices."""

    offset: int
    day: dt.date
    counts: Counts
    up: float
    down: float
    began: tuple[WordingRow, ...]

    @property
    def top(self) -> float:
        return 50 - self.up


@dataclasses.dataclass(frozen=True)
class Picture:
    """A surface's chart. `top`: the number of choices a day at its upper and its lower edge."""

    surface: str
    days: tuple[Day, ...]
    top: int

    @property
    def place(self) -> str:
        return place_of(self.surface)

    @property
    def counts(self) -> Counts:
        return sum((each.counts for each in self.days), Counts())

    @property
    def marks(self) -> list[Day]:
        return [each for each in self.days if each.began]

    @property
    def told(self) -> list[Day]:
        """The days on which something was chosen, or words began, the latest first, for the table."""
        return [each for each in reversed(self.days) if each.counts.total or each.began]

    @property
    def levels(self) -> tuple[int, int, int]:
        """What stands beside the vertical axis, from the top."""
        return self.top, 0, self.top

    @property
    def along(self) -> tuple[dt.date, dt.date, dt.date]:
        """What stands below the horizontal axis."""
        return self.days[0].day, self.days[len(self.days) // 2].day, self.days[-1].day


def pictures(today: dt.date, rows: Iterable[WordingRow]) -> list[Picture]:
    """A chart of each surface, over DAYS days up to today; `rows` are all wordings. One query for all."""
    since = today - dt.timedelta(days=DAYS - 1)
    counts = _by_day(since, today)
    return [_picture(surface, since, counts[surface], rows) for surface in SURFACES]


def around(row: WordingRow, today: dt.date, rows: Iterable[WordingRow]) -> Picture | None:
    """The chart of its surface around the day on which the wording began, which is in the middle if it can be."""
    if row.began is None:
        return None
    until = min(today, row.began + dt.timedelta(days=DAYS // 2 - 1))
    since = until - dt.timedelta(days=DAYS - 1)
    return _picture(row.surface, since, _by_day(since, until, row.surface)[row.surface], rows)


ByDay = dict[dt.date, Counts]


def _by_day(since: dt.date, until: dt.date, surface: str = "") -> dict[str, ByDay]:
    found: dict[str, ByDay] = defaultdict(lambda: defaultdict(Counts))
    rows = DailyWording.objects.filter(day__range=(since, until), **({"surface": surface} if surface else {}))
    grouped = rows.values_list("surface", "day", "choice").annotate(number=Sum("choices")).order_by()
    for key, day, choice, number in grouped:
        found[key][day] += counted(choice, number)
    return found


def _picture(surface: str, since: dt.date, counts: ByDay, rows: Iterable[WordingRow]) -> Picture:
    began: dict[dt.date, list[WordingRow]] = defaultdict(list)
    for row in rows:
        if row.surface == surface and row.stated and row.began:
            began[row.began].append(row)
    top = round_up(max((max(each.opted_in, each.opted_out) for each in counts.values()), default=0))
    days = []
    for offset in range(DAYS):
        day = since + dt.timedelta(days=offset)
        of_day = counts.get(day, Counts())
        up, down = 50 * of_day.opted_in / top, 50 * of_day.opted_out / top
        days.append(Day(offset, day, of_day, up, down, tuple(began.get(day, ()))))
    return Picture(surface, tuple(days), top)
