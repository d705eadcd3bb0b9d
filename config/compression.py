"""Gzip for JSON responses to requests with an API key, if the client accepts it.

Pages must not be compressed: an attacker who makes a victim's browser request a page repeatedly, with chosen text in
the URL, can read a secret in it from the lengths of the compressed responses (BREACH). The attack needs a credential
that the browser sends by itself, like a session cookie or a proxy's password; it never sends an API key. In addition,
Django adds a random number of bytes.
"""

import re
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

from . import media_types

LEAST = 1000  # bytes: a shorter response, as most are, fits into one packet anyway, so compression would not pay
_JSON = (media_types.JSON, media_types.PROBLEM, media_types.JSON_LINES)
_TAKEN = re.compile(r"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?(?:,|$)", re.IGNORECASE)
# A strong ETag stands for exact bytes, so the compressed response needs another one. Only this module adds the suffix.
_PACKED = '-gzip"'
_NAMING_TAGS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


class KeyedGZipMiddleware(GZipMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        """Remove the suffix from the ETags in the request's conditions, so that views compare their own ETags."""
        for name in _NAMING_TAGS:
            if _PACKED in request.META.get(name, ""):
                request.META[name] = request.META[name].replace(_PACKED, '"')
                request.META["portal.packed"] = True

    def process_response(self, request: HttpRequest, response: Any) -> HttpResponseBase:
        if not _by_key(request) or response.get("Content-Type", "").partition(";")[0] not in (*_JSON, ""):
            return response  # type: ignore[no-any-return]
        tag = response.get("ETag", "")
        # A 304 repeats the ETag that the client sent, with the suffix if it had one.
        if response.status_code == 304:
            if "portal.packed" in request.META:
                response.headers["ETag"] = _packed(tag)
        elif (response.streaming or len(response.content) >= LEAST) and _takes_gzip(request):
            response = super().process_response(request, response)
            if tag and response.get("Content-Encoding") == "gzip":  # Django made it weak, which If-Match never matches
                response.headers["ETag"] = _packed(tag)
        return response  # type: ignore[no-any-return]


def _by_key(request: HttpRequest) -> bool:
    return bool(request.META.get("HTTP_AUTHORIZATION", "")[:7].lower() == "bearer ")


def _takes_gzip(request: HttpRequest) -> bool:
    """Whether the client accepts gzip. Django's own check ignores `q=0`, which means that it does not."""
    taken = _TAKEN.search(request.META.get("HTTP_ACCEPT_ENCODING", ""))
    return taken is not None and (taken[1] is None or taken[1].strip("0.") != "")


def _packed(tag: str) -> str:
    return tag.removesuffix('"') + _PACKED if tag.endswith('"') and not tag.startswith("W/") else tag
