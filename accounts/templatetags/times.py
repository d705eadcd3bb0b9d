"""`{{ instant|moment }}` and `{{ instant|exactly }}`: every time on a page or in a mail, with its zone."""

import datetime as dt

from django import template

from accounts import time_zones

register = template.Library()


@register.filter(expects_localtime=False)
def moment(instant: dt.datetime | None) -> str:
    """To the minute: `22 May 2025, 14:05 CEST`."""
    return time_zones.moment(instant)


@register.filter(expects_localtime=False)
def exactly(instant: dt.datetime | None) -> str:
    """To the second, where operators compare: `22 May 2025, 14:05:09 CEST`."""
    return time_zones.moment(instant, seconds=True)


@register.simple_tag
def here() -> str:
    """The reader's time zone, for a form that takes days or times: `Paris`, `UTC`."""
    return time_zones.here()
