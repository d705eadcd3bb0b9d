"""Consumers: the provider's systems that use data, how far each has applied the ledger, and the honour clock.

*Delivered* is what reached a consumer's webhook; *honoured* is what the consumer itself says that it has applied.
"""

from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, Forbidden, Permission, permissions
from accounts.fields import InstantField, new_id
from accounts.models import ApiKey, User

from .webhooks import WebhookEndpoint


class ConsumerQuerySet(models.QuerySet["Consumer"]):
    def visible_to(self, actor: Actor) -> Self:
        """All for the provider; for a consumer's own key that consumer. Raises Forbidden for everybody else."""
        held = permissions(actor, None)
        if Permission.CONSUMERS_VIEW in held:
            return self
        if Permission.CONSUMER_REPORT in held and actor.key is not None:
            return self.filter(key=actor.key)
        raise Forbidden(Permission.CONSUMERS_VIEW)

    def live(self) -> Self:
        return self.filter(removed_at=None)


class Consumer(models.Model):
    """A system of the provider that uses data. Events up to `starts_after` are from before it was registered."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=80)
    purpose = models.CharField(_("purpose"), max_length=500)
    contact = models.CharField(_("contact"), max_length=200)
    expected_lag_minutes = models.PositiveIntegerField(_("expected lag in minutes"))
    key = models.OneToOneField(
        ApiKey, models.PROTECT, related_name="consumer", editable=False, verbose_name=_("API key")
    )
    # None: events are not sent to it; it reads them itself.
    webhook = models.ForeignKey(
        WebhookEndpoint, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("webhook")
    )
    starts_after = models.BigIntegerField(editable=False)
    # The last position that its webhook delivered while it was this consumer's.
    delivered = models.BigIntegerField(_("delivered up to"), default=0, editable=False)
    registered_at = InstantField(_("registered"))
    registered_by = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="+", editable=False, verbose_name=_("registered by")
    )
    removed_at = InstantField(_("removed"), null=True)
    # Since when it is overdue, if operators have been told so: they are told once of each lapse.
    overdue_since = InstantField(_("overdue since"), null=True)

    objects = ConsumerQuerySet.as_manager()

    class Meta:
        verbose_name = _("consumer")
        verbose_name_plural = _("consumers")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="consumer_name_not_empty"),
            models.UniqueConstraint(fields=["name"], condition=Q(removed_at=None), name="consumer_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class ConsumerDataset(models.Model):
    """One of the datasets that a consumer keeps, and the position up to which the consumer says it has applied.

    A consumer without named datasets has one whose name is ''. Events up to `starts_after` don't count for it.
    """

    id = models.BigAutoField(primary_key=True)
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="datasets")
    name = models.CharField(_("dataset"), max_length=80, blank=True, default="")
    starts_after = models.BigIntegerField()
    position = models.BigIntegerField(_("position"), default=0)
    # When the consumer last said a position; None: never yet.
    said_at = InstantField(_("said"), null=True)
    removed_at = InstantField(_("removed"), null=True)

    class Meta:
        verbose_name = _("dataset")
        verbose_name_plural = _("datasets")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["consumer", "name"], condition=Q(removed_at=None), name="consumer_dataset_once"
            )
        ]

    def __str__(self) -> str:
        return self.name or str(self.consumer)

    @property
    def level(self) -> int:
        """The position from which on events wait for this dataset."""
        return max(self.position, self.starts_after)


class PositionAdvance(models.Model):
    """A consumer came to a position: said of a dataset, or delivered by its webhook (`dataset` None).

    Rows are never changed; the oldest are thinned out to one a day (`retention`).
    """

    id = models.BigAutoField(primary_key=True)
    consumer = models.ForeignKey(Consumer, models.PROTECT, db_index=False, related_name="+")
    dataset = models.ForeignKey(ConsumerDataset, models.PROTECT, null=True, db_index=False, related_name="+")
    position = models.BigIntegerField(_("position"))
    at = InstantField(_("when"))

    class Meta:
        verbose_name = _("advance of a position")
        verbose_name_plural = _("advances of positions")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "position"], condition=Q(dataset__isnull=False), name="advance_of_dataset"
            ),
            models.UniqueConstraint(
                fields=["consumer", "position"], condition=Q(dataset=None), name="advance_of_delivery"
            ),
        ]
        indexes = [models.Index(fields=["at"], name="advance_age")]

    def __str__(self) -> str:
        return f"{self.consumer_id} at {self.position}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("an advance of a position is never changed")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)


class AwaitedEvent(models.Model):
    """An event that tightened and that some consumer has not said to have applied: the honour clock runs for it."""

    position = models.BigIntegerField(primary_key=True)
    at = InstantField()

    def __str__(self) -> str:
        return f"position {self.pk}, awaited"


class DailyHonour(models.Model):
    """How many events of a day that tightened were applied by all consumers within so many seconds (at most).

    `within` is one of the values of `honour_clock.rounded`, so that there are few rows a day.
    """

    day = models.DateField()
    within = models.BigIntegerField()
    events = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "within"], name="daily_honour_once")]

    def __str__(self) -> str:
        return f"{self.day}: {self.events} within {self.within} s"
