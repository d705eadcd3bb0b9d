"""Known devices: browsers in which somebody has signed in, wholly, before. Others' wrong passwords don't hold them up.

A signed cookie says whose. It signs nobody in and opens nothing: whoever has it may try a password that others have
been trying too often. It ends by itself, with another password, and when the person's access was ended.
"""

import dataclasses
import datetime as dt
import secrets
import time
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

from .models import DeviceRevocation, User

_SALT = "accounts.devices"
_AGE = 90 * 86_400
_PEOPLE = 5  # in one browser; the latest


@dataclasses.dataclass(frozen=True)
class _Entry:
    """Issued to a person, at a second since 1970; `mark` depends on the password of then."""

    person: str
    device: str
    at: int
    mark: str


def known(request: HttpRequest, user: User) -> str:
    """The id of this person's device that asks, or "" for any other."""
    for entry in _entries(request):
        if entry.person == str(user.pk) and constant_time_compare(entry.mark, _mark(user)):
            return entry.device if user.is_active and not _revoked(user, entry.at) else ""
    return ""


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """After somebody has shown, wholly, who they are."""
    others = [entry for entry in _entries(request) if entry.person != str(user.pk)]
    mine = _Entry(str(user.pk), known(request, user) or secrets.token_urlsafe(12), int(time.time()), _mark(user))
    entries = [mine, *others][:_PEOPLE]
    response.set_cookie(
        settings.DEVICE_COOKIE_NAME,
        signing.dumps([dataclasses.astuple(entry) for entry in entries], salt=_SALT, compress=True),
        max_age=_AGE,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )


def revoke(user: User) -> None:
    """No browser is known as this person's any more, until they sign in there again."""
    DeviceRevocation.objects.update_or_create(
        user=user, defaults={"at": dt.datetime.fromtimestamp(time.time(), dt.UTC)}
    )


def _revoked(user: User, issued: int) -> bool:
    # Whole seconds: what was issued in the second of the revocation counts as earlier.
    return any(issued <= each.at.timestamp() for each in DeviceRevocation.objects.filter(user=user))


def _mark(user: User) -> str:
    return salted_hmac(_SALT, user.password, algorithm="sha256").hexdigest()[:32]


def _entries(request: HttpRequest) -> list[_Entry]:
    text = request.COOKIES.get(settings.DEVICE_COOKIE_NAME, "")
    try:
        loaded: Any = signing.loads(text, salt=_SALT, max_age=_AGE) if text else []
        entries = [_Entry(*each) for each in loaded]
    except (signing.BadSignature, TypeError, ValueError):
        return []
    return [entry for entry in entries if time.time() - entry.at < _AGE]
