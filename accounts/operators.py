"""The four-eyes rule: who may approve what an operator asked for (R13, R19), for jobs and operator requests alike."""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection

from allauth.mfa.models import Authenticator
from django.db.models import Max, QuerySet
from django.utils.translation import gettext as _

from .access import Actor, Forbidden
from .models import User


def active_operators() -> QuerySet[User]:
    return User.objects.filter(is_active=True, is_staff=True)


def unchanged_since(user: User) -> dt.datetime | None:
    """The instant of the last change to this person's operator status, password, address or second factors.

    None where that is not known.
    """
    if user.operator_since is None or user.credentials_at is None:
        return None
    newest: dt.datetime | None = Authenticator.objects.filter(user=user).aggregate(at=Max("created_at"))["at"]
    latest: dt.datetime = max(user.operator_since, user.credentials_at, newest or user.credentials_at)
    return latest


@dataclasses.dataclass(frozen=True)
class SecondPerson:
    """An operator who may approve what others asked for after `since`, for counting what waits for them."""

    user: User
    since: dt.datetime


def second_person(actor: Actor) -> SecondPerson | None:
    """The actor as the second person of what others ask for; None for API keys and for who is no operator."""
    user = actor.person if actor.key is None else None
    since = unchanged_since(user) if user and user.is_active and user.is_staff else None
    return SecondPerson(user, since) if user and since else None


def is_operator_since(user: User | None, instant: dt.datetime | None) -> bool:
    """Whether the user is an active operator, and has been one without a break since the instant."""
    if user is None or instant is None or user.operator_since is None:
        return False
    return user.is_active and user.is_staff and user.operator_since <= instant


def second_people(*, asked_at: dt.datetime | None, involved: Collection[uuid.UUID | None]) -> list[User]:
    """The operators who may approve, as things stand, what others asked for at `asked_at`."""
    if asked_at is None:
        return []
    others = active_operators().exclude(pk__in=[pk for pk in involved if pk]).order_by("pk")
    return [each for each in others if (known := unchanged_since(each)) is not None and known < asked_at]


def require_second_person(user: User, *, asked_at: dt.datetime | None, involved: Collection[uuid.UUID | None]) -> User:
    """The operator as stored now, with their row locked; they may approve what others asked for at `asked_at`.

    Raises Forbidden for a user who is not an active operator, for one of those `involved`, and for one who became an
    operator or whose credentials changed only after `asked_at`: the asker could have arranged that. Call it within a
    transaction.
    """
    user = User.objects.select_for_update().get(pk=user.pk)
    if not (user.is_active and user.is_staff):
        raise Forbidden("approve")
    if user.pk in involved:
        text = _("You wrote, submitted or asked for this, or it is about you: another operator has to approve it.")
        raise Forbidden("approve", text)
    known = unchanged_since(user)
    if asked_at is None or known is None or known >= asked_at:
        text = _(
            "You became an operator, or your password, second factor or address was set, only after this was "
            "submitted: another operator has to approve it."
        )
        raise Forbidden("approve", text)
    return user
