"""The events after which data is used that was not before, or the other way round: those that people are told of."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Min

from accounts.models import Member, OrganizationKind, Subscription

from ..models import ConsentEvent, EventKind
from ..presentation.effects import Effects
from ..surfaces import WITH_MEMBERS

# Kinds of events that can loosen, and that can tighten: only these may be told.
_LOOSENING = frozenset(
    {
        EventKind.CHOICE_OPTED_IN,
        EventKind.CHOICE_RESTORED,
        EventKind.LOCK_LIFTED,
        EventKind.ORGANIZATION_REOPENED,
        EventKind.PLAN_CHANGED,
        EventKind.PLAN_DEFAULT_CHANGED,
        EventKind.SUBSCRIPTION_STARTED,
    }
)
_TIGHTENING = frozenset(
    {
        EventKind.CHOICE_OPTED_OUT,
        EventKind.CHOICE_RESTORED,
        EventKind.LOCK_PLACED,
        EventKind.ORGANIZATION_CLOSED,
        EventKind.PLAN_CHANGED,
        EventKind.PLAN_DEFAULT_CHANGED,
        EventKind.SUBSCRIPTION_STARTED,
        EventKind.SUBSCRIPTION_ENDED,
    }
)


class Turns:
    """Of a batch of events: those after which data began to be used, and those by which the provider ended its use.

    `began` and `ended` are of organizations, `ended_for_members` of members' own layers in teams.
    """

    def __init__(self, events: Sequence[ConsentEvent]) -> None:
        effects = Effects(events)
        began = [event for event in events if event.kind in _LOOSENING and effects.began(event)]
        ended = [e for e in events if e.by_operator and e.kind in _TIGHTENING and effects.ended(e)]
        owners = _owners(event.organization_id for event in [*began, *ended])
        self.began = [e for e in without_first(began) if _decides(e, owners.get(e.organization_id))]
        self.ended = [e for e in ended if _decides(e, owners.get(e.organization_id))]
        of_teams = (e for e in ended if e.member_id is not None and e.organization_id not in owners)
        self.ended_for_members = [event for event in of_teams if _allowed_above(event)]


def _owners(organizations: Iterable[Any]) -> dict[Any, uuid.UUID]:
    """Personal organization → its one member."""
    people = Member.objects.filter(organization__in=set(organizations), organization__kind=OrganizationKind.PERSONAL)
    return dict(people.values_list("organization_id", "pk"))


def _decides(event: ConsentEvent, owner: uuid.UUID | None) -> bool:
    """Whether this event, and not another one of the same action, made the organization's data used, or unused.

    `owner` is the member of a personal organization, where both layers have to allow it (R17); None for a team, of
    which a member's choice never counts: nobody else is told of it (R4).
    """
    if event.member_id is None:
        if owner is None or event.product not in WITH_MEMBERS:
            return True
        own = ConsentEvent.objects.filter(product=event.product, member=owner).as_of(event.recorded_at)
        return own is None or own.allowed
    return event.member_id == owner and _allowed_above(event)


def _allowed_above(event: ConsentEvent) -> bool:
    """Whether the organization's layer allowed use before the member's event: if both change, its own event tells."""
    layers = ConsentEvent.objects.filter(product=event.product, organization=event.organization_id, member=None)
    above = layers.as_of(event.recorded_at)
    return above is not None and above.allowed and above.since != event.recorded_at


def without_first(events: Iterable[ConsentEvent]) -> list[ConsentEvent]:
    """The events without first subscriptions, which start an account; one after a gap is a change, and stays."""
    events = list(events)
    started: set[Any] = {event.organization_id for event in events if event.kind == EventKind.SUBSCRIPTION_STARTED}
    ended = Subscription.objects.filter(organization_id__in=started, ended_at__isnull=False)
    rows = ended.values_list("organization_id", "product").annotate(Min("ended_at")) if started else []
    gap = {(organization, product): at for organization, product, at in rows}

    def is_first(event: ConsentEvent) -> bool:
        at = gap.get((event.organization_id, event.product))
        return event.kind == EventKind.SUBSCRIPTION_STARTED and (at is None or at > event.recorded_at)

    return [event for event in events if not is_first(event)]
