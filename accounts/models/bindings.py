"""Bindings: which subject an external id meant, and when. Rows are never removed (R16)."""

import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from ..external_ids import LENGTH, erased_hash
from ..fields import InstantField

if TYPE_CHECKING:
    from .organizations import Member, Organization


class BindingQuerySet(models.QuerySet["Binding"]):
    def live(self) -> Self:
        return self.filter(withdrawn_at=None)

    def of_organizations(self) -> Self:
        """Bindings of organizations; their ids are unique in the installation."""
        return self.filter(member=None)

    def of_members(self) -> Self:
        """Bindings of members; their ids are unique within the organization."""
        return self.filter(member__isnull=False)

    def of_subject(self, organization: "Organization", member: "Member | None" = None) -> Self:
        """All bindings, past ones included, of this organization, or of this member of it."""
        return self.filter(member=member) if member else self.filter(organization=organization, member=None)

    def ever(self, value: str, within: uuid.UUID | None = None) -> Self:
        """All bindings of this id, withdrawn and erased ones included. `within`: a member id's organization."""
        scope = self.filter(member=None) if within is None else self.filter(member__isnull=False, organization=within)
        return scope.filter(Q(value=value) | Q(hash=erased_hash(value, within)))

    def organizations_named(self, values: Collection[str]) -> dict[str, uuid.UUID]:
        """The organizations that these ids mean now: external id → primary key."""
        return dict(self.live().of_organizations().filter(value__in=values).values_list("value", "organization_id"))

    def members_named(
        self, organizations: Collection[uuid.UUID], values: Collection[str]
    ) -> dict[tuple[uuid.UUID, str], uuid.UUID]:
        """The members that these ids mean now: (organization's primary key, external id) → member's primary key."""
        rows = self.live().of_members().filter(organization__in=organizations, value__in=values)
        found = rows.values_list("organization_id", "value", "member_id")
        return {(organization, value): member for organization, value, member in found}


class Binding(models.Model):
    """What an external id means from `recorded_at` until `withdrawn_at`: an organization, or a member of one.

    A decision asked by this id denies data collected before `since`. The event of the binding is the one with the same
    subject and the instant `recorded_at`.
    """

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        "Organization", models.PROTECT, db_index=False, related_name="bindings", verbose_name=_("organization")
    )
    member = models.ForeignKey(
        "Member", models.PROTECT, null=True, db_index=False, related_name="bindings", verbose_name=_("member")
    )
    # '' once erased; then `hash` is set, and still refuses the id to other subjects.
    value = models.CharField(_("external id"), max_length=LENGTH, blank=True)
    hash = models.CharField(max_length=64, blank=True, default="")
    # The id's first meaning has number 1. Only a rebinding gives the id to another subject, with a higher number.
    number = models.PositiveIntegerField(_("meaning"), default=1)
    recorded_at = InstantField(_("given"))
    since = InstantField(_("since"))
    withdrawn_at = InstantField(_("withdrawn"), null=True)
    # Two subjects had this id before ids were normalized: an opt-out of either applies to whoever gets the id.
    contested = models.BooleanField(_("contested"), default=False)
    # The spelling from before ids were normalized, where it differed.
    spelled = models.CharField(max_length=LENGTH, blank=True, default="")

    # For organizations: `external_ids.folded`, by which similar ids are found; '' where it equals the id.
    folded = models.CharField(max_length=LENGTH, blank=True, default="", db_default="")

    objects = BindingQuerySet.as_manager()

    class Meta:
        verbose_name = _("external id")
        verbose_name_plural = _("external ids")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["value"],
                condition=Q(member__isnull=True, withdrawn_at__isnull=True),
                name="binding_one_meaning",
            ),
            models.UniqueConstraint(
                fields=["value", "organization"],
                condition=Q(member__isnull=False, withdrawn_at__isnull=True),
                name="binding_one_meaning_of_member",
            ),
            # If two processes give the same id at once, the second fails. Look-ups at an instant use the index too.
            models.UniqueConstraint(
                fields=["value", "number"], condition=Q(member__isnull=True, value__gt=""), name="binding_meanings"
            ),
            models.UniqueConstraint(
                fields=["value", "organization", "number"],
                condition=Q(member__isnull=False, value__gt=""),
                name="binding_meanings_of_member",
            ),
            models.CheckConstraint(
                condition=Q(since=F("recorded_at")) | Q(number=1, since__lt=F("recorded_at")),
                name="binding_attested_only_of_the_first",
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gte=F("recorded_at")),
                name="binding_withdrawn_after_given",
            ),
            models.CheckConstraint(
                condition=~Q(value="") | Q(withdrawn_at__isnull=False) & ~Q(hash=""), name="binding_erased_has_hash"
            ),
        ]
        indexes = [
            # Of all of them: SQLite looks for what refers to each new organization, ids being written before it.
            models.Index(fields=["organization", "member"], name="binding_of_organization"),
            models.Index(fields=["member"], condition=Q(member__isnull=False), name="binding_of_member"),
            models.Index(fields=["folded"], condition=Q(folded__gt=""), name="binding_folded"),
            models.Index(fields=["hash"], condition=Q(hash__gt=""), name="binding_erased"),
        ]

    def __str__(self) -> str:
        return self.value or f"erased ({self.pk})"
