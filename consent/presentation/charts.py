"""The charts of the operators' dashboard, from daily totals: shares over time, changes per day, states of settings.

This module computes numbers and the templates draw plain SVG: the charting libraries that were tried write inline
styles or scripts, which the Content Security Policy forbids. Coordinates are per cent of the chart's size.
"""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts.models import Plan

from ..models import BulkJob, DailyChanges, DailyStanding, JobKind, JobStatus, Source
from ..rules import Reason
from ..surfaces import LE_CHAT_MOBILE, ORGANIZATION_SURFACES

YEARS = dt.timedelta(days=730)
RECENT = dt.timedelta(days=29)
_STEPS = 104  # points of a line


@dataclasses.dataclass(frozen=True)
class Mark:
    """A marker on a line, on the day when the plan's default changed."""

    x: float
    day: dt.date
    words: str


@dataclasses.dataclass(frozen=True)
class Line:
    """The share that is opted out, over time: SVG paths, the value now, and one value for each month (per cent)."""

    title: str
    path: str
    area: str
    now: float | None
    total: int
    marks: tuple[Mark, ...]
    months: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class Segment:
    label: str
    kind: int
    start: float
    size: float
    count: int

    @property
    def top(self) -> float:
        """The distance from the chart's top, for a vertical bar that starts at the bottom."""
        return 100 - self.start - self.size


@dataclasses.dataclass(frozen=True)
class Bar:
    label: Any
    total: int
    segments: tuple[Segment, ...]

    @property
    def largest(self) -> Segment:
        return max(self.segments, key=lambda segment: segment.count)


@dataclasses.dataclass(frozen=True)
class Shares:
    lines: tuple[Line, ...]
    since: dt.date
    until: dt.date
    months: tuple[dt.date, ...]

    @property
    def days(self) -> tuple[dt.date, ...]:
        """What stands below the horizontal axis."""
        return self.since, self.since + (self.until - self.since) / 2, self.until

    @property
    def most(self) -> Line | None:
        return max(self._known, key=lambda line: line.now or 0.0, default=None)

    @property
    def least(self) -> Line | None:
        return min(self._known, key=lambda line: line.now or 0.0, default=None)

    @property
    def _known(self) -> list[Line]:
        return [line for line in self.lines if line.now is not None]


@dataclasses.dataclass(frozen=True)
class Changes:
    """Bars for days; `levels` is what stands beside the vertical axis, from the top."""

    bars: list[Bar]
    sources: list[str]
    levels: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(bar.total for bar in self.bars)

    @property
    def busiest(self) -> Bar:
        return max(self.bars, key=lambda bar: bar.total)

    @property
    def days(self) -> tuple[dt.date, ...]:
        """What stands below the horizontal axis."""
        return self.bars[0].label, self.bars[len(self.bars) // 2].label, self.bars[-1].label


# --- Shares over time ---


def shares(today: dt.date) -> Shares:
    """A line for each plan and one for members, over at most two years."""
    first = DailyStanding.objects.order_by("day").values_list("day", flat=True).first() or today
    since = max(first, today - YEARS)
    days = max(1, (today - since).days)
    levels = _levels(since)
    plans = Plan.objects.order_by("position").values_list("key", "product", "name")
    of_product = {surface.product.value: surface.key for surface in ORGANIZATION_SURFACES}
    wanted = [(of_product[product], key, name) for key, product, name in plans]
    wanted.append((LE_CHAT_MOBILE.key, "", _("Members")))
    marks = _marks(since, days)
    months = _months(since, today)
    steps = [since + dt.timedelta(days=round(days * step / _STEPS)) for step in range(_STEPS + 1)]
    lines = tuple(
        _line(name, _at(levels[surface, plan], steps), _at(levels[surface, plan], months), marks.get(plan, ()))
        for surface, plan, name in wanted
    )
    return Shares(lines=lines, since=since, until=today, months=months)


Level = dict[dt.date, tuple[int, int]]  # day → how many were used and not used at its end


def _levels(since: dt.date) -> defaultdict[tuple[str, str], Level]:
    """(surface, plan) → its levels on the days when they changed; the day before `since` sums up all earlier days."""
    changes: dict[tuple[str, str], dict[dt.date, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    # [used, not used], as daily changes; everything before `since` is one opening balance on the day before it.
    rows = DailyStanding.objects.values_list("surface", "plan", "allowed").annotate(total=Sum("change")).order_by()
    for surface, plan, allowed, total in rows.filter(day__lt=since):
        changes[surface, plan][since - dt.timedelta(days=1)][not allowed] += total
    days = DailyStanding.objects.filter(day__gte=since).values_list("day", "surface", "plan", "allowed")
    for day, surface, plan, allowed, total in days.annotate(total=Sum("change")).order_by():
        changes[surface, plan][day][not allowed] += total
    found: defaultdict[tuple[str, str], Level] = defaultdict(dict)
    for key, by_day in changes.items():
        used = unused = 0
        for day in sorted(by_day):
            used, unused = used + by_day[day][0], unused + by_day[day][1]
            found[key][day] = used, unused
    return found


Values = list[tuple[float | None, int]]


def _line(title: str, values: Values, monthly: Values, marks: tuple[Mark, ...]) -> Line:
    # 100 - value: the y axis of SVG points down.
    points = [(100 * step / _STEPS, 100 - value) for step, (value, _total) in enumerate(values) if value is not None]
    path = "M" + " L".join(f"{x:.2f} {y:.2f}" for x, y in points) if points else ""
    area = f"{path} L100 100 L{points[0][0]:.2f} 100 Z" if points else ""
    now, total = values[-1]
    return Line(title, path, area, now, total, marks, tuple(value for value, _total in monthly))


def _at(level: Level, days: Iterable[dt.date]) -> Values:
    """For the end of each day the share opted out in per cent (None if the total is 0), and the total."""
    changed = sorted(level)
    found: Values = []
    position, used, unused = 0, 0, 0
    for day in days:
        while position < len(changed) and changed[position] <= day:
            used, unused = level[changed[position]]
            position += 1
        total = used + unused
        found.append((100 * unused / total if total else None, total))
    return found


def _marks(since: dt.date, days: int) -> dict[str, tuple[Mark, ...]]:
    found: dict[str, list[Mark]] = defaultdict(list)
    jobs = BulkJob.objects.filter(kind=JobKind.PLAN_DEFAULT, status=JobStatus.DONE).order_by("finished_at")
    for job in jobs[:100]:
        day = job.finished_at.date() if job.finished_at else since
        if day >= since:
            words = _("opted out by default") if job.wanted == "opted_out" else _("opted in by default")
            found[job.plan].append(Mark(100 * (day - since).days / days, day, words))
    return {plan: tuple(marks) for plan, marks in found.items()}


def _months(since: dt.date, until: dt.date) -> tuple[dt.date, ...]:
    """The last day of each month that has ended, and `until`."""
    found: list[dt.date] = []
    day = since.replace(day=1)
    while True:
        following = (day + dt.timedelta(days=32)).replace(day=1)
        if following > until:
            return (*found, until)
        found.append(following - dt.timedelta(days=1))
        day = following


# --- Changes a day ---


def changes(today: dt.date) -> Changes:
    """A bar for each of the last thirty days, with a segment for each source of choices; and the segments' names."""
    since = today - RECENT
    counts: dict[dt.date, dict[str, int]] = defaultdict(dict)
    for day, source, number in DailyChanges.objects.filter(day__gte=since).values_list("day", "source", "choices"):
        counts[day][source] = number
    there = [source for source in Source if any(source in by_source for by_source in counts.values())]
    top = round_up(max((sum(by_source.values()) for by_source in counts.values()), default=0))
    bars = []
    for offset in range(RECENT.days + 1):
        day = since + dt.timedelta(days=offset)
        bars.append(_bar(day, [(str(s.label), counts[day].get(s, 0)) for s in there], top))
    return Changes(bars, [str(source.label) for source in there], (top, top // 2, 0))


def round_up(most: int) -> int:
    """The next of 2, 4, 10, 20, 40, 100 …: an even number, so that half of it can stand at the axis too."""
    step = 1
    while True:
        for top in (2 * step, 4 * step):
            if most <= top:
                return top
        step *= 10
        if most <= step:
            return step


# --- How settings stand ---

_KINDS: dict[str, frozenset[Reason]] = {
    "default": frozenset({Reason.PLAN_DEFAULT}),
    "chosen": frozenset({Reason.ORGANIZATION_OPTED_IN, Reason.ORGANIZATION_OPTED_OUT}),
    "carried": frozenset({Reason.CARRIED_OVER}),
    "locked": frozenset({Reason.LOCKED}),
    "none": frozenset({Reason.NO_SUBSCRIPTION, Reason.ORGANIZATION_CLOSED}),
}


def standings() -> list[Bar]:
    """A bar for each organization surface: how many follow a default, chose, are carried over, locked or have none."""
    names = {
        "default": _("Default of the plan"),
        "chosen": _("Chosen"),
        "carried": _("Carried over"),
        "locked": _("Locked"),
        "none": _("No subscription or closed"),
    }
    kind_of = {reason.value: kind for kind, reasons in _KINDS.items() for reason in reasons}
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for surface, reason, total in (
        DailyStanding.objects.values_list("surface", "reason_code").annotate(total=Sum("change")).order_by()
    ):
        counts[surface][kind_of.get(reason, "none")] += total
    bars = []
    for surface in ORGANIZATION_SURFACES:
        parts = [(name, counts[surface.key][kind]) for kind, name in names.items()]
        bars.append(_bar(surface.product.label, parts, sum(count for _name, count in parts) or 1))
    return bars


def _bar(label: Any, parts: Sequence[tuple[str, int]], whole: int) -> Bar:
    segments, start = [], 0.0
    for kind, (name, count) in enumerate(parts):
        size = 100 * count / whole
        segments.append(Segment(name, kind, start, size, count))
        start += size
    return Bar(label, sum(count for _name, count in parts), tuple(segments))
