"""One format for all errors of the API, wherever they are raised: application/problem+json (RFC 9457).

`errors` lists the wrong inputs: `pointer` is a JSON pointer into the body (`#/choice`), or `?name` for a query
parameter. `code` is for programs. People get HTML error pages instead.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from . import media_types, request_id

logger = logging.getLogger(__name__)

CONTENT_TYPE = media_types.PROBLEM
# Prefixes of the paths that programs request; all others are pages for people.
_FOR_PROGRAMS = ("/api", "/access", "/.well-known", "/healthz", "/readyz", "/metrics", "/log")

ErrorItem = dict[str, str]


class Problem(exceptions.APIException):
    """An API error: HTTP status, code, detail, and the wrong inputs. `extensions` are added to the body's members."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[ErrorItem] = (),
        *,
        headers: Mapping[str, str] | None = None,
        **extensions: object,
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.code = code
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.extensions = extensions

    def response(self) -> JsonResponse:
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "code": self.code,
            "detail": str(self.detail),
            "errors": self.errors,
            "request_id": request_id.given(),
            **self.extensions,
        }
        headers = {"Cache-Control": "no-store", **self.headers}
        return JsonResponse(body, status=self.status_code, content_type=CONTENT_TYPE, headers=headers)


def error_item(pointer: str, detail: object) -> ErrorItem:
    return {"pointer": pointer, "detail": str(detail)}


def body_pointer(*path: object) -> str:
    """The JSON pointer (RFC 6901) to a part of the body, as a URI fragment; '#' is the whole body."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def exception_handler(exc: Exception, _context: Mapping[str, Any]) -> HttpResponse | None:
    """DRF's exception handler. None for an unexpected exception: Django then logs it and calls `server_error`."""
    problem = as_problem(exc)
    if problem is None:
        return None
    set_rollback()
    return problem.response()


def as_problem(exc: Exception) -> Problem | None:
    match exc:
        case Problem():
            return exc
        case Http404():
            return Problem(404, "not_found", _("There is nothing here."))
        case PermissionDenied():
            return Problem(403, "forbidden", _("This is not allowed."))
        # 503, not 500: the same request may succeed in a moment.
        case _ if database_failed(exc):
            logger.error("the database failed", exc_info=exc)
            return Problem(503, "unavailable", _("The database did not answer."), headers={"Retry-After": "1"})
        case exceptions.ValidationError():
            return invalid(list(_faults(exc.detail, ())))
        case exceptions.APIException():
            code = exc.get_codes()
            return Problem(
                exc.status_code, code if isinstance(code, str) else "error", str(exc.detail), headers=_headers(exc)
            )
    return None


# SQLSTATEs of PostgreSQL: read-only transaction, and the two timeouts by which it ends an idle or long transaction.
_UNAVAILABLE = frozenset({"25006", "25P03", "25P04"})


def database_failed(exc: BaseException | None) -> bool:
    """Whether the database failed: unreachable, not responding, too slow, locked by others, or read-only."""
    if isinstance(exc, InternalError):
        return getattr(exc.__cause__, "sqlstate", None) in _UNAVAILABLE
    return isinstance(exc, OperationalError | InterfaceError)


def invalid(faults: Sequence[ErrorItem]) -> Problem:
    return Problem(400, "invalid", " ".join(f"{each['pointer']}: {each['detail']}" for each in faults), faults)


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return headers


def _faults(detail: Any, path: tuple[object, ...]) -> Iterator[ErrorItem]:
    """DRF's nested error details as a flat sequence, each with its pointer."""
    if isinstance(detail, Mapping):
        for name, part in detail.items():
            yield from _faults(part, path if name == api_settings.NON_FIELD_ERRORS_KEY else (*path, name))
    elif isinstance(detail, list):
        for part in detail:
            yield from _faults(part, path)
    else:
        yield error_item(body_pointer(*path), detail)


# --- Errors of Django itself: before a view, after one, or without one -----------------------------------------------

_STATUSES = {
    400: ("bad_request", gettext_lazy("The request could not be understood.")),
    403: ("forbidden", gettext_lazy("This is not allowed.")),
    404: ("not_found", gettext_lazy("There is nothing at this path. Paths of the API end in a slash.")),
    412: ("precondition_failed", gettext_lazy("The version in If-Match is not the current version.")),
    500: ("error", gettext_lazy("An error occurred on our side. It has been logged.")),
}


def _for_program(request: HttpRequest) -> bool:
    return request.path.startswith(_FOR_PROGRAMS)


class ProblemMiddleware:
    """Replaces Django's HTML error pages by problem responses on paths for programs, with and without DEBUG."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code < 400 or not _for_program(request) or "json" in response.get("Content-Type", ""):
            return response
        code, detail = _STATUSES.get(response.status_code, ("error", HTTPStatus(response.status_code).description))
        headers = {name: response[name] for name in ("Allow",) if name in response}
        return Problem(response.status_code, code, str(detail), headers=headers).response()


def server_error(_request: HttpRequest) -> HttpResponse:
    return _page("500.html", 500, _("Something went wrong on our side. Nothing was saved."))


def refused(
    request: HttpRequest,
    status: int,
    code: str,
    detail: str | Promise,
    headers: Mapping[str, str] | None = None,
    *,
    extensions: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """The error response for a request that reached no view: a problem for programs, a page for people."""
    # LocaleMiddleware has not run, so the thread still has the language of its previous request.
    if _for_program(request):
        with translation.override(None):
            return Problem(status, code, str(detail), headers=headers, **(extensions or {})).response()
    with translation.override(translation.get_language_from_request(request)):
        page = _page("refused.html", status, str(detail), detail=detail)
    for name, value in (headers or {}).items():
        page.headers[name] = value
    return page


def _page(template: str, status: int, text: str, **words: object) -> HttpResponse:
    """The rendered error page; plain text if rendering fails too, for example because static files are missing."""
    reference = request_id.given()
    try:
        return HttpResponse(render_to_string(template, {**words, "request_id": reference}), status=status)
    except Exception:
        logger.exception("the page %s can't be shown", template)
        return HttpResponse(f"{text} {reference}", status=status, content_type="text/plain; charset=utf-8")


@csrf_exempt  # it changes nothing, and 404 is the helpful answer, not 403
def no_such_path(_request: HttpRequest, **_path: str) -> HttpResponse:
    """Fallback for unknown paths below /api/: 404, because a redirect that adds a slash would lose a POST's body."""
    code, detail = _STATUSES[404]
    return Problem(404, code, str(detail)).response()
