"""JSON bodies, parsed strictly and up to a size limit; what can't be read is a 400, 413 or 415 that says why."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import IO, Any

from django.http import HttpRequest
from django.utils.http import parse_header_parameters
from django.utils.translation import gettext as _
from rest_framework.parsers import BaseParser

from config import strict_json
from config.problems import Problem, body_pointer, error_item

JSON = "application/json"
LIMIT = 1_000_000  # bytes
# RFC 3339 with date, T, time and zone; `fromisoformat` alone accepts many more formats.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)


def parse_instant(text: object) -> dt.datetime | None:
    """The instant of an RFC 3339 text with a time zone, in UTC; None for anything else."""
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        return None
    try:
        return dt.datetime.fromisoformat(text.upper()).astimezone(dt.UTC)
    except (ValueError, OverflowError):  # the 31st of February, the year 0
        return None


def storable(text: str) -> bool:
    """Whether the database can store the text: no NUL and no lone surrogate."""
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text))


def read_json(request: HttpRequest, limit: int = LIMIT) -> Any:
    """The parsed body of a request to a plain Django view; raises Problem (400, 413, 415). `limit` is in bytes."""
    return _decode(request, request.META.get("CONTENT_TYPE", ""), limit)


class JSONParser(BaseParser):
    """The parser of the DRF views; raises Problem like `read_json`."""

    media_type = JSON
    limit = LIMIT

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return _decode(stream, media_type or "", self.limit)


def _decode(stream: Any, content_type: str, limit: int) -> Any:
    if content_type != JSON:
        check_type(content_type)
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise Problem(413, "too_large", _("The body is larger than %(limit)s bytes.") % {"limit": limit})
    try:
        return strict_json.loads(raw)
    except strict_json.NotJson as error:
        detail = _("The body is not JSON: %(error)s.") % {"error": error}
        raise Problem(400, "malformed", detail, [error_item(body_pointer(), detail)]) from None


def check_type(content_type: str) -> None:
    """Raise Problem (415) unless the body is JSON in UTF-8.

    JSON is always decoded as UTF-8 (RFC 8259), so a body that names another charset would be misread.
    """
    name, parameters = parse_header_parameters(content_type)
    if name != JSON:
        raise Problem(415, "unsupported_media_type", _("Send application/json."))
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem(415, "unsupported_media_type", _("Send JSON in UTF-8."))
