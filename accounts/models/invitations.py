"""Invitations to organizations."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..fields import AddressField, new_id, one_of
from .api_keys import ApiKey
from .organizations import MemberRole, Organization
from .querysets import InvitationQuerySet
from .users import User


class Invitation(models.Model):
    """A link by which a person joins an organization. The link's secret is mailed once; only its hash is stored."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="invitations", verbose_name=_("organization")
    )
    email = AddressField(_("e-mail"))
    role = models.CharField(_("role"), max_length=10, choices=MemberRole.choices, default=MemberRole.MEMBER)
    hash = models.CharField(max_length=64, unique=True, editable=False)
    # When the invitation is accepted, the right to invite is checked again: of this person, or of a key without one.
    invited_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("invited by"))
    invited_by_key = models.ForeignKey(ApiKey, models.PROTECT, null=True, related_name="+", editable=False)
    created_at = models.DateTimeField(_("sent"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"))

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "email"], name="invitation_one_per_person"),
            one_of("role", MemberRole, "invitation_role_known"),
            models.CheckConstraint(
                condition=Q(invited_by__isnull=False) | Q(invited_by_key__isnull=False),
                name="invitation_has_somebody_responsible",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} · {self.organization}"
