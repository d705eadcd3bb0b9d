"""Sessions: encrypted in the database, and ended by the server when nobody was there for a while (R12 asks the server).

When somebody was last there stands in the session itself, so no page reads more for it, and one in a minute writes.
"""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from . import keys
from .models import User

_BEGAN, _SEEN = "began", "seen"
_NOTED = 60  # seconds for which what is noted is new enough
# What a page asks for by itself, again and again: nobody has to be there for that.
AUTOMATIC = "X-Automatic"


class SessionStore(db.SessionStore):
    """The second factor that is being set up, and what waits to be confirmed, are in the data."""

    def encode(self, session_dict: dict[str, Any]) -> str:
        return keys.encrypt(super().encode(session_dict))

    def decode(self, session_data: str) -> dict[str, Any]:  # type: ignore[override]  # a text field holds no bytes
        """What can't be read is a session that has ended; one of before is signed, and still read."""
        try:
            text = keys.decrypt(session_data) if keys.is_encrypted(session_data) else session_data
        except (keys.UnknownKey, keys.NotEncrypted):
            return {}
        data: dict[str, Any] = super().decode(text)
        return data


def begin(sender: object, request: HttpRequest, **_kwargs: object) -> None:
    """Receives Django's `user_logged_in`."""
    request.session[_BEGAN] = request.session[_SEEN] = int(time.time())


class SessionLimits:
    """Middleware: ends a session of too long ago, or in which nobody was there for too long."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # The cookie first: what comes without one is not made to depend on it (`Vary`).
        if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
            user = request.user
            if isinstance(user, User) and not _go_on(request, user):
                logout(request)
        return self.get_response(request)


def _go_on(request: HttpRequest, user: User) -> bool:
    now = int(time.time())
    # A session of before these limits begins now.
    began, seen = request.session.get(_BEGAN, now), request.session.get(_SEEN)
    if now - began > settings.SESSION_DAYS * 86_400 or (seen is not None and now - seen > idle_limit(user)):
        return False
    if request.headers.get(AUTOMATIC) is None and (seen is None or now - seen >= _NOTED):
        return _note(request, began, now)
    return True


def idle_limit(user: User) -> int:
    """Seconds."""
    if user.is_staff:
        return int(dt.timedelta(minutes=settings.OPERATOR_IDLE_MINUTES).total_seconds())
    return int(dt.timedelta(days=settings.SESSION_IDLE_DAYS).total_seconds())


def _note(request: HttpRequest, began: int, now: int) -> bool:
    """Write into the session as it is now, not as it was when this request began: others of it may be on their way."""
    changed = request.session.modified
    request.session[_BEGAN], request.session[_SEEN] = began, now
    request.session.modified = changed
    fresh = SessionStore(request.session.session_key)
    try:
        if SESSION_KEY not in fresh:
            return False
        fresh[_BEGAN], fresh[_SEEN] = began, now
        fresh.save()
    except UpdateError:  # somebody ended it meanwhile
        return False
    except DatabaseError:  # the next request tries again; a read does not fail for it
        return True
    return True
