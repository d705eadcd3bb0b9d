"""Ending what somebody could still do who is deactivated, or by an address that is no longer theirs."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession

from . import clock, devices
from .models import User


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


def end_sessions(user: User) -> None:
    """Of somebody who is deactivated, or no operator any more; a service suspends their keys."""
    devices.revoke(user)
    for session in UserSession.objects.filter(user=user):
        session.end()
