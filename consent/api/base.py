"""What all views of the API share: authentication, strict input, and the mapping of exceptions to HTTP problems."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from django.core.handlers.wsgi import get_bytes_from_wsgi
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from rest_framework.authentication import CSRFCheck, SessionAuthentication
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import limits
from accounts.access import Actor, Forbidden, NotFound
from accounts.authentication import ApiKeyAuthentication, InvalidKey
from accounts.limits import TooMany
from accounts.reauthentication import session_actor
from config.problems import Problem, body_pointer, error_item, invalid

from ..errors import ConfirmationRequired, ServiceError
from ..witness import awaiting
from . import etags
from .body import JSONParser, check_type
from .fields import Input, ListOf
from .paging import CursorPagination

logger = logging.getLogger(__name__)


def refusal(exc: Exception) -> Exception:
    """The Problem that a caller gets for an exception of a service or getter; other exceptions unchanged."""
    match exc:
        case ServiceError():
            errors = [error_item(body_pointer(*exc.field.split("/")), exc)] if exc.field else []
            return Problem(exc.http_status, str(exc.code), str(exc), errors)
        case ConfirmationRequired():
            return Problem(exc.http_status, exc.code, str(exc))
        case NotFound():
            # One text for absent and foreign objects, so that a 404 does not tell whether the id exists.
            return Problem(404, "not_found", _("There is no such object."))
        case Forbidden():
            return Problem(403, "forbidden", exc.detail or _("You may not do this here."))
        case InvalidKey():
            return invalid_key()
        case TooMany():
            headers = {"Retry-After": str(exc.seconds), **(exc.allowance.headers if exc.allowance else {})}
            return Problem(429, "throttled", _("Too many requests. Try again later."), headers=headers)
        case IntegrityError():
            logger.warning("a write met a constraint", exc_info=exc)
            return Problem(
                409,
                "conflict",
                _("Somebody else changed this at the same time. Check the current state and try again."),
            )
    return exc


def invalid_key() -> Problem:
    """What an InvalidKey is told as, in the current language."""
    return unauthorized("authentication_failed", str(InvalidKey.detail))


def unauthorized(code: str, detail: str) -> Problem:
    """A 401 with its challenge, which RFC 9110 asks of each."""
    return Problem(401, code, detail, headers={"WWW-Authenticate": ApiKeyAuthentication.challenge})


def _not_witnessed(response: Any) -> Any:
    """The same answer, which says that what was written may still be lost (WITNESS_SYNC). Its ETag stays."""
    response.headers["Witnessed"] = "false"
    if isinstance(response, Response) and isinstance(response.data, Mapping):
        response.render().content = Renderer().render({**response.data, "witnessed": False})
    return response


def check_csrf(request: HttpRequest) -> None:
    """Check the CSRF token of a request with a session; raises Problem (403).

    The views themselves are exempt from Django's check, because a request with an API key needs no token.
    """
    check = CSRFCheck(_not_exempt)
    check.process_request(request)
    if check.process_view(request, _not_exempt, (), {}):
        raise Problem(403, "csrf", _("The CSRF token is missing or wrong. A browser has to send it with every change."))


def _not_exempt(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class SessionWithToken(SessionAuthentication):
    def enforce_csrf(self, request: Request) -> None:
        check_csrf(request._request)


def _texts(detail: Any) -> Iterator[str]:
    """All error texts of a parameter, flattened from DRF's nested details of lists."""
    for each in detail.values() if isinstance(detail, Mapping) else detail if isinstance(detail, list) else ():
        yield from [each] if isinstance(each, str) else _texts(each)


def not_utf8(request: HttpRequest) -> list[str]:
    """The names of query parameters whose bytes are not UTF-8: Django would silently replace them."""
    found = []
    for part in get_bytes_from_wsgi(request.META, "QUERY_STRING", "").split(b"&"):
        try:
            unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            found.append(unquote_to_bytes(part.partition(b"=")[0]).decode(errors="replace"))
    return found


class Negotiation(DefaultContentNegotiation):
    """Gives every body to the one parser, which itself refuses other content types (415)."""

    def select_parser(self, _request: Request, parsers: Any) -> Any:
        return parsers[0]


class Renderer(JSONRenderer):
    """Ignores the `indent` that Accept may ask for: the same content has to have the same bytes, and so one ETag."""

    def get_indent(self, _accepted_media_type: str, _renderer_context: Any) -> None:
        return None


class ApiView(APIView):
    """Base of all DRF views.

    `query_class` reads the query parameters of a GET. `delete_class` reads the body of a DELETE, whose fields may also
    be query parameters. Other methods take no parameters.
    """

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    authentication_classes = [ApiKeyAuthentication, SessionWithToken]
    parser_classes = [JSONParser]
    renderer_classes = [Renderer]
    content_negotiation_class = Negotiation
    query_class: type[Input] = Input
    delete_class: type[Input] = Input
    paginator: CursorPagination | None = None
    params: dict[str, Any]
    actor: Actor
    version = ""  # set by views whose ETag begins with a version: see `etags`
    allowance: limits.Allowance | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.actor = request.auth if isinstance(request.auth, Actor) else session_actor(request._request)
        self.allowance = (limits.check_read_rate if request.method in ("GET", "HEAD") else limits.check_write_rate)(
            self.actor
        )
        if request.method in self.allowed_methods:  # for others `dispatch` answers 405
            self.params = self._read_query(request)

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(refusal(exc))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds `no-store`, ETag and rate-limit headers. A client that keeps an answer nevertheless revalidates it."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers["Cache-Control"] = "no-store"
        if response.status_code == 200 and isinstance(response, Response):
            response = self._tagged(request, response)
        if self.allowance is not None:
            self.allowance.tell(response)
        return _not_witnessed(response) if awaiting.missing() else response

    def _tagged(self, request: Request, response: Response) -> HttpResponse:
        """Adds the ETag to a read, and to a write that answers with the same content; 304 if If-None-Match names it."""
        reads = request.method in ("GET", "HEAD")
        if reads or self.version or (request.method in ("PUT", "PATCH") and hasattr(self, "get")):
            response.headers["ETag"] = etags.tag(response.render().content, self.version)
        if not reads:
            return response
        return get_conditional_response(request._request, etag=response["ETag"], response=response) or response

    def require_match(self, shown: Callable[[], object], version: str = "") -> None:
        """Raise VersionMismatch if If-Match is given and does not name the current content.

        `shown` locks the rows and returns what a GET would show: nothing changes between this check and the write.
        """
        if header := self.request.META.get("HTTP_IF_MATCH"):
            etags.require_match(header, etags.tag(Renderer().render(shown()), version))

    def body(self, serializer_class: type[Input]) -> dict[str, Any]:
        """The body's validated values; raises Problem or ValidationError naming every fault.

        A PUT or PATCH without a body, or a PATCH without a field to change, is a fault: its sender meant to change
        something, and would take the unchanged answer for success. The fields of a DELETE may also be query parameters,
        because proxies and clients often drop its body.
        """
        method, length = self.request.method, int(self.request.META.get("CONTENT_LENGTH") or 0)
        if length:  # the CSRF check has already read a form's body, so it would look empty below
            check_type(self.request.META.get("CONTENT_TYPE", ""))
        elif method in ("PUT", "PATCH"):
            detail = _("The request has no body, so there is nothing to change.")
            raise Problem(400, "empty_body", detail, [error_item(body_pointer(), detail)])
        data = self.request.data
        if not isinstance(data, Mapping):
            raise invalid([error_item(body_pointer(), _("Send an object."))])
        serializer = serializer_class(data=self._with_parameters(data) if method == "DELETE" else data)
        serializer.is_valid(raise_exception=True)
        if method == "PATCH" and not serializer.validated_data.keys() - {"reason"}:
            raise invalid([error_item(body_pointer(), _("Give at least one field to change."))])
        return serializer.validated_data  # type: ignore[no-any-return]

    def _with_parameters(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body's fields and the query parameters together; raises Problem where both name one and they differ."""
        for name, value in self.params.items():
            if name in body and (not isinstance(body[name], str) or body[name].strip() != value):
                raise invalid([error_item(f"?{name}", _("This differs from the value in the body."))])
        return {**body, **self.params}

    def created(self, data: object, *path: object) -> Response:
        """201 with `Location`: this request's path and `path` below it."""
        location = self.request.build_absolute_uri(self.request.path + "".join(f"{part}/" for part in path))
        return Response(data, status=201, headers={"Location": location})

    def _read_query(self, request: Request) -> dict[str, Any]:
        serializer_class = self.delete_class if request.method == "DELETE" else Input
        if request.method in ("GET", "HEAD"):
            serializer_class = self.query_class
        if unreadable := not_utf8(request._request):
            raise invalid([error_item(f"?{name}", _("Give this in UTF-8, percent-encoded.")) for name in unreadable])
        known = self.paginator.parameters if self.paginator and request.method in ("GET", "HEAD") else ()
        # A parameter that is given twice is ambiguous, unless it is a list.
        several = {name for name, field in serializer_class().fields.items() if isinstance(field, ListOf)}
        given = {name: values for name, values in request.query_params.lists() if name not in known}
        repeated = [name for name, values in request.query_params.lists() if len(values) > 1 and name not in several]
        if repeated:
            raise invalid([error_item(f"?{name}", _("Give this only once.")) for name in repeated])
        data = {name: values if name in several else values[0] for name, values in given.items()}
        serializer = serializer_class(data=data, partial=request.method == "DELETE")
        try:
            serializer.is_valid(raise_exception=True)
        except ValidationError as error:
            parts = error.detail.items()  # type: ignore[union-attr]
            raise invalid([error_item(f"?{name}", text) for name, part in parts for text in _texts(part)]) from None
        return serializer.validated_data  # type: ignore[no-any-return]
