"""Webhooks: the endpoints that events are sent to, the position of each, and the attempts to deliver."""

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
    # Ends only when somebody else takes the webhook over; it can't be resumed.
    SUSPENDED = "suspended", _("The person responsible for it may no longer have it")


class WebhookQuerySet(models.QuerySet["WebhookEndpoint"]):
    def visible_to(self, actor: Actor) -> Self:
        """The webhooks of organizations whose webhooks the actor manages; operators see all, and the provider's."""
        within = organizations_with(actor, Permission.WEBHOOKS_MANAGE)
        return self if within is None else self.filter(organization__in=within)


class WebhookEndpoint(models.Model):
    """Gets every event after its position, in order; with an organization, only events of that organization."""

    Status = EndpointStatus

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        Organization, models.PROTECT, null=True, blank=True, related_name="webhooks", verbose_name=_("organization")
    )
    url = models.CharField(_("address"), max_length=500)
    description = models.CharField(_("description"), max_length=200, blank=True, default="")
    # Kinds of events to send; empty: all about how data may be used. The access trail has to be named.
    kinds = models.JSONField(_("kinds of events"), default=list, blank=True)
    status = models.CharField(_("status"), max_length=10, choices=EndpointStatus.choices, default=EndpointStatus.ACTIVE)
    paused_because = models.CharField(
        _("paused because"), max_length=10, choices=PausedBecause.choices, blank=True, default=""
    )
    # Why it was paused before it was suspended: after it is taken over, it stays paused for that reason.
    paused_before = models.CharField(max_length=10, choices=PausedBecause.choices, blank=True, default="")
    # The position of the last event that was delivered, or skipped because it was not for this endpoint.
    position = models.BigIntegerField(_("position"), default=0)
    # The signing secret is derived from this key and `generation`: see `webhooks.secrets`.
    key_id = models.CharField(max_length=8, blank=True, default="")
    generation = models.PositiveIntegerField(default=1)
    # Earlier secrets that still sign, the latest first: [key, generation, end in microseconds].
    previous = models.JSONField(default=list, blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    next_attempt_at = InstantField(_("next attempt"), null=True)
    created_at = InstantField(_("created"))
    # Who is responsible for it (R18): who created it, or later chose its address, got its secret or took it over.
    created_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("created by")
    )
    # Lease and fence: until when no other worker may deliver to it, and a number that grows with each worker.
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
    """An attempt to deliver, with the status of the response, or with an error if there was no response.

    While `waiting_for` is set it is a request that a worker has still to make: a test, or a message sent once more.
    """

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="attempts", db_index=False)
    # The event's; None for a test.
    position = models.BigIntegerField(_("position"), null=True)
    at = InstantField(_("when"))
    delivered = models.BooleanField(_("delivered"))
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    error = models.CharField(_("error"), max_length=200, blank=True, default="")
    latency_ms = models.PositiveIntegerField(_("milliseconds"))
    answer = models.CharField(_("start of the answer"), max_length=200, blank=True, default="")
    # Set while the attempt waits for a worker: whose it is. Unique, so that each organization, or the provider, has
    # at most one waiting.
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
