"""What they chose: the current state per organization and product (and per member), the ledger, and locks."""

from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import MAY_DEFAULT_IN, Product, TrainingDefault
from accounts.fields import InstantField, one_of
from accounts.models import Member, Organization

from . import rules
from .api_models import IdempotencyKey  # noqa: F401
from .event_kinds import ACCESS
from .event_kinds import ActorType as ActorType  # noqa: PLC0414  names of this module too
from .event_kinds import EventKind as EventKind  # noqa: PLC0414  names of this module too
from .event_kinds import Source as Source  # noqa: PLC0414  names of this module too
from .follower_models import DailyChanges, DailyStanding, FollowerCursor, Verification  # noqa: F401  so are these
from .import_models import ImportFile, ImportFilePart, ImportProblem, ImportRow  # noqa: F401  so are these
from .job_models import BulkJob, BulkJobRow, RebindRow  # noqa: F401  models of this app, in a room of their own
from .operator_models import OperatorRequest  # noqa: F401
from .querysets import ConsentEventQuerySet, PrivacySettingQuerySet
from .surfaces import SURFACES
from .webhook_models import WebhookAttempt, WebhookEndpoint  # noqa: F401


class Choice(models.TextChoices):
    DEFAULT = rules.Choice.DEFAULT.value, _("No choice yet")
    OPTED_IN = rules.Choice.OPTED_IN.value, _("Opted in")
    OPTED_OUT = rules.Choice.OPTED_OUT.value, _("Opted out")


class ReasonCode(models.TextChoices):
    """The reasons that a layer can have, in words (rules.Reason has all)."""

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
    """The columns of a `rules.State`: what a setting is now, and what each event left it as."""

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


class PrivacySetting(LayerState):
    """The state of one layer, an organization's for a product or a member's own; can be rebuilt from the ledger."""

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
    # The events that today's choice, carry and lock come from: who, when and why, without a search.
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
            models.CheckConstraint(
                condition=~Q(applied_default=TrainingDefault.OPTED_IN) | Q(plan__in=MAY_DEFAULT_IN),
                name="setting_opted_in_default_only_where_allowed",
            ),
            # The layer's answer can't contradict its own parts, whoever writes (R1).
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


class ConsentEvent(LayerState):
    """One immutable row of the ledger. Ids only, no names or addresses (R14); written by the ledger alone."""

    Kind = EventKind
    ActorType = ActorType
    Source = Source

    recorded_at = InstantField(_("when"))
    # No database constraints: no cascade reaches the ledger, and history outlives its subject. None: an access event
    # that is the provider's own affair, or a person's, and no organization's.
    organization = models.ForeignKey(
        Organization,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("organization"),
    )
    member = models.ForeignKey(
        Member,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("member"),
    )
    # '': of the organization, or the membership, itself. None: an access event, which is of no subject of R7, so it
    # collides with nothing in the unique keys below, and pushes nobody's instants.
    product = models.CharField(_("product"), max_length=20, null=True, blank=True, default="", choices=Product.choices)
    surface = models.CharField(
        _("surface"), max_length=40, blank=True, default="", choices=[(s.key, s.label) for s in SURFACES.values()]
    )
    kind = models.CharField(_("what"), max_length=40, choices=Kind.choices)
    before = models.CharField(_("before"), max_length=200, blank=True, default="")
    after = models.CharField(_("after"), max_length=200, blank=True, default="")
    # The id of what an access event is about: its kind says of what sort.
    target = models.CharField(_("about"), max_length=64, blank=True, default="", db_default="")
    actor_type = models.CharField(_("actor type"), max_length=10, choices=ActorType.choices)
    actor_id = models.CharField(_("actor"), max_length=64, blank=True, default="")
    by_operator = models.BooleanField(_("set by the provider"), default=False)
    source = models.CharField(_("where"), max_length=20, choices=Source.choices)
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="")
    reference = models.CharField(_("reference"), max_length=200, blank=True, default="")
    job = models.ForeignKey(
        "BulkJob",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("job"),
    )
    wording = models.CharField(_("wording"), max_length=40, blank=True, default="")
    request_id = models.CharField(_("request id"), max_length=64, blank=True, default="")

    objects = ConsentEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("ledger")
        ordering = ["-id"]
        # One event per subject and instant (R7); the same indexes answer every "as of" question.
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "product", "recorded_at"],
                condition=Q(member__isnull=True),
                name="event_instant_of_organization",
            ),
            models.UniqueConstraint(
                fields=["member", "product", "recorded_at"],
                condition=Q(member__isnull=False),
                name="event_instant_of_member",
            ),
            one_of("kind", EventKind, "event_kind_known"),
            one_of("actor_type", ActorType, "event_actor_type_known"),
            one_of("source", Source, "event_source_known"),
            one_of("choice", Choice, "event_choice_known"),
            models.CheckConstraint(
                condition=Q(
                    kind__startswith=ACCESS, product=None, member=None, surface="", reason_code="", allowed=False
                )
                | ~Q(kind__startswith=ACCESS) & Q(product__isnull=False, organization__isnull=False, target=""),
                name="event_access_of_no_layer",
            ),
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="event_history_of_organization")]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("the ledger is append-only: an event is never changed")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("the ledger is append-only: an event is never deleted")


class PendingEvent(models.Model):
    """An event without a position yet. Rows come from a trigger, and go when the sequencer has placed them."""

    event = models.OneToOneField(
        ConsentEvent, models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="+"
    )

    def __str__(self) -> str:
        return f"event {self.pk}, pending"


class EventPosition(models.Model):
    """The place of an event in the one gapless order that feeds, webhooks and proofs read by."""

    position = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(ConsentEvent, models.DO_NOTHING, db_constraint=False, related_name="placed")
    organization = models.ForeignKey(
        Organization, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta:
        ordering = ["position"]
        indexes = [models.Index(fields=["organization", "position"], name="position_of_organization")]

    def __str__(self) -> str:
        return f"position {self.pk}"


class Lock(models.Model):
    """An operator's "never" on organization × product: contract or law. The live one has no lifting."""

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
