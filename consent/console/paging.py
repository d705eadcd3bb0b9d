"""Keyset pagination: every page costs the same, and nothing is counted."""

import dataclasses
from typing import Any

from django.db.models import Q
from django.http import HttpRequest

ROWS = 50


@dataclasses.dataclass(frozen=True)
class Page:
    rows: list[Any]
    has_previous: bool
    first_url: str
    next_url: str


def page_of(request: HttpRequest, rows: Any, after: Any, key: str = "pk", path: str = "") -> Page:
    """The first ROWS of `rows` (ordered by `key`, descending); `after` is the key of the last row seen, or None.

    `path`: of the list, where another page may show it.
    """
    if after is not None:
        rows = rows.filter(**{f"{key}__lt": after})
    found = list(rows.order_by(f"-{key}")[: ROWS + 1])
    more = len(found) > ROWS
    found = found[:ROWS]
    return Page(
        rows=found,
        has_previous=after is not None,
        first_url=path + _url(request, None),
        next_url=path + _url(request, getattr(found[-1], key)) if more else "",
    )


def by_name(request: HttpRequest, members: Any, every: Any, after: Any) -> Page:
    """The same for members by name. The cursor is a member of `every`: the last one seen may have left since."""
    rows = members.by_name()
    seen = every.by_name().filter(pk=after).first() if after is not None else None
    if seen is not None:
        same = Q(sorted_by=seen.sorted_by, pk__gt=seen.pk)
        rows = rows.filter(Q(sorted_by__gt=seen.sorted_by) | same)
    found = list(rows[: ROWS + 1])
    return Page(
        rows=found[:ROWS],
        has_previous=seen is not None,
        first_url=_url(request, None),
        next_url=_url(request, found[ROWS - 1].pk) if len(found) > ROWS else "",
    )


def _url(request: HttpRequest, after: Any) -> str:
    query = request.GET.copy()
    query.pop("after", None)
    if after is not None:
        query["after"] = str(after)
    return f"?{query.urlencode()}"
