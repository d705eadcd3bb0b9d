"""Known devices: browsers in which a user has completed a sign-in before. An account's limit does not apply to them.

A signed cookie names the users. It signs nobody in: it only lets the device try a password while others have made too
many attempts on the account. It expires after 90 days, with a change of password, and when the user's access is ended.
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
_PEOPLE = 5  # users whom one browser's cookie names at most; the latest ones stay


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A device of a person. `at`: seconds since 1970; `mark`: a digest of the password hash when it was issued."""

    person: str
    device: str
    at: int
    mark: str


def known(request: HttpRequest, user: User) -> str:
    """The id of the device that sent this request, if it is a known one of this user; else ""."""
    for entry in _entries(request):
        if entry.person == str(user.pk) and constant_time_compare(entry.mark, _mark(user)):
            return entry.device if user.is_active and not _revoked(user, entry.at) else ""
    return ""


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Set the cookie that makes this browser a known device; call it only after a complete sign-in."""
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
    """Forget all known devices of this user; each becomes known again when they sign in there."""
    DeviceRevocation.objects.update_or_create(
        user=user, defaults={"at": dt.datetime.fromtimestamp(time.time(), dt.UTC)}
    )


def _revoked(user: User, issued: int) -> bool:
    # `issued` has whole seconds, so a device of the same second as the revocation counts as revoked.
    return any(issued <= each.at.timestamp() for each in DeviceRevocation.objects.filter(user=user))


# Changes with the password, and so ends all devices that were known before.
def _mark(user: User) -> str:
    return salted_hmac(_SALT, user.password, algorithm="sha256").hexdigest()[:32]


# The entries of the cookie; none if it is missing, forged, too old or malformed.
def _entries(request: HttpRequest) -> list[_Entry]:
    text = request.COOKIES.get(settings.DEVICE_COOKIE_NAME, "")
    try:
        loaded: Any = signing.loads(text, salt=_SALT, max_age=_AGE) if text else []
        entries = [_Entry(*each) for each in loaded]
    except (signing.BadSignature, TypeError, ValueError):
        return []
    # The signature dates the cookie as a whole, which is renewed by each user's sign-in; each entry has its own age.
    return [entry for entry in entries if time.time() - entry.at < _AGE]
