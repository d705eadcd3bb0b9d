"""Consumers: the provider's systems that use data, and what each says about how far it has applied the ledger."""

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import NotFound
from accounts.fields import parse_id

from ..models import Consumer, ConsumerDataset
from ..services import consumers
from .base import ApiView
from .fields import Input, Instant, Output, Text
from .paging import CursorPagination
from .serializers import length_of


class DatasetOutput(Output):
    about = "One of a consumer's datasets, and how far the consumer says that it has applied the ledger there."

    name = serializers.CharField(help_text="Its name; empty: the consumer's only one.")
    starts_after = serializers.IntegerField(help_text="Events up to this position don't count for it.")
    position = serializers.IntegerField(help_text="Applied up to here, as the consumer says; 0: it has said nothing.")
    said_at = Instant(allow_null=True, help_text="When it said so; null: never.")


class ConsumerOutput(Output):
    about = "A system of the provider that uses data."

    id = serializers.UUIDField(help_text="Its id.")
    name = serializers.CharField(help_text="Its name.")
    purpose = serializers.CharField(help_text="What it uses data for.")
    contact = serializers.CharField(help_text="Whom to ask about it.")
    expected_lag_minutes = serializers.IntegerField(
        help_text="How long it usually takes to apply an event, in minutes."
    )
    api_key = serializers.UUIDField(source="key_id", help_text="The id of its API key.")
    webhook = serializers.UUIDField(
        source="webhook_id", allow_null=True, help_text="The webhook that sends it events; null: it reads them itself."
    )
    delivered = serializers.IntegerField(help_text="The last position that its webhook delivered.")
    datasets = serializers.SerializerMethodField(help_text="Its datasets.")
    registered_at = Instant(help_text="When it was registered.")
    removed_at = Instant(allow_null=True, help_text="When it was removed; null: it is there.")

    def get_datasets(self, consumer: Consumer) -> list[dict[str, Any]]:
        live = [dataset for dataset in consumer.datasets.all() if dataset.removed_at is None]
        return list(DatasetOutput(live, many=True).data)


class PositionInput(Input):
    about = "How far the consumer has applied the ledger."

    position = serializers.IntegerField(
        min_value=0, max_value=2**63 - 1, help_text="Every event up to this position has been applied."
    )
    dataset = Text(
        required=False,
        longest=length_of(ConsumerDataset, "name"),
        help_text="In which of its datasets; left out: in all of them.",
    )


class ConsumerView(ApiView):
    def consumers(self) -> QuerySet[Consumer]:
        return Consumer.objects.visible_to(self.actor).prefetch_related("datasets")

    def consumer(self, ident: str) -> Consumer:
        """The consumer with this id. Raises Forbidden, NotFound."""
        # Asked for a malformed id too: Forbidden comes before NotFound.
        rows, pk = self.consumers(), parse_id(ident)
        found = rows.filter(pk=pk).first() if pk else None
        if found is None:
            raise NotFound("consumer")
        return found


class Consumers(ConsumerView):
    paginator = CursorPagination()

    def get(self, request: Request) -> Response:
        found, following = self.paginator.page(request, self.consumers())
        return Response({"results": ConsumerOutput(found, many=True).data, "next": following})


class ConsumerDetail(ConsumerView):
    def get(self, request: Request, consumer: str) -> Response:
        return Response(ConsumerOutput(self.consumer(consumer)).data)


class ConsumerPosition(ConsumerView):
    def put(self, request: Request, consumer: str) -> Response:
        """The same position again answers as before, and changes nothing."""
        found, values = self.consumer(consumer), self.body(PositionInput)
        consumers.report(consumer=found, actor=self.actor, **values)
        return Response(ConsumerOutput(self.consumer(consumer)).data)
