"""Events of the access trail about passwords and second factors; only operators see them.

They belong to the person, who may be a member of several organizations, and not to any of these.
"""

from collections.abc import Mapping
from typing import Any

from allauth.mfa.models import Authenticator

from accounts.access import Actor
from accounts.models import User

from ..models import EventKind
from . import trail

Factors = Mapping[int, str]  # id of an authenticator → its type


def factors_of(person: User) -> Factors:
    return dict(Authenticator.objects.filter(user=person).values_list("pk", "type"))


def note_factors(*, person: User, before: Factors, actor: Actor, source: str) -> None:
    """Write an event for each second factor that was added or removed since `before`."""
    now = factors_of(person)
    common: dict[str, Any] = {"organization": None, "actor": actor, "source": source, "target": person.pk}
    for pk in sorted(before.keys() - now.keys()):
        trail.note(EventKind.ACCESS_SECOND_FACTOR_REMOVED, before=before[pk], **common)
    for pk in sorted(now.keys() - before.keys()):
        trail.note(EventKind.ACCESS_SECOND_FACTOR_ADDED, after=now[pk], **common)


def note_password(kind: EventKind, *, person: User, actor: Actor, source: str) -> None:
    """Write an event about a password; `kind`: it was set for the first time, changed, or reset by a link."""
    trail.note(kind, organization=None, actor=actor, source=source, target=person.pk)
