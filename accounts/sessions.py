"""Sessions: encrypted in the database, and ended by the server after some idle time or a maximum age.

The time of the last activity is stored in the session itself, so it costs a page no query. It is written at most once
a minute.
"""

import datetime as dt
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from . import keys, shown_once
from .models import User

_BEGAN, _SEEN = "began", "seen"
_NOTED = 60  # seconds: the time of the last activity is written again only when the stored one is older
# The header of requests that a page repeats by itself (polling): they do not count as activity.
AUTOMATIC = "X-Automatic"


class SessionStore(db.SessionStore):
    """Encrypts the data: it may hold the secret of a new second factor, and requests that wait for confirmation."""

    def encode(self, session_dict: dict[str, Any]) -> str:
        return keys.encrypt(super().encode(session_dict))

    def decode(self, session_data: str) -> dict[str, Any]:  # type: ignore[override]  # a text field holds no bytes
        """The session's data; empty where it can't be decrypted, which ends the session.

        Data from before sessions were encrypted is signed plain text, and still accepted.
        """
        try:
            text = keys.decrypt(session_data) if keys.is_encrypted(session_data) else session_data
        except (keys.UnknownKey, keys.NotEncrypted):
            return {}
        data: dict[str, Any] = super().decode(text)
        return data


def begin(sender: object, request: HttpRequest, **_kwargs: object) -> None:
    """Receiver of Django's `user_logged_in`: stores when the session began."""
    request.session[_BEGAN] = request.session[_SEEN] = int(time.time())


# Of paths that answer everybody alike, and that shared caches may keep: a session has no part in them.
SESSIONLESS = ("/log/", "/.well-known/")


class SessionLimits:
    """Middleware: signs out of a session that began too long ago, or has been idle for too long.

    From one that goes on, it removes the new secrets that were to be shown for some minutes only.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Check the cookie first: reading `request.session` would add `Vary: Cookie` to responses that need no session.
        has_cookie = settings.SESSION_COOKIE_NAME in request.COOKIES and not request.path.startswith(SESSIONLESS)
        if has_cookie and SESSION_KEY in request.session:
            user = request.user
            if isinstance(user, User) and not _go_on(request, user):
                logout(request)
            else:
                shown_once.remove_old(request)
        return self.get_response(request)


# Whether the session is within its limits; stores the activity if the stored time is old.
def _go_on(request: HttpRequest, user: User) -> bool:
    now = int(time.time())
    began, seen = request.session.get(_BEGAN, now), request.session.get(_SEEN)
    if not is_within_limits(request.session, user, now):
        return False
    if request.headers.get(AUTOMATIC) is None and (seen is None or now - seen >= _NOTED):
        return _note(request, began, now)
    return True


def is_within_limits(session: SessionBase | Mapping[str, Any], user: User, now: int) -> bool:
    """Whether a session with this data goes on. One from before there were limits has no start: it begins now."""
    began, seen = session.get(_BEGAN, now), session.get(_SEEN)
    return now - began <= settings.SESSION_DAYS * 86_400 and (seen is None or now - seen <= idle_limit(user))


def last_used(session: SessionBase | Mapping[str, Any], now: int) -> dt.datetime:
    """The last activity, to the minute; `now` where none is noted yet."""
    return dt.datetime.fromtimestamp(session.get(_SEEN, now), dt.UTC)


def idle_limit(user: User) -> int:
    """After how many idle seconds the user's session ends; operators have a shorter limit."""
    if user.is_staff:
        return int(dt.timedelta(minutes=settings.OPERATOR_IDLE_MINUTES).total_seconds())
    return int(dt.timedelta(days=settings.SESSION_IDLE_DAYS).total_seconds())


def _note(request: HttpRequest, began: int, now: int) -> bool:
    """Store the two times; returns False where the session has been ended meanwhile.

    Writes into a fresh copy, not the one that this request loaded: concurrent requests may have changed the session.
    """
    changed = request.session.modified
    request.session[_BEGAN], request.session[_SEEN] = began, now
    request.session.modified = changed
    fresh = SessionStore(request.session.session_key)
    try:
        if SESSION_KEY not in fresh:
            return False
        fresh[_BEGAN], fresh[_SEEN] = began, now
        fresh.save()
    except UpdateError:  # the session was deleted meanwhile
        return False
    except DatabaseError:  # the next request tries again; a page must not fail because of this
        return True
    return True
