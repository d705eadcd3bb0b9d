"""Ending what somebody could still do who is deactivated, or by an address that is no longer theirs."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.utils import timezone

from .models import ApiKey, User


def end_access(user: User) -> None:
    """End every session and every key of somebody who is deactivated, at once."""
    _end_sessions(user)
    ApiKey.objects.filter(issued_by=user, revoked_at=None).update(revoked_at=timezone.now())


def forget_other_addresses(user: User) -> None:
    """allauth notes addresses of its own, and signs in and resets passwords by those too."""
    EmailAddress.objects.filter(user=user).exclude(email=user.email).delete()


def remove_second_factors(user: User) -> None:
    """Passkeys, authenticator app and recovery codes; who is signed in meanwhile is not any more."""
    Authenticator.objects.filter(user=user).delete()
    _end_sessions(user)


def _end_sessions(user: User) -> None:
    for session in UserSession.objects.filter(user=user):
        session.end()
