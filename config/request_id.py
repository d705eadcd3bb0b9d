"""The request id: one per request, in its response, its events and its log lines."""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

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


@contextlib.contextmanager
def given_by(headers: Mapping[str, Any]) -> Iterator[str]:
    """In the block, the current request has the id that its headers offer, or a new one."""
    offered = headers.get("HTTP_X_REQUEST_ID", "")
    name = offered if _ACCEPTABLE.fullmatch(offered) else uuid_utils.uuid7().hex
    token = _given.set(name)
    try:
        yield name
    finally:
        _given.reset(token)


class RequestIdMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with given_by(request.META) as name:
            response = self.get_response(request)
        response.headers[HEADER] = name
        return response


class RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current() or "-"
        return True
