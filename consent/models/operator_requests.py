"""Requests that a second operator has to confirm (R19): new operators, new ways to sign in, shorter cooling-off."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import Product
from accounts.fields import InstantField, new_id, one_of
from accounts.models import User


class RequestKind(models.TextChoices):
    OPERATOR = "operator", _("Make an operator")
    LINK = "link", _("Mail an operator a link to set a password")
    SECOND_FACTORS = "second_factors", _("Remove an operator's second factors")
    ADDRESS = "address", _("Give a person another address")
    COOLING_OFF = "cooling_off", _("Shorten a cooling-off period")


class RequestStatus(models.TextChoices):
    WAITING = "waiting", _("Waits for another operator")
    CONFIRMED = "confirmed", _("Confirmed")
    REFUSED = "refused", _("Refused")
    WITHDRAWN = "withdrawn", _("Withdrawn")


class OperatorRequest(models.Model):
    """Asked by one operator, confirmed by another who is not its subject. Takes effect once, and expires."""

    Kind = RequestKind
    Status = RequestStatus

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("what"), max_length=20, choices=RequestKind.choices)
    status = models.CharField(_("status"), max_length=10, choices=RequestStatus.choices, default=RequestStatus.WAITING)
    # Whom it is about; None if the new operator has no account yet, and if it is about nobody.
    subject = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("about"))
    # A new person's address and name, or the new address; of a cooling-off the product, and its days before and after.
    details = models.JSONField(_("details"), default=dict)
    reason = models.CharField(_("reason"), max_length=500)
    asked_by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("asked by"))
    asked_at = InstantField(_("asked"))
    expires_at = InstantField(_("ends"))
    confirmed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("confirmed by"))
    # Who refused, withdrew or confirmed it (then the same as `confirmed_by`).
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("decided by"))
    decided_at = InstantField(_("decided"), null=True)

    class Meta:
        verbose_name = _("request")
        verbose_name_plural = _("requests")
        ordering = ["-id"]
        constraints = [
            one_of("kind", RequestKind, "operator_request_kind_known"),
            one_of("status", RequestStatus, "operator_request_status_known"),
            models.CheckConstraint(
                condition=~Q(confirmed_by=F("asked_by")), name="operator_request_confirmer_is_not_asker"
            ),
            models.CheckConstraint(
                condition=~Q(confirmed_by=F("subject")), name="operator_request_confirmer_is_not_subject"
            ),
            models.CheckConstraint(
                condition=Q(status=RequestStatus.CONFIRMED, confirmed_by__isnull=False)
                | (~Q(status=RequestStatus.CONFIRMED) & Q(confirmed_by__isnull=True)),
                name="operator_request_confirmed_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(status=RequestStatus.WAITING, decided_at__isnull=True)
                | (~Q(status=RequestStatus.WAITING) & Q(decided_at__isnull=False, decided_by__isnull=False)),
                name="operator_request_decided_by_somebody",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="operator_request_says_why"),
        ]
        indexes = [models.Index(fields=["status", "id"], name="operator_request_waiting")]

    @property
    def about(self) -> str:
        """The person whom it is about, by address, or the product; with what it changes from and to."""
        details = self.details
        if self.kind == RequestKind.COOLING_OFF:
            words = {
                "product": Product(details["product"]).label,
                "before": details["before"],
                "after": details["after"],
            }
            return gettext("%(product)s: from %(before)s to %(after)s days") % words
        person = self.subject.email if self.subject else details.get("email", "")
        return f"{person} → {details.get('email', '')}" if self.kind == RequestKind.ADDRESS else str(person)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"
