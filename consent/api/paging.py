"""Keyset pagination: every page costs the same, nothing is counted, and no row appears twice or is skipped."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from config import problems

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_LARGEST = 2**63 - 1


class CursorPagination:
    """Pages by keyset cursor, for `{"results", "next"}`. `order` is a unique field, with "-" for descending."""

    parameters = ("limit", "cursor")

    def __init__(self, order: str = "-pk") -> None:
        self.order = order
        self.field = order.removeprefix("-")
        self.comparison = "lt" if order.startswith("-") else "gt"

    def page(self, request: Request, rows: QuerySet[Any]) -> tuple[list[Any], str | None]:
        """The rows of the requested page, and the URL of the next one, None on the last; raises Problem (400)."""
        after = self.after(request, rows)
        if after is not None:
            rows = rows.filter(**{f"{self.field}__{self.comparison}": after})
        limit = self.limit(request)
        # One row more than the page tells whether there is a next one.
        found = list(rows.order_by(self.order)[: limit + 1])
        return found[:limit], self.next_url(request, found[limit - 1]) if len(found) > limit else None

    def limit(self, request: Request) -> int:
        return _number(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)

    def after(self, request: Request, rows: QuerySet[Any]) -> Any:
        """The key of the previous page's last row, decoded from the cursor; None on the first page."""
        cursor = request.query_params.get("cursor")
        if cursor is None:
            return None
        try:
            key = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii")
            # Checked by the type of the primary key, so that no malformed value reaches the database.
            return rows.model._meta.pk.to_python(key)
        except (ValueError, binascii.Error, ValidationError):
            raise _fault("cursor", _("This is not a cursor of this list. Use the one in “next”.")) from None

    def next_url(self, request: Request, last: Any) -> str:
        cursor = base64.urlsafe_b64encode(str(last.pk).encode("ascii")).decode("ascii")
        return _url(request, "cursor", cursor)


class PositionPagination(CursorPagination):
    """Pages of the ledger: the cursor is the position itself, in `after`, which consumers store to resume from."""

    parameters = ("limit", "after")

    def __init__(self) -> None:
        super().__init__("placed__position")

    def after(self, request: Request, _rows: QuerySet[Any]) -> int:
        return _number(request, "after", 0, 0, _LARGEST)

    def next_url(self, request: Request, last: Any) -> str:
        return _url(request, "after", last.placed.position)


class EntryPagination(CursorPagination):
    """Pages of what is made from the ledger by positions: the cursor is a position, in `after`."""

    parameters = ("limit", "after")

    def position(self, request: Request) -> int:
        """The position that the page begins after; raises Problem (400)."""
        return _number(request, "after", 0, 0, _LARGEST)

    def url_after(self, request: Request, position: int | None) -> str | None:
        return None if position is None else _url(request, "after", position)


class WholeList(CursorPagination):
    """Pages of a short list in memory; the cursor is an offset."""

    def whole(self, request: Request, items: Sequence[Any]) -> tuple[list[Any], str | None]:
        """At most `limit` items from the cursor on, and the URL of the next page or None; raises Problem (400)."""
        start, limit = _number(request, "cursor", 0, 0, _LARGEST), self.limit(request)
        end = start + limit
        return list(items[start:end]), _url(request, "cursor", end) if end < len(items) else None


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most):
        raise _fault(name, _("Give a number from %(least)s to %(most)s.") % {"least": least, "most": most})
    return int(text)


def _fault(name: str, detail: str) -> problems.Problem:
    return problems.invalid([problems.error_item(f"?{name}", detail)])


def _url(request: Request, name: str, value: object) -> str:
    return replace_query_param(request.build_absolute_uri(), name, str(value))
