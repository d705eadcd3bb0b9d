"""Webhooks: where events are sent to, how far each endpoint has got, and what came of every attempt."""

from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, Permission, organizations_with
from accounts.fields import InstantField, new_id, one_of
from accounts.models import Organization, User


class EndpointStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    PAUSED = "paused", _("Paused")


class PausedBecause(models.TextChoices):
    SOMEBODY = "somebody", _("Somebody paused it")
    FAILING = "failing", _("It kept failing")
    GONE = "gone", _("It answered that it is gone (410)")
    # Only taking it over ends this, never "go on".
    SUSPENDED = "suspended", _("The person responsible for it may no longer have it")


class WebhookQuerySet(models.QuerySet["WebhookEndpoint"]):
    def visible_to(self, actor: Actor) -> Self:
        """Those of the organizations whose webhooks the actor manages; operators see all, and their own."""
        within = organizations_with(actor, Permission.WEBHOOKS_MANAGE)
        return self if within is None else self.filter(organization__in=within)


class WebhookEndpoint(models.Model):
    """Gets every event after its position, in their order; an organization's gets that organization's."""

    Status = EndpointStatus

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        Organization, models.PROTECT, null=True, blank=True, related_name="webhooks", verbose_name=_("organization")
    )
    url = models.CharField(_("address"), max_length=500)
    description = models.CharField(_("description"), max_length=200, blank=True, default="")
    # Kinds of events; none: all that tell how data may be used. The access trail goes only to who asks for it.
    kinds = models.JSONField(_("kinds of events"), default=list, blank=True)
    status = models.CharField(_("status"), max_length=10, choices=EndpointStatus.choices, default=EndpointStatus.ACTIVE)
    paused_because = models.CharField(
        _("paused because"), max_length=10, choices=PausedBecause.choices, blank=True, default=""
    )
    # Why it was paused already when it was suspended: taken over, it stays so.
    paused_before = models.CharField(max_length=10, choices=PausedBecause.choices, blank=True, default="")
    # The last event that it has got, or that was not for it.
    position = models.BigIntegerField(_("position"), default=0)
    # Its signing secret is derived from this key and number: see `webhooks.secrets`.
    key_id = models.CharField(max_length=8, blank=True, default="")
    generation = models.PositiveIntegerField(default=1)
    # Earlier secrets that sign too, the latest first: [key, generation, microseconds until when].
    previous = models.JSONField(default=list, blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    next_attempt_at = InstantField(_("next attempt"), null=True)
    created_at = InstantField(_("created"))
    # Who answers for it (R18): whoever made it, or since then chose its address, got its secret or took it over.
    created_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("created by")
    )
    # Who delivers to it: until when nobody else may, and a number that grows with each of them.
    leased_until = InstantField(null=True)
    fence = models.PositiveIntegerField(default=0)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["-id"]
        constraints = [
            one_of("status", EndpointStatus, "webhook_status_known"),
            models.CheckConstraint(
                condition=models.Q(status=EndpointStatus.ACTIVE, paused_because="")
                | models.Q(status=EndpointStatus.PAUSED) & ~models.Q(paused_because=""),
                name="webhook_paused_says_why",
            ),
        ]
        indexes = [models.Index(fields=["status", "position"], name="webhook_behind")]

    def __str__(self) -> str:
        return self.url


class WebhookAttempt(models.Model):
    """One delivery that was tried: an answer with its status, or an error without one; or one that somebody asked for
    and that still waits: a test, or a message sent once more.
    """

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="attempts", db_index=False)
    # Of the event; None for a test.
    position = models.BigIntegerField(_("position"), null=True)
    at = InstantField(_("when"))
    delivered = models.BooleanField(_("delivered"))
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    error = models.CharField(_("error"), max_length=200, blank=True, default="")
    latency_ms = models.PositiveIntegerField(_("milliseconds"))
    answer = models.CharField(_("start of the answer"), max_length=200, blank=True, default="")
    # One that a worker has still to make: whose it is, so that an organization, or the provider, has one at a time.
    waiting_for = models.UUIDField(null=True, unique=True, editable=False)
    leased_until = InstantField(null=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["endpoint", "id"], name="attempt_of_endpoint"),
            models.Index(fields=["at"], name="attempt_age"),
        ]

    def __str__(self) -> str:
        return f"{self.position} → {self.status or self.error}"

    @property
    def waiting(self) -> bool:
        return self.waiting_for is not None
