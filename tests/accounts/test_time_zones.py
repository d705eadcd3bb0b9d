"""Times are written with their zone, and days are those of the reader."""

import datetime as dt
import re
from pathlib import Path

import pytest
from django.utils import timezone, translation

from accounts import time_zones

SUMMER = dt.datetime(2025, 6, 22, 12, 5, 9, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("zone", "language", "told"),
    [
        ("", "en", "22 Jun 2025, 12:05 UTC"),
        ("UTC", "en", "22 Jun 2025, 12:05 UTC"),
        ("Europe/Paris", "en", "22 Jun 2025, 14:05 CEST"),
        ("Europe/Paris", "fr", "22 juin 2025, 14:05 CEST"),
        ("America/New_York", "en", "22 Jun 2025, 08:05 EDT"),
        ("America/Sao_Paulo", "en", "22 Jun 2025, 09:05 UTC−3"),
        ("Asia/Kathmandu", "en", "22 Jun 2025, 17:50 UTC+5:45"),
        ("Pacific/Kiritimati", "en", "23 Jun 2025, 02:05 UTC+14"),
        ("No/Such", "en", "22 Jun 2025, 12:05 UTC"),
    ],
)
def test_moment__in_a_zone__says_which(zone: str, language: str, told: str) -> None:
    with timezone.override(time_zones.zone(zone)), translation.override(language):
        assert time_zones.moment(SUMMER) == told
        assert time_zones.moment(SUMMER, seconds=True) == told.replace(":05 ", ":05:09 ").replace(":50 ", ":50:09 ")


def test_moment__none__nothing() -> None:
    assert time_zones.moment(None) == ""


def test_day__in_a_zone__begins_and_ends_there() -> None:
    with timezone.override(time_zones.zone("America/New_York")):
        day = dt.date(2025, 11, 2)  # the day on which clocks go back: 25 hours
        assert time_zones.start_of(day) == dt.datetime(2025, 11, 2, 4, tzinfo=dt.UTC)
        assert time_zones.end_of(day) == dt.datetime(2025, 11, 3, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("day", [dt.date.min, dt.date.max])
def test_day__at_the_ends_of_time__is_one(day: dt.date, zone: str) -> None:
    with timezone.override(time_zones.zone(zone)):
        assert time_zones.start_of(day).tzinfo == time_zones.end_of(day).tzinfo == dt.UTC


def test_choices__by_region_and_place__are_all_that_is_taken() -> None:
    grouped = {str(heading): places for heading, places in time_zones.choices()}
    flat = {name for places in grouped.values() if not isinstance(places, str) for name, _place in places}  # type: ignore[misc]
    assert flat | {"UTC"} == time_zones.names()
    assert ("Europe/Paris", "Paris") in grouped["Europe"]
    assert ("America/Argentina/Buenos_Aires", "Buenos Aires (Argentina)") in grouped["America"]
    assert not {"US/Pacific", "GB", "EST5EDT", "Etc/GMT+3"} & time_zones.names()


FOLDER = Path(__file__).parents[2] / "templates"
TEMPLATES = [
    path.relative_to(FOLDER).as_posix() for kind in ("html", "txt") for path in sorted(FOLDER.rglob(f"*.{kind}"))
]


@pytest.mark.parametrize("path", TEMPLATES)
def test_template__times_only_by_the_filters_that_say_their_zone(path: str) -> None:
    dates = re.findall(r"\|(date|time)(?::[\"']([^\"']*)[\"'])?", (FOLDER / path).read_text(encoding="utf-8"))
    # Of days and months alone, as each language writes them; `c` is for programs.
    assert [
        each for each in dates if not re.fullmatch(r"date ((DATE|MONTH_DAY|YEAR_MONTH)_FORMAT|c)", " ".join(each))
    ] == []
