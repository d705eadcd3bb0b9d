"""Organizations and their members."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from ..fields import InstantField, new_id, one_of
from .querysets import MemberQuerySet, OrganizationQuerySet
from .users import User


class OrganizationStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    CLOSED = "closed", _("Closed")


class OrganizationKind(models.TextChoices):
    PERSONAL = "personal", _("Personal")
    TEAM = "team", _("Team")


class Organization(models.Model):
    """An account with the provider: personal (one person, its owner) or team."""

    Kind = OrganizationKind

    Status = OrganizationStatus

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    external_id = models.CharField(
        _("external id"), max_length=200, null=True, blank=True, help_text=_("The provider's own account id; unique.")
    )
    name = models.CharField(_("name"), max_length=200)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.TEAM)
    country = models.CharField(_("country"), max_length=2, blank=True, help_text=_("Two letters, ISO 3166-1."))
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE)
    # Whether a second person ever was a member. Never reset: the owner must not see what that person chose (R4, R17).
    had_others = models.BooleanField(_("others were members"), default=False, db_default=False, editable=False)
    created_at = InstantField(_("created"), editable=False)
    changed_at = InstantField(_("last change"), editable=False)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["external_id"], name="organization_external_id_unique"),
            models.CheckConstraint(condition=~Q(external_id=""), name="organization_external_id_not_empty"),
            models.CheckConstraint(condition=~Q(name=""), name="organization_name_not_empty"),
            one_of("kind", OrganizationKind, "organization_kind_known"),
            one_of("status", OrganizationStatus, "organization_status_known"),
            models.CheckConstraint(
                condition=~Q(kind=OrganizationKind.PERSONAL) | Q(had_others=False),
                name="organization_personal_has_one_person",
                violation_error_message=_("Others were members: this organization stays a team."),
            ),
        ]
        indexes = [
            models.Index(Lower("name"), "id", name="organization_name_start"),
            models.Index(fields=["changed_at"], name="organization_changed"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_closed(self) -> bool:
        return self.status == self.Status.CLOSED


class MemberStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    LEFT = "left", _("Left")


class MemberRole(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    MEMBER = "member", _("Member")
    AUDITOR = "auditor", _("Auditor")


class Member(models.Model):
    """A user's membership of one organization: one row per pair for ever, reused when they join again (R14)."""

    Role = MemberRole

    Status = MemberStatus

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="members", verbose_name=_("organization")
    )
    user = models.ForeignKey(User, models.PROTECT, related_name="memberships", verbose_name=_("user"))
    external_id = models.CharField(
        _("external id"),
        max_length=200,
        null=True,
        blank=True,
        help_text=_("The provider's own id; unique in the organization."),
    )
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.MEMBER)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE)
    joined_at = InstantField(_("joined"), editable=False, help_text=_("The last time they joined."))
    left_at = InstantField(_("left"), null=True, editable=False)
    changed_at = InstantField(_("last change"), editable=False)

    objects = MemberQuerySet.as_manager()

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="member_once_per_organization"),
            models.UniqueConstraint(fields=["organization", "external_id"], name="member_external_id_unique"),
            models.CheckConstraint(condition=~Q(external_id=""), name="member_external_id_not_empty"),
            models.CheckConstraint(
                condition=Q(status="active", left_at__isnull=True) | Q(status="left", left_at__isnull=False),
                name="member_left_has_instant",
            ),
            one_of("role", MemberRole, "member_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.organization}"

    @property
    def has_left(self) -> bool:
        return self.status == self.Status.LEFT
