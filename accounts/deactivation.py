"""Ending what somebody who is deactivated could still do."""

from allauth.usersessions.models import UserSession
from django.utils import timezone

from .models import ApiKey, User


def end_access(user: User) -> None:
    """End every session and every key of somebody who is deactivated, at once."""
    for session in UserSession.objects.filter(user=user):
        session.end()
    ApiKey.objects.filter(issued_by=user, revoked_at=None).update(revoked_at=timezone.now())
