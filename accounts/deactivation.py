"""Ending what somebody could still do who is deactivated, or by an address that is no longer theirs."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.utils import timezone

from . import clock, devices
from .models import ApiKey, User


def end_access(user: User) -> None:
    """End every session and every key of somebody who is deactivated, at once."""
    _end_sessions(user)
    ApiKey.objects.filter(issued_by=user, revoked_at=None).update(revoked_at=timezone.now())


def end_operator_access(user: User) -> None:
    """End every session of somebody who is no operator any more, and the operator keys that they answer for."""
    _end_sessions(user)
    keys = ApiKey.objects.filter(issued_by=user, organization=None, revoked_at=None)
    keys.update(revoked_at=timezone.now())


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
    _end_sessions(user)


def _end_sessions(user: User) -> None:
    devices.revoke(user)
    for session in UserSession.objects.filter(user=user):
        session.end()
