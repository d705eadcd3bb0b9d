"""The ledger: events, and their positions, which are the order that readers follow."""

from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import Product
from accounts.fields import InstantField, one_of
from accounts.models import Member, Organization

from ..surfaces import SURFACES
from .event_kinds import OF_NO_LAYER, ActorType, EventKind, Source
from .layer_state import Choice, LayerState
from .querysets import ConsentEventQuerySet

_OF_NO_LAYER = Q(kind__in=sorted(OF_NO_LAYER))


class ConsentEvent(LayerState):
    """One immutable row of the ledger: ids only, no names or addresses (R14). Only `consent.ledger` writes it."""

    Kind = EventKind
    ActorType = ActorType
    Source = Source

    recorded_at = InstantField(_("when"))
    # No database constraint, so that no cascade reaches the ledger and history outlives its subject. None: an access
    # event that concerns only the provider or one person.
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
    # '': about the organization, or the membership, itself. None: of no layer, so that it has no subject in the sense
    # of R7: NULL never collides in the unique keys below, so it doesn't move the instant of any other event.
    product = models.CharField(_("product"), max_length=20, null=True, blank=True, default="", choices=Product.choices)
    surface = models.CharField(
        _("surface"), max_length=40, blank=True, default="", choices=[(s.key, s.label) for s in SURFACES.values()]
    )
    kind = models.CharField(_("what"), max_length=40, choices=Kind.choices)
    before = models.CharField(_("before"), max_length=200, blank=True, default="")
    after = models.CharField(_("after"), max_length=200, blank=True, default="")
    # The id of what an access event is about; the event's kind says what type of thing that is.
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
    # The words that the person saw as they chose: `surfaces.Shown`. '': none, or an event of before it was stored.
    wording = models.CharField(_("wording"), max_length=40, blank=True, default="")
    language = models.CharField(_("language of the wording"), max_length=16, blank=True, default="", db_default="")
    app_version = models.CharField(_("version of the app"), max_length=40, blank=True, default="", db_default="")
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
                condition=Q(_OF_NO_LAYER, product=None, member=None, surface="", reason_code="", allowed=False)
                | ~_OF_NO_LAYER & Q(product__isnull=False, organization__isnull=False, target=""),
                name="event_of_no_layer",
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
    """An event without a position yet. A trigger adds the row, and `ledger.sequence` deletes it."""

    event = models.OneToOneField(
        ConsentEvent, models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="+"
    )

    def __str__(self) -> str:
        return f"event {self.pk}, pending"


class EventPosition(models.Model):
    """The place of an event in the one gapless order in which feeds, webhooks and proofs read."""

    position = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(ConsentEvent, models.DO_NOTHING, db_constraint=False, related_name="placed")
    organization = models.ForeignKey(
        Organization, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    # In which epoch it was given: each restore that was adopted began one (`Restore`).
    epoch = models.PositiveIntegerField(db_default=1)

    class Meta:
        ordering = ["position"]
        indexes = [models.Index(fields=["organization", "position"], name="position_of_organization")]

    def __str__(self) -> str:
        return f"position {self.pk}"
