"""The request id: one per request, in every answer, event and log line."""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar

import uuid_utils
from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-ID"
# A caller's own id comes back as it is, as AuthZEN wants it: anything that a header can hold, up to a length.
_ACCEPTABLE = re.compile(r"[ -~]{1,200}")
# What goes into logs and the ledger is short and harmless.
_UNTAMED, _TAME_LENGTH = re.compile(r"[^A-Za-z0-9._:-]"), 64

_given: ContextVar[str] = ContextVar("request_id", default="")


def given() -> str:
    """The id of the request that is being answered as its caller knows it, '' outside one."""
    return _given.get()


def current() -> str:
    """The same as it is logged and kept: tamed, where the caller's own is not."""
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
