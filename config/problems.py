"""Every error of the API in one shape: application/problem+json (RFC 9457), whichever layer it comes from.

`errors` names what to mend: `pointer` is a JSON pointer into the body (`#/choice`), or `?name` for a query parameter.
`code` is for programs. Pages for people get error pages.
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
# Paths that programs ask; all others are pages for people.
_FOR_PROGRAMS = ("/api", "/access", "/.well-known", "/healthz", "/readyz", "/metrics")

ErrorItem = dict[str, str]


class Problem(exceptions.APIException):
    """An error with its status and code, and the inputs that it is about."""

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
    """The JSON pointer of a part of the body, as a URI fragment; '#' is the body itself."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def exception_handler(exc: Exception, _context: Mapping[str, Any]) -> HttpResponse | None:
    """DRF's hook; None leaves what nobody foresaw to Django, which logs it and asks `server_error` below."""
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


# PostgreSQL's for a server that takes no writes, and for one that ended a transaction in which nothing happened.
_UNAVAILABLE = frozenset({"25006", "25P03", "25P04"})


def database_failed(exc: BaseException | None) -> bool:
    """Whether the database is what failed: away, silent, too slow, locked by others or read-only."""
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
    """DRF's nested errors, flat, each with its pointer."""
    if isinstance(detail, Mapping):
        for name, part in detail.items():
            yield from _faults(part, path if name == api_settings.NON_FIELD_ERRORS_KEY else (*path, name))
    elif isinstance(detail, list):
        for part in detail:
            yield from _faults(part, path)
    else:
        yield error_item(body_pointer(*path), detail)


# --- What Django answers itself: before a view, after one, or where there is none -----------------------------------

_STATUSES = {
    400: ("bad_request", gettext_lazy("The request could not be understood.")),
    403: ("forbidden", gettext_lazy("This is not allowed.")),
    404: ("not_found", gettext_lazy("There is nothing at this path. Paths of the API end in a slash.")),
    412: ("precondition_failed", gettext_lazy("What If-Match names is not what is there.")),
    500: ("error", gettext_lazy("Something went wrong here; it has been noted.")),
}


def _for_program(request: HttpRequest) -> bool:
    return request.path.startswith(_FOR_PROGRAMS)


class ProblemMiddleware:
    """Gives programs each error as a problem, where Django answers with a page: with DEBUG and without it alike."""

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
    """For a request that no view has answered: a problem, or a page that says the same."""
    # No middleware has chosen a language; the thread still has that of its last request.
    if _for_program(request):
        with translation.override(None):
            return Problem(status, code, str(detail), headers=headers, **(extensions or {})).response()
    with translation.override(translation.get_language_from_request(request)):
        page = _page("refused.html", status, str(detail), detail=detail)
    for name, value in (headers or {}).items():
        page.headers[name] = value
    return page


def _page(template: str, status: int, text: str, **words: object) -> HttpResponse:
    """Where it can't be shown, its text: what failed may fail again, and style sheets may be what is missing."""
    reference = request_id.given()
    try:
        return HttpResponse(render_to_string(template, {**words, "request_id": reference}), status=status)
    except Exception:
        logger.exception("the page %s can't be shown", template)
        return HttpResponse(f"{text} {reference}", status=status, content_type="text/plain; charset=utf-8")


@csrf_exempt  # there is nothing to protect, and 404 says what is wrong
def no_such_path(_request: HttpRequest, **_path: str) -> HttpResponse:
    """For every path below /api/ that is none: a redirect to add a slash would lose a POST's body."""
    code, detail = _STATUSES[404]
    return Problem(404, code, str(detail)).response()
