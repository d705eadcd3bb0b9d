"""The current state of each layer (organization × product, or member × product), and locks."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import MAY_DEFAULT_IN, Product, TrainingDefault
from accounts.fields import InstantField, one_of
from accounts.models import Member, Organization

from .layer_state import Choice, LayerState
from .querysets import PrivacySettingQuerySet


class PrivacySetting(LayerState):
    """The current state of one layer: an organization's for a product, or a member's. Follows from the ledger."""

    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="privacy_settings", verbose_name=_("organization")
    )
    member = models.ForeignKey(
        Member, models.PROTECT, null=True, blank=True, related_name="privacy_settings", verbose_name=_("member")
    )
    product = models.CharField(_("product"), max_length=20, choices=Product.choices)
    version = models.PositiveIntegerField(_("version"), default=0)
    changed_at = InstantField(_("last change"), null=True)
    last_event = models.ForeignKey(
        "ConsentEvent", models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    # The events that the current choice, carry and lock come from: they say who, when and why, without a search.
    choice_event = models.ForeignKey(
        "ConsentEvent", models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    carry_event = models.ForeignKey(
        "ConsentEvent", models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    lock_event = models.ForeignKey(
        "ConsentEvent", models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )

    objects = PrivacySettingQuerySet.as_manager()

    class Meta:
        verbose_name = _("privacy setting")
        verbose_name_plural = _("privacy settings")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "product"],
                condition=Q(member__isnull=True),
                name="setting_one_per_organization",
            ),
            models.UniqueConstraint(
                fields=["member", "product"], condition=Q(member__isnull=False), name="setting_one_per_member"
            ),
            one_of("product", Product, "setting_product_known"),
            one_of("choice", Choice, "setting_choice_known"),
            # Only a few plans may be opted in by default, whatever code writes the row (R2).
            models.CheckConstraint(
                condition=~Q(applied_default=TrainingDefault.OPTED_IN) | Q(plan__in=MAY_DEFAULT_IN),
                name="setting_opted_in_default_only_where_allowed",
            ),
            # `allowed` can't contradict the other columns, whatever code writes the row (R1).
            models.CheckConstraint(
                condition=Q(allowed=False)
                | Q(member__isnull=False) & ~Q(choice=Choice.OPTED_OUT)
                | Q(subscribed=True, locked=False, closed=False, choice=Choice.OPTED_IN, carry="")
                | Q(
                    subscribed=True,
                    locked=False,
                    closed=False,
                    choice=Choice.DEFAULT,
                    carry="",
                    applied_default=TrainingDefault.OPTED_IN,
                ),
                name="setting_allowed_only_by_its_parts",
            ),
        ]
        indexes = [
            models.Index(
                fields=["organization", "product"],
                condition=Q(member__isnull=False, choice=Choice.OPTED_OUT),
                name="setting_members_opted_out",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member or self.organization} · {self.get_product_display()}"


class Lock(models.Model):
    """An operator's "never" on organization × product, by contract or law. A live lock has no `lifted_at`."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="locks", verbose_name=_("organization"))
    product = models.CharField(_("product"), max_length=20, choices=Product.choices)
    reason = models.CharField(_("reason"), max_length=500, help_text=_("Shown to the organization."))
    reference = models.CharField(_("reference"), max_length=200, help_text=_("Contract, law or ticket."))
    placed_at = InstantField(_("placed"), editable=False)
    lifted_at = InstantField(_("lifted"), null=True, editable=False)

    class Meta:
        verbose_name = _("lock")
        verbose_name_plural = _("locks")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "product"],
                condition=Q(lifted_at__isnull=True),
                name="lock_one_live_per_product",
            ),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(reference=""), name="lock_says_why"),
            one_of("product", Product, "lock_product_known"),
        ]

    def __str__(self) -> str:
        return f"{self.organization} · {self.get_product_display()}"
