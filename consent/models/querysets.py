"""Queries of settings and of the ledger, including what an actor may see."""

import datetime as dt
from typing import TYPE_CHECKING, Any, NoReturn, Self

from django.db import models

from accounts.access import Actor, Forbidden, Permission, organizations_with, permissions
from accounts.models import Organization, OrganizationKind

from .event_kinds import ACCESS

if TYPE_CHECKING:
    from accounts.models import Member

    from .ledger import ConsentEvent
    from .settings import PrivacySetting  # noqa: F401


# More than any transaction may take.
_APART = dt.timedelta(hours=1)


class PrivacySettingQuerySet(models.QuerySet["PrivacySetting"]):
    def of_organizations(self) -> Self:
        return self.filter(member__isnull=True)

    def of_members(self) -> Self:
        return self.filter(member__isnull=False)

    def with_events(self) -> Self:
        """Join the events that choice, carry and lock come from, to save queries."""
        return self.select_related("choice_event", "carry_event", "lock_event")


class ConsentEventQuerySet(models.QuerySet["ConsentEvent"]):
    def visible_to(self, actor: Actor) -> Self:
        """All events if the actor may see the whole ledger; else their organizations' without members' choices (R4)."""
        if Permission.LEDGER_VIEW in permissions(actor, None):
            return self
        return self.filter(
            organization__in=Organization.objects.visible_to(actor).values("pk")
        ).without_member_choices()

    def without_member_choices(self) -> Self:
        """Without events of members' own layers, which an organization may not see (R4).

        Events of a member without a product are about the membership: those stay.
        """
        return self.filter(models.Q(member__isnull=True) | models.Q(product=""))

    def own_choices_of(self, actor: Actor) -> Self:
        """What the person chose themselves: as a member, and for a personal organization of theirs."""
        if actor.user is None:
            return self.none()
        personal = models.Q(member=None, organization__kind=OrganizationKind.PERSONAL)
        mine = Organization.objects.filter(members__user=actor.user)
        return self.filter(models.Q(member__user=actor.user) | personal & models.Q(organization__in=mine))

    def readable_by(self, actor: Actor) -> Self:
        """Every event that the actor may be shown: of the histories that they may read, and their own choices.

        Raises Forbidden for a key that may read no history.
        """
        own = self.own_choices_of(actor)
        try:
            among = organizations_with(actor, Permission.HISTORY_VIEW)
        except Forbidden:
            if actor.user is None:
                raise
            return own
        told = self.visible_to(actor)
        if among is None:
            return told
        told = told.filter(organization__in=among)
        return self.filter(models.Q(pk__in=told.values("pk")) | models.Q(pk__in=own.values("pk")))

    def without_access(self) -> Self:
        """Without the access trail: only events about how data may be used."""
        return self.exclude(kind__startswith=ACCESS)

    def of_layer(self, organization: Organization, product: str) -> Self:
        return self.filter(organization=organization, product=product, member__isnull=True)

    def of_member_layer(self, member: "Member", product: str) -> Self:
        return self.filter(member=member, product=product)

    def as_of(self, at: dt.datetime | None = None) -> "ConsentEvent | None":
        """The last event at or before `at` (None: the last of all), or None if there is none; one index look-up."""
        events = self if at is None else self.filter(recorded_at__lte=at)
        return events.order_by("-recorded_at").first()

    def since(self, at: dt.datetime) -> Self:
        """The events from this instant on, of a ledger of any length."""
        return self.filter(recorded_at__gte=at, pk__gte=self._key_at(at - _APART))

    def before(self, at: dt.datetime) -> Self:
        """The events before this instant."""
        return self.filter(recorded_at__lt=at, pk__lt=self._key_at(at + _APART))

    def _key_at(self, at: dt.datetime) -> int:
        """The first key of an event that is not older: a search by halves, because instants have no index of their own.

        Keys and instants rise together, but for transactions that ran at the same time: hence `_APART`.
        """
        every = self.model._default_manager.order_by("pk").values_list("pk", "recorded_at")
        last = every.last()
        low, high = 0, last[0] + 1 if last else 0
        while low < high:
            middle = (low + high) // 2
            pk, recorded_at = every.filter(pk__gte=middle)[0]
            low, high = (pk + 1, high) if recorded_at < at else (low, middle)
        return low

    def placed(self) -> Self:
        """The events that have a position, in that order."""
        return self.filter(placed__isnull=False).select_related("placed").order_by("placed__position")

    # The triggers refuse these too; this gives an error that says why.
    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("the ledger is append-only")

    update = delete = bulk_update = update_or_create = get_or_create = _refuse
