"""Sets the database time limits of a request, and turns a database failure that no view handled into a 503."""

import sys
from collections.abc import Callable

from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy

from . import timeouts
from .fast_path import is_question
from .problems import database_failed, refused

_FAILED = "portal.database_failed"


class TimeoutMiddleware:
    """Answers 503 if the database failed in a page or in the middleware before it, with and without DEBUG.

    API views and decisions handle a failed database themselves.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        question = is_question(request.path)
        limits = timeouts.for_decisions() if question or request.path in timeouts.PROBES else timeouts.for_pages()
        with timeouts.limited(limits):
            response = self.get_response(request)
        if response.status_code == 500 and _FAILED in request.META:
            detail = gettext_lazy("The database did not answer.")
            extensions = {"allowed": False} if question else {}
            return refused(request, 503, "unavailable", detail, {"Retry-After": "1"}, extensions=extensions)
        return response


def note_failure(sender: object, request: HttpRequest, **_kwargs: object) -> None:
    """Receiver of Django's `got_request_exception`, which is sent while `sys.exc_info` still has the exception."""
    if database_failed(sys.exc_info()[1]):
        request.META[_FAILED] = True


got_request_exception.connect(note_failure, dispatch_uid="config.timeout_middleware")
