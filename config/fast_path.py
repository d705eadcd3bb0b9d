"""Fast path of decision requests: answered before Django's handler and middleware, most of which they don't need.

Only POST requests with an API key, without a language or a cookie, take it, and none that the middleware would refuse
or redirect: those take Django's path. Tests compare the two.
"""

import functools
import io
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import IO, Any, NamedTuple, cast

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import LimitedStream, WSGIHandler, WSGIRequest
from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware
from django.urls import resolve, reverse
from django.utils import translation
from django.utils.log import log_response
from django.utils.translation import gettext as _

from . import compression, media_types, request_id, timeouts
from .bodies import REFUSAL
from .problems import Problem

logger = logging.getLogger(__name__)

# Their views check the key, read the body and answer errors themselves.
QUESTIONS = ("api:decisions", "api:decisions-batch", "authzen-evaluation", "authzen-evaluations")
# What makes the answer depend on a language, or makes the middleware refuse the body.
_UNLIKELY = frozenset({"HTTP_ACCEPT_LANGUAGE", "HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING", REFUSAL})

Environ = dict[str, Any]


class Reply(NamedTuple):
    """A response without what Django adds to each."""

    status: int
    headers: dict[str, str]
    content: bytes

    def response(self) -> HttpResponse:
        return HttpResponse(self.content, status=self.status, headers=self.headers)

    @classmethod
    def of(cls, response: HttpResponse) -> "Reply":
        return cls(response.status_code, dict(response.items()), response.content)


@functools.cache  # not at import time, because the URLconf imports modules that need all apps loaded
def _views() -> dict[str, Callable[[HttpRequest], Reply]]:
    """Path → how its view replies; `consent.api.decisions.decision_endpoint` gives this function to the view."""
    return {path: resolve(path).func.reply for path in map(reverse, QUESTIONS)}  # type: ignore[attr-defined]


def is_question(path: str) -> bool:
    return path in _views()


class _Request(WSGIRequest):
    """A request with its headers, its query and its body: all that those views read."""

    def __init__(self, environ: Environ) -> None:
        self.environ = self.META = environ
        self.method = environ["REQUEST_METHOD"]
        self.path = self.path_info = environ["PATH_INFO"]
        if environ.get("CONTENT_TYPE") != media_types.JSON:
            self._set_content_type_params(environ)  # type: ignore[attr-defined]  # it may name a charset, in which Django reads the query
        try:
            length = int(environ["CONTENT_LENGTH"])
        except (KeyError, ValueError):
            length = 0
        self._stream = cast(IO[bytes], LimitedStream(environ["wsgi.input"], length))  # type: ignore[assignment]
        self._read_started = False


class Handler(WSGIHandler):
    """Django's handler, with the fast path."""

    def __init__(self) -> None:
        super().__init__()
        self._gzip = compression.KeyedGZipMiddleware(_never)
        self._fixed = {secure: _headers_of_every_response(secure) for secure in (False, True)}

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:  # type: ignore[override]
        if not takes(environ):
            return super().__call__(environ, start_response)
        # As Django does it before and after each request; but no longer than a decision may take.
        connection = connections[DEFAULT_DB_ALIAS]
        with timeouts.limited(timeouts.for_decisions()):
            connection.close_if_unusable_or_obsolete()
            reply = self.reply(environ)
            connection.close_if_unusable_or_obsolete()
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", list(reply.headers.items()))
        return [reply.content]

    def reply(self, environ: Environ) -> Reply:
        """The whole reply to a request that takes the fast path. The caller sets the time limits."""
        request = _Request(environ)
        # What Django and the middleware would do, as far as it concerns such a request:
        translation.activate(settings.LANGUAGE_CODE)  # the thread may still have that of its previous request
        with request_id.given_by(environ) as name:
            try:
                reply = self._finished(_views()[request.path](request), request)
            except Exception:  # none of the view, which answers its own
                logger.exception("a question could not be answered")
                reply = Reply.of(unanswered().response())
        reply.headers.update(self._fixed[request.is_secure()])
        reply.headers[request_id.HEADER] = name
        return reply

    def _finished(self, reply: Reply, request: HttpRequest) -> Reply:
        """Logged if it is an error, compressed if it is long."""
        if reply.status >= HTTPStatus.BAD_REQUEST:
            phrase = HTTPStatus(reply.status).phrase
            log_response("%s: %s", phrase, request.path, response=reply.response(), request=request)
        if len(reply.content) >= compression.LEAST:
            reply = Reply.of(cast(HttpResponse, self._gzip.process_response(request, reply.response())))
        reply.headers["Content-Length"] = str(len(reply.content))
        return reply


def unanswered() -> Problem:
    """What a failure of ours is told as: it must not look like an answer."""
    detail = _("The question could not be answered. Treat this as a “no”.")
    return Problem(503, "unavailable", detail, headers={"Retry-After": "1"}, allowed=False)


def takes(environ: Environ) -> bool:
    """Whether the request takes the fast path. Reads nothing of its body."""
    if environ.get("PATH_INFO") not in _views() or environ["REQUEST_METHOD"] != "POST" or environ.get("SCRIPT_NAME"):
        return False
    # A cookie may hold a session or a language.
    if not environ.get("HTTP_AUTHORIZATION") or environ.get("HTTP_COOKIE") or not _UNLIKELY.isdisjoint(environ):
        return False
    if settings.SECURE_SSL_REDIRECT and not _Request(environ).is_secure():
        return False
    try:
        _check_host(environ["HTTP_HOST"], *settings.ALLOWED_HOSTS)
    except (KeyError, DisallowedHost):
        return False
    return True


@functools.lru_cache(128)
def _check_host(host: str, *_allowed: str) -> None:
    """Raises DisallowedHost where Django would."""
    request = HttpRequest()
    request.META["HTTP_HOST"] = host
    request.get_host()


def _headers_of_every_response(secure: bool) -> dict[str, str]:
    """Those that SecurityMiddleware adds."""
    scheme = "https" if secure else "http"
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.url_scheme": scheme, "wsgi.input": io.BytesIO()}
    response = HttpResponse()
    del response.headers["Content-Type"]
    SecurityMiddleware(_never).process_response(_Request(environ), response)
    return dict(response.items())


def _never(_request: HttpRequest) -> HttpResponse:
    """The rest of the middleware, which is not called here."""
    raise NotImplementedError
