"""The events after which data is used that was not before, or the other way round: those that people are told of."""

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db.models import Min, OuterRef, Subquery

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
        self._beside = _beside([*began, *ended])
        self.began = [event for event in without_first(began) if self._decides(event)]
        self.ended = [event for event in ended if self._decides(event)]
        of_teams = (event for event in ended if event.member_id is not None and self._beside[event.pk].owner is None)
        self.ended_for_members = [event for event in of_teams if self._allowed_above(event)]

    def _decides(self, event: ConsentEvent) -> bool:
        """Whether this event, and not another one of the same action, made the organization's data used, or unused.

        In a personal organization both layers have to allow it (R17). In a team a member's choice never counts: nobody
        else is told of it (R4).
        """
        beside = self._beside[event.pk]
        if event.member_id is None:
            return event.product not in WITH_MEMBERS or beside.own_allowed is not False
        return event.member_id == beside.owner and self._allowed_above(event)

    def _allowed_above(self, event: ConsentEvent) -> bool:
        """Whether the organization's layer allowed use before the event; if both change, its own event tells."""
        beside = self._beside[event.pk]
        return bool(beside.above_allowed) and beside.above_since != event.recorded_at


class _Beside(NamedTuple):
    """What holds at the instant of an event: `owner` is the one member of a personal organization, None for a team.

    `own_allowed` is of the owner's own layer, None before its first event; the rest is of the organization's layer.
    """

    owner: uuid.UUID | None
    own_allowed: bool | None
    above_allowed: bool | None
    above_since: dt.datetime | None


def _beside(events: Sequence[ConsentEvent]) -> dict[int, _Beside]:
    """Event id → what holds beside it, by one query for all events."""
    owner = Member.objects.filter(organization=OuterRef("organization"), organization__kind=OrganizationKind.PERSONAL)
    until = ConsentEvent.objects.filter(product=OuterRef("product"), recorded_at__lte=OuterRef("recorded_at"))
    own = until.filter(member=OuterRef("owner")).order_by("-recorded_at")
    above = until.filter(member=None, organization=OuterRef("organization")).order_by("-recorded_at")
    rows = ConsentEvent.objects.filter(pk__in=[event.pk for event in events]).order_by()
    rows = rows.annotate(owner=Subquery(owner.values("pk")[:1]))
    rows = rows.annotate(
        own_allowed=Subquery(own.values("allowed")[:1]),
        above_allowed=Subquery(above.values("allowed")[:1]),
        above_since=Subquery(above.values("since")[:1]),
    )
    return {pk: _Beside(*found) for pk, *found in rows.values_list("pk", *_Beside._fields)} if events else {}


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
