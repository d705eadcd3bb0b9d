"""Plans and subscriptions."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ..catalogue import MAY_DEFAULT_IN, Product, TrainingDefault
from ..fields import InstantField, one_of
from .organizations import Organization


class Plan(models.Model):
    """What an organization subscribes to for a product. Its training default applies until the first choice (R2).

    The key never changes and no plan is deleted: events name plans by it. A job changes the default.
    """

    key = models.CharField(_("key"), max_length=40, primary_key=True)
    product = models.CharField(_("product"), max_length=20, choices=Product.choices)
    name = models.CharField(_("name"), max_length=80)
    training_default = models.CharField(_("training by default"), max_length=10, choices=TrainingDefault.choices)
    description = models.CharField(_("description"), max_length=300, blank=True, default="", db_default="")
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        ordering = ["position", "key"]
        constraints = [
            one_of("product", Product, "plan_product_known"),
            one_of("training_default", TrainingDefault, "plan_default_known"),
            models.CheckConstraint(
                condition=Q(training_default=TrainingDefault.OPTED_OUT) | Q(key__in=MAY_DEFAULT_IN),
                name="plan_opted_in_only_where_allowed",
                violation_error_message=_("This plan is opted out by default, always."),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """An organization's plan for a product, from start to end. At most one is live, which has no end."""

    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="subscriptions", verbose_name=_("organization")
    )
    product = models.CharField(_("product"), max_length=20, choices=Product.choices)
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="subscriptions", verbose_name=_("plan"))
    started_at = InstantField(_("started"), editable=False)
    ended_at = InstantField(_("ended"), null=True, editable=False)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        ordering = ["-id"]
        constraints = [
            one_of("product", Product, "subscription_product_known"),
            models.UniqueConstraint(
                fields=["organization", "product"],
                condition=Q(ended_at__isnull=True),
                name="subscription_one_live_per_product",
            ),
        ]
        indexes = [
            models.Index(fields=["started_at"], name="subscription_started"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="subscription_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.organization} · {self.plan}"
