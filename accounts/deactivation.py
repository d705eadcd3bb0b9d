"""Ends sessions, second factors and old addresses of users who lost access."""

from collections.abc import Iterator

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session

from . import clock, devices
from .models import User
from .sessions import SessionStore


def forget_other_addresses(user: User) -> None:
    """Delete allauth's records of former addresses, because allauth signs in and resets passwords by those too."""
    EmailAddress.objects.filter(user=user).exclude(email=user.email).delete()


def remove_second_factors(user: User) -> None:
    """Remove passkeys, authenticator app and recovery codes, and end all sessions of the user.

    From now on the password alone signs in. That counts as a change of credentials (R13), so `credentials_at` is set.
    """
    Authenticator.objects.filter(user=user).delete()
    user.credentials_at = clock.now()
    user.save(update_fields=["credentials_at"])
    end_sessions(user)


def end_sessions(user: User, *, unlisted: bool = False) -> int:
    """End all sessions and known devices of a user who lost access. Their API keys are suspended by a service.

    Returns how many sessions were deleted. `unlisted`: also those from before sessions were listed per user; to find
    them, every stored session is decrypted.
    """
    devices.revoke(user)
    listed = UserSession.objects.filter(user=user)
    ended = {*listed.values_list("session_key", flat=True), *(_unlisted(user) if unlisted else ())}
    listed.delete()
    return Session.objects.filter(session_key__in=ended).delete()[0]


def _unlisted(user: User) -> Iterator[str]:
    store = SessionStore()
    for session in Session.objects.iterator():
        if store.decode(session.session_data).get(SESSION_KEY) == str(user.pk):
            yield session.session_key
