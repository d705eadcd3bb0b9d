"""Time zones that a person can choose, and how times are written: always with their zone."""

import datetime as dt
import functools
import zoneinfo

from django.utils import formats, timezone
from django.utils.functional import Promise, lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

UTC = "UTC"
# The first part of a zone's name → its heading. Zones without one of these are old spellings (`US/Pacific`, `GB`).
REGIONS: dict[str, str | Promise] = {
    "Africa": _("Africa"),
    "America": _("America"),
    "Antarctica": _("Antarctica"),
    "Arctic": _("Arctic"),
    "Asia": _("Asia"),
    "Atlantic": pgettext_lazy("ocean", "Atlantic"),
    "Australia": _("Australia"),
    "Europe": _("Europe"),
    "Indian": pgettext_lazy("ocean", "Indian Ocean"),
    "Pacific": pgettext_lazy("ocean", "Pacific"),
}


@functools.cache
def names() -> frozenset[str]:
    """The zones of the IANA database that are named after a place, and UTC."""
    return frozenset({UTC, *(name for name in zoneinfo.available_timezones() if name.partition("/")[0] in REGIONS)})


def choices() -> list[tuple[str | Promise, str | Promise | list[tuple[str, str]]]]:
    """For a select: UTC, then the places of each region, by what is read first: the place."""
    found: list[tuple[str | Promise, str | Promise | list[tuple[str, str]]]] = [(UTC, UTC)]
    for region, heading in REGIONS.items():
        own = (name for name in names() if name.startswith(f"{region}/"))
        found.append((heading, sorted(((name, place(name)) for name in own), key=lambda each: each[1])))
    return found


def place(name: str) -> str:
    """`America/Argentina/Buenos_Aires` → `Buenos Aires (Argentina)`."""
    *within, last = name.replace("_", " ").split("/")
    return f"{last} ({within[1]})" if len(within) > 1 else last


def zone(name: str) -> dt.tzinfo:
    """The zone with this name; UTC where there is no such zone, or no longer one."""
    try:
        return zoneinfo.ZoneInfo(name) if name else dt.UTC
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return dt.UTC


def here() -> str:
    """The zone in which times are shown and read now: `Paris`, `UTC`."""
    return place(timezone.get_current_timezone_name())


# For texts that are made before there is a reader, as those of forms.
HERE = lazy(here, str)()


def abbreviation(instant: dt.datetime) -> str:
    """`CEST`; `UTC+3` where a zone has no abbreviation and Python gives `+03`."""
    told = instant.tzname() or ""
    if told[:1] not in ("+", "-"):
        return told
    hours, minutes = told[1:3].lstrip("0") or "0", told[3:5]
    return f"UTC{'−' if told[0] == '-' else '+'}{hours}{f':{minutes}' if minutes else ''}"


def moment(instant: dt.datetime | None, *, seconds: bool = False) -> str:
    """Day, time and zone, as the reader writes and reads them; '' for None."""
    if instant is None:
        return ""
    local = timezone.localtime(instant)
    day = formats.date_format(local, "DATE_FORMAT")
    # Every language here writes times alike, and formats have none with seconds.
    return (
        f"{day}, {local:%H:%M:%S} {abbreviation(local)}" if seconds else f"{day}, {local:%H:%M} {abbreviation(local)}"
    )


def start_of(day: dt.date) -> dt.datetime:
    """The first instant of the day where the reader is."""
    return _local(day)


def end_of(day: dt.date) -> dt.datetime:
    """The first instant after the day; for `date.max`, which has no next day, the last instant there is."""
    if day == dt.date.max:
        return dt.datetime.max.replace(tzinfo=dt.UTC)
    return _local(day + dt.timedelta(days=1))


# In UTC, which every database can hold; at the ends of time the local day may begin where no date is.
def _local(day: dt.date) -> dt.datetime:
    begins = dt.datetime.combine(day, dt.time(), timezone.get_current_timezone())
    try:
        return begins.astimezone(dt.UTC)
    except OverflowError:
        return begins.replace(tzinfo=dt.UTC)
