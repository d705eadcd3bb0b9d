"""Durations in settings, written as people say them: 90m, 24h, 7d."""

import datetime as dt
import re

_FORM = re.compile(r"([0-9]{1,6})\s*([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> dt.timedelta:
    """A number with one of s, m, h, d after it, like 24h. Raises ValueError for anything else, and for 0."""
    found = _FORM.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise ValueError(f"“{text}” is not a duration like 90m, 24h or 7d")
    return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})
