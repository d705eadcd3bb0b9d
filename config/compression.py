"""Answers to keys, packed by gzip where they are JSON and the client takes it.

A page must not be: whoever can have a victim's browser ask for it again and again, with what they like in the address,
reads a secret in it from how long the packed answers are (BREACH). That needs a credential that the browser adds by
itself, as it does a session's cookie, and even a proxy's user and password. A key it never adds. Besides, Django adds a
random number of bytes.
"""

import re
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

from . import media_types

LEAST = 1000  # bytes: what fits into one packet anyway, as most answers do, is not worth the time
_JSON = (media_types.JSON, media_types.PROBLEM, media_types.JSON_LINES)
_TAKEN = re.compile(r"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?(?:,|$)", re.IGNORECASE)
# A strong tag is one of bytes: those of the packed answer are others. Only here does it have this ending.
_PACKED = '-gzip"'
_NAMING_TAGS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


class KeyedGZipMiddleware(GZipMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        """The tags that a client names are those of what is packed."""
        for name in _NAMING_TAGS:
            if _PACKED in request.META.get(name, ""):
                request.META[name] = request.META[name].replace(_PACKED, '"')
                request.META["portal.packed"] = True

    def process_response(self, request: HttpRequest, response: Any) -> HttpResponseBase:
        if not _by_key(request) or response.get("Content-Type", "").partition(";")[0] not in (*_JSON, ""):
            return response  # type: ignore[no-any-return]
        tag = response.get("ETag", "")
        if response.status_code == 304:
            if "portal.packed" in request.META:
                response.headers["ETag"] = _packed(tag)
        elif (response.streaming or len(response.content) >= LEAST) and _takes_gzip(request):
            response = super().process_response(request, response)
            if tag and response.get("Content-Encoding") == "gzip":  # Django has made it weak, which If-Match can't use
                response.headers["ETag"] = _packed(tag)
        return response  # type: ignore[no-any-return]


def _by_key(request: HttpRequest) -> bool:
    return bool(request.META.get("HTTP_AUTHORIZATION", "")[:7].lower() == "bearer ")


def _takes_gzip(request: HttpRequest) -> bool:
    """Django's own look at it does not see a `q=0`, which means no."""
    taken = _TAKEN.search(request.META.get("HTTP_ACCEPT_ENCODING", ""))
    return taken is not None and (taken[1] is None or taken[1].strip("0.") != "")


def _packed(tag: str) -> str:
    return tag.removesuffix('"') + _PACKED if tag.endswith('"') and not tag.startswith("W/") else tag
