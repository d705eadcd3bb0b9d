"""Keyset pagination: every page costs the same, and nothing is counted."""

import dataclasses
from typing import Any

from django.http import HttpRequest

ROWS = 50


@dataclasses.dataclass(frozen=True)
class Page:
    rows: list[Any]
    has_previous: bool
    first_url: str
    next_url: str


def page_of(request: HttpRequest, rows: Any, after: Any, key: str = "pk") -> Page:
    """The first ROWS of `rows` (ordered by `key`, descending); `after` is the key of the last row seen, or None."""
    if after is not None:
        rows = rows.filter(**{f"{key}__lt": after})
    found = list(rows.order_by(f"-{key}")[: ROWS + 1])
    more = len(found) > ROWS
    found = found[:ROWS]
    return Page(
        rows=found,
        has_previous=after is not None,
        first_url=_url(request, None),
        next_url=_url(request, getattr(found[-1], key)) if more else "",
    )


def _url(request: HttpRequest, after: Any) -> str:
    query = request.GET.copy()
    query.pop("after", None)
    if after is not None:
        query["after"] = str(after)
    return f"?{query.urlencode()}"
