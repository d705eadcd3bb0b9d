"""Reads of settings and of the ledger, tenant scope included."""

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
        """The events behind choice, carry and lock too, in the same query."""
        return self.select_related("choice_event", "carry_event", "lock_event")


class ConsentEventQuerySet(models.QuerySet["ConsentEvent"]):
    def visible_to(self, actor: Actor) -> Self:
        """All for who may see the whole ledger; else their organizations' events, without members' own choices (R4)."""
        if Permission.LEDGER_VIEW in permissions(actor, None):
            return self
        return self.filter(
            organization__in=Organization.objects.visible_to(actor).values("pk")
        ).without_member_choices()

    def without_member_choices(self) -> Self:
        """As an organization may see them: a member's own layer is between them and the provider (R4).

        What concerns a member and no product is the membership, which is the organization's too.
        """
        return self.filter(models.Q(member__isnull=True) | models.Q(product=""))

    def without_access(self) -> Self:
        """What tells how data may be used, and not who got or lost the means to say so."""
        return self.exclude(kind__startswith=ACCESS)

    def of_layer(self, organization: Organization, product: str) -> Self:
        return self.filter(organization=organization, product=product, member__isnull=True)

    def of_member_layer(self, member: "Member", product: str) -> Self:
        return self.filter(member=member, product=product)

    def as_of(self, at: dt.datetime | None = None) -> "ConsentEvent | None":
        """The last event at or before `at` (None: the last there is), or None; one look-up in an index."""
        events = self if at is None else self.filter(recorded_at__lte=at)
        return events.order_by("-recorded_at").first()

    def placed(self) -> Self:
        """In position order, those that have one."""
        return self.filter(placed__isnull=False).select_related("placed").order_by("placed__position")

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("the ledger is append-only")

    update = delete = bulk_update = update_or_create = get_or_create = _refuse
