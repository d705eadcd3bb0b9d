"""Verifies that consumers agree with the ledger, and their positions with the advances: part of `verification`."""

from collections.abc import Iterator

from django.db.models import Max

from . import ledger
from .models import ConsentEvent, Consumer, ConsumerDataset, EventKind, PositionAdvance


def problems() -> list[str]:
    """A line for each fault; there are few consumers, so each is looked at by itself."""
    return [*_of_consumers(), *_of_positions()]


def _of_consumers() -> Iterator[str]:
    # Of no organization: so the database finds them among the provider's own events.
    told = ConsentEvent.objects.filter(organization=None)
    registered = set(told.filter(kind=EventKind.CONSUMER_REGISTERED).values_list("target", flat=True))
    removed = set(told.filter(kind=EventKind.CONSUMER_REMOVED).values_list("target", flat=True))
    for consumer in Consumer.objects.order_by("pk"):
        if str(consumer.pk) not in registered:
            yield f"consumer {consumer.pk} was registered without an event"
        if (consumer.removed_at is not None) != (str(consumer.pk) in removed):
            yield f"consumer {consumer.pk} was removed without an event, or the other way round"


def _of_positions() -> Iterator[str]:
    head = ledger.head()
    said = PositionAdvance.objects.values("dataset").annotate(last=Max("position")).order_by()
    of_datasets = dict(said.exclude(dataset=None).values_list("dataset", "last"))
    for dataset in ConsumerDataset.objects.order_by("pk"):
        if dataset.position != of_datasets.get(dataset.pk, 0):
            yield f"dataset {dataset.pk} of consumer {dataset.consumer_id} is at another position than it said last"
    delivered = PositionAdvance.objects.filter(dataset=None).values("consumer").annotate(last=Max("position"))
    of_consumers = dict(delivered.values_list("consumer", "last").order_by())
    for consumer in Consumer.objects.order_by("pk"):
        if consumer.delivered != of_consumers.get(consumer.pk, 0):
            yield f"consumer {consumer.pk} was delivered up to another position than was noted last"
    beyond = PositionAdvance.objects.filter(position__gt=head).order_by("pk").values_list("position", flat=True)
    for position in beyond[:10]:
        yield f"a consumer is at position {position}, beyond the head {head}"
