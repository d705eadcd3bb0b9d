"""The request id: one per request, in its response, its events and its log lines."""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar

import uuid_utils
from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-ID"
# The caller's own id is returned unchanged, as AuthZEN requires: any printable ASCII up to this length.
_ACCEPTABLE = re.compile(r"[ -~]{1,200}")
# In logs and in the ledger the id is shortened, and other characters become "_".
_UNTAMED, _TAME_LENGTH = re.compile(r"[^A-Za-z0-9._:-]"), 64

_given: ContextVar[str] = ContextVar("request_id", default="")


def given() -> str:
    """The id of the current request, as its caller knows it; '' outside of a request."""
    return _given.get()


def current() -> str:
    """The id of the current request as it is logged and stored: at most 64 safe characters."""
    return _UNTAMED.sub("_", given())[:_TAME_LENGTH]


class RequestIdMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        offered = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = offered if _ACCEPTABLE.fullmatch(offered) else uuid_utils.uuid7().hex
        token = _given.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            _given.reset(token)
        response.headers[HEADER] = request_id
        return response


class RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current() or "-"
        return True
