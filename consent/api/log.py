"""The log, for whoever checks it: plain views without sessions, as C2SP's tlog-tiles describes them.

Who may read it: everybody where LOG_PUBLIC is on, else operators' keys. Where there is no log, all of it is 404.
"""

import hashlib
import json
import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from accounts.authentication import InvalidKey, key_actor
from config.problems import Problem

from ..log import checkpoints, keys, serving
from ..models import LogCheckpoint
from .base import invalid_key, unauthorized

_TEXT, _BYTES, _JSON = "text/plain; charset=utf-8", "application/octet-stream", "application/json"
_FOREVER, _SHORT = "max-age=31536000, immutable", "max-age=5"
_NUMBER = re.compile("[1-9][0-9]{0,3}", re.ASCII)
View = Callable[..., HttpResponse]


def _reads(view: Callable[..., HttpResponse | Problem]) -> View:
    """GET and HEAD alone, for pages of any origin."""

    @csrf_exempt  # so that a POST gets its 405, not a CSRF error
    def wrapped(request: HttpRequest, **path: str) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            allow = {"Allow": "GET, HEAD"}
            found: HttpResponse | Problem = Problem(405, "method_not_allowed", _("This is read-only."), headers=allow)
        elif not keys.is_on():
            found = Problem(404, "log_off", _("This installation keeps no log."))
        else:
            found = view(request, **path)
        response = found.response() if isinstance(found, Problem) else found
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    return wrapped


def _answer(request: HttpRequest, content: bytes, media_type: str, cache: str) -> HttpResponse:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    shared = "public" if settings.LOG_PUBLIC else "private"
    headers = {"ETag": etag, "Cache-Control": f"{shared}, {cache}"}
    response = HttpResponse(content, content_type=media_type, headers=headers)
    return get_conditional_response(request, etag=etag, response=response) or response


def _refused(request: HttpRequest) -> Problem | None:
    if settings.LOG_PUBLIC:
        return None
    try:
        actor = key_actor(request)
    except InvalidKey:
        return invalid_key()
    if actor is None:
        return unauthorized("not_authenticated", _("Say who is asking: an operator's API key."))
    return None if actor.is_operator else Problem(403, "forbidden", _("You may not do this here."))


@_reads
def checkpoint(request: HttpRequest, number: str = "") -> HttpResponse | Problem:
    """The newest signed checkpoint; of the origin of this number, if one is given."""
    if problem := _refused(request):
        return problem
    last = _latest(number)
    if last is None:
        return _nothing()
    return _answer(request, last.note.encode(), _TEXT, _SHORT)


@_reads
def tile(request: HttpRequest, place: str, number: str = "") -> HttpResponse | Problem:
    """A tile, or a bundle of entries, full or as wide as some checkpoint takes it, of the newest origin or this one."""
    if problem := _refused(request):
        return problem
    found = serving.parse(place)
    last = _latest(number) if found else None
    content = serving.content(found, last) if found else None
    if content is None or last is None:
        return _nothing()
    # Without a number, other bytes were at this address if a restore has ended an origin.
    return _answer(request, content, _BYTES, _FOREVER if number or last.origin_id == 1 else _SHORT)


def _latest(number: str) -> LogCheckpoint | None:
    if not number:
        return checkpoints.latest()
    return checkpoints.latest(int(number)) if _NUMBER.fullmatch(number) else None


@_reads
def about(request: HttpRequest) -> HttpResponse:
    """Keys and addresses of the log; everybody may read it, to check a receipt."""
    return _answer(request, json.dumps(serving.about(), indent=2).encode(), _JSON, "max-age=300")


def _nothing() -> Problem:
    return Problem(404, "not_found", _("The log has nothing at this path."), headers={"Cache-Control": "no-store"})
