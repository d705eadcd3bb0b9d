"""Ending what somebody could still do who is deactivated, or by an address that is no longer theirs."""

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
    """allauth notes addresses of its own, and signs in and resets passwords by those too."""
    EmailAddress.objects.filter(user=user).exclude(email=user.email).delete()


def remove_second_factors(user: User) -> None:
    """Passkeys, authenticator app and recovery codes; who is signed in meanwhile is not any more.

    The password alone signs in from now on: that is a new way in (R13).
    """
    Authenticator.objects.filter(user=user).delete()
    user.credentials_at = clock.now()
    user.save(update_fields=["credentials_at"])
    end_sessions(user)


def end_sessions(user: User, *, unlisted: bool = False) -> int:
    """Of somebody who is deactivated, erased, or no operator any more; a service suspends their keys.

    Returns how many there were. `unlisted`: those too of which no list is kept, from before there was one; for that
    every session that there is is opened.
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
