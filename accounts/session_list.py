"""Where a person is signed in: their sessions by device, and ending them."""

import dataclasses
import datetime as dt
import time

from allauth.usersessions.models import UserSession
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils.crypto import constant_time_compare

from . import sessions, user_agents
from .models import User


@dataclasses.dataclass(frozen=True)
class Device:
    """A session that still signs its person in. `id` is not the session's key, which would be as good as a password."""

    id: int
    name: str
    ip: str
    began: dt.datetime
    used: dt.datetime
    current: bool


def devices_of(user: User, current_key: str | None) -> list[Device]:
    """This device first, then those used last; two queries."""
    listed = UserSession.objects.filter(user=user)
    stored = dict(
        Session.objects.filter(session_key__in=listed.values("session_key")).values_list("session_key", "session_data")
    )
    found = [
        Device(
            id=each.pk,
            name=user_agents.in_words(each.user_agent),
            ip=each.ip,
            began=each.created_at,
            used=used,
            current=each.session_key == current_key,
        )
        for each in listed
        if (used := _last_used(stored.get(each.session_key, ""), user)) is not None
    ]
    return sorted(found, key=lambda device: (device.current, device.used, device.id), reverse=True)


def _last_used(data: str, user: User) -> dt.datetime | None:
    """None where the session signs nobody in any more: ended, idle for too long, or before a change of password."""
    session = sessions.SessionStore().decode(data) if data else {}
    signed = str(session.get(HASH_SESSION_KEY, ""))
    if session.get(SESSION_KEY) != str(user.pk) or not constant_time_compare(signed, user.get_session_auth_hash()):
        return None
    now = int(time.time())
    return sessions.last_used(session, now) if sessions.is_within_limits(session, user, now) else None


@transaction.atomic
def end(user: User, ident: int) -> bool:
    """Sign the person out of one device; returns False if there is no such session of theirs."""
    keys = list(UserSession.objects.filter(user=user, pk=ident).values_list("session_key", flat=True))
    _end(user, keys)
    return bool(keys)


@transaction.atomic
def end_others(user: User, current_key: str | None) -> None:
    """Sign the person out of all devices but this one."""
    others = UserSession.objects.filter(user=user).exclude(session_key=current_key)
    _end(user, list(others.values_list("session_key", flat=True)))


def _end(user: User, keys: list[str]) -> None:
    Session.objects.filter(session_key__in=keys).delete()
    UserSession.objects.filter(user=user, session_key__in=keys).delete()
