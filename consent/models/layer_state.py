"""The state of a layer as columns, shared by settings (the state now) and events (the state that each one left)."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import TrainingDefault
from accounts.fields import InstantField

from .. import rules


class Choice(models.TextChoices):
    DEFAULT = rules.Choice.DEFAULT.value, _("No choice yet")
    OPTED_IN = rules.Choice.OPTED_IN.value, _("Opted in")
    OPTED_OUT = rules.Choice.OPTED_OUT.value, _("Opted out")


class ReasonCode(models.TextChoices):
    """The reasons that a layer can have, with labels; `rules.Reason` also has those of whole decisions."""

    ORGANIZATION_CLOSED = rules.Reason.ORGANIZATION_CLOSED.value, _("Account closed")
    NO_SUBSCRIPTION = rules.Reason.NO_SUBSCRIPTION.value, _("No subscription")
    LOCKED = rules.Reason.LOCKED.value, _("Locked")
    ORGANIZATION_OPTED_OUT = rules.Reason.ORGANIZATION_OPTED_OUT.value, _("Organization opted out")
    ORGANIZATION_OPTED_IN = rules.Reason.ORGANIZATION_OPTED_IN.value, _("Organization opted in")
    PLAN_DEFAULT = rules.Reason.PLAN_DEFAULT.value, _("Default of the plan")
    CARRIED_OVER = rules.Reason.CARRIED_OVER.value, _("Carried over")
    MEMBER_OPTED_OUT = rules.Reason.MEMBER_OPTED_OUT.value, _("Member opted out")
    MEMBER_OPTED_IN = rules.Reason.MEMBER_OPTED_IN.value, _("Member opted in")
    MEMBER_LEFT = rules.Reason.MEMBER_LEFT.value, _("Member left")
    DEFAULT = rules.Reason.DEFAULT.value, _("No choice of their own")


STATE_FIELDS = tuple(rules.State.__dataclass_fields__)


class LayerState(models.Model):
    """The fields of a `rules.State` as columns."""

    plan = models.CharField(_("plan"), max_length=40, blank=True, default="")
    subscribed = models.BooleanField(_("subscribed"), default=False)
    applied_default = models.CharField(
        _("default applied"), max_length=10, blank=True, default="", choices=TrainingDefault.choices
    )
    choice = models.CharField(_("choice"), max_length=10, choices=Choice.choices, default=Choice.DEFAULT)
    carry = models.CharField(_("carried over from"), max_length=40, blank=True, default="")
    locked = models.BooleanField(_("locked"), default=False)
    closed = models.BooleanField(_("account closed"), default=False)
    allowed = models.BooleanField(_("used for training"), default=False)
    reason_code = models.CharField(
        _("why"), max_length=30, blank=True, choices=ReasonCode.choices, default=ReasonCode.NO_SUBSCRIPTION
    )
    since = InstantField(_("since"), null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def state(self) -> rules.State:
        return rules.State(**{name: getattr(self, name) for name in STATE_FIELDS})

    def put_state(self, state: rules.State) -> None:
        for name in STATE_FIELDS:
            setattr(self, name, getattr(state, name))
