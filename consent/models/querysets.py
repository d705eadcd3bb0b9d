"""Queries of settings and of the ledger, including what an actor may see."""

import datetime as dt
from typing import TYPE_CHECKING, Any, NoReturn, Self

from django.db import models

from accounts.access import Actor, Permission, permissions
from accounts.models import Organization

from .event_kinds import ACCESS

if TYPE_CHECKING:
    from accounts.models import Member

    from .ledger import ConsentEvent
    from .settings import PrivacySetting  # noqa: F401


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

    def placed(self) -> Self:
        """The events that have a position, in that order."""
        return self.filter(placed__isnull=False).select_related("placed").order_by("placed__position")

    # The triggers refuse these too; this gives an error that says why.
    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("the ledger is append-only")

    update = delete = bulk_update = update_or_create = get_or_create = _refuse
