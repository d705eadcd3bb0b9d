"""The language and the time zone that a person has chosen: put to use on pages, and in mails to them.

Where nothing is chosen, pages have the language that the browser asks for, and times are in UTC. The API has both
always: programs read it.
"""

import contextlib
from collections.abc import Callable, Iterator

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from . import time_zones
from .models import User
from .sessions import SESSIONLESS

_PROGRAMS = ("/api/", "/access/", *SESSIONLESS)


class Preferences:
    """Middleware, behind those that know the session's user: activates what the person has chosen."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Check the cookie first: reading `request.session` would add `Vary: Cookie` to responses that need no session.
        if (
            request.path.startswith(_PROGRAMS)
            or settings.SESSION_COOKIE_NAME not in request.COOKIES
            or SESSION_KEY not in request.session
            or not isinstance(request.user, User)
        ):
            return self.get_response(request)
        if language := language_of(request.user.language):
            # Stays in the thread after this, until the LocaleMiddleware of the next request activates its own.
            translation.activate(language)
            request.LANGUAGE_CODE = language
        with timezone.override(time_zones.zone(request.user.time_zone)):
            return self.get_response(request)


def language_of(code: str) -> str:
    """The code if the portal still speaks that language, else ''."""
    return code if code in dict(settings.LANGUAGES) else ""


@contextlib.contextmanager
def of(language: str, time_zone: str) -> Iterator[None]:
    """Within it texts and times are as such a person wants them; without a language they stay as they are."""
    spoken = translation.override(language) if language_of(language) else contextlib.nullcontext()
    with spoken, timezone.override(time_zones.zone(time_zone)):
        yield
