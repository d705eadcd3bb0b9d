"""Webhooks: where events are sent to, what came of it, and sending them once more."""

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Forbidden, NotFound, Permission, get_organization, organizations_with
from accounts.fields import parse_id
from accounts.models import Organization
from config.paging import CursorPagination

from ..models import EventKind, Source
from ..services import webhooks
from ..webhook_models import EndpointStatus, WebhookEndpoint
from ..webhooks import positions
from ..webhooks.secrets import secret_of
from .base import ApiView
from .bulk_serializers import NothingInput
from .fields import Input, Instant, ListOf, OneOf, Text


class EndpointOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    organization = serializers.SerializerMethodField()
    url = serializers.CharField()
    description = serializers.CharField()
    kinds = serializers.ListField(child=serializers.CharField())
    status = serializers.CharField()
    paused_because = serializers.SerializerMethodField()
    position = serializers.SerializerMethodField()
    failures = serializers.IntegerField()
    next_attempt_at = Instant(allow_null=True)
    created_at = Instant()

    def get_organization(self, endpoint: WebhookEndpoint) -> str | None:
        return str(endpoint.organization_id) if endpoint.organization_id else None

    def get_position(self, endpoint: WebhookEndpoint) -> int:
        return int(self.context["positions"][endpoint.pk])

    def get_paused_because(self, endpoint: WebhookEndpoint) -> str | None:
        return endpoint.paused_because or None


class EndpointWithSecret(EndpointOutput):
    secret = serializers.CharField()


class AttemptOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    position = serializers.IntegerField(allow_null=True)
    at = Instant()
    delivered = serializers.BooleanField()
    status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    latency_ms = serializers.IntegerField()
    answer = serializers.CharField()
    waiting = serializers.BooleanField(help_text=_("A test that is still to be sent."))


class EndpointInput(Input):
    url = Text()
    organization = Text(required=False, allow_null=True)
    description = Text(required=False, allow_blank=True)
    kinds = ListOf(child=OneOf(choices=EventKind.values), required=False, max_length=100)


class EndpointChange(Input):
    url = Text(required=False)
    description = Text(required=False, allow_blank=True)
    kinds = ListOf(child=OneOf(choices=EventKind.values), required=False, max_length=100)
    status = OneOf(choices=EndpointStatus.values, required=False)


class ReplayInput(Input):
    after = serializers.IntegerField(min_value=0, max_value=2**63 - 1)


class WebhookView(ApiView):
    def endpoints(self) -> QuerySet[WebhookEndpoint]:
        return WebhookEndpoint.objects.visible_to(self.actor)

    def endpoint(self, ident: str) -> WebhookEndpoint:
        """Raises Forbidden, NotFound."""
        pk = parse_id(ident)
        found = self.endpoints().filter(pk=pk).first() if pk else self.endpoints().none().first()
        if found is None:
            raise NotFound("webhook")
        return found

    def shown(self, *endpoints: WebhookEndpoint) -> list[Any]:
        """Each with its position as whoever asks is told it."""
        context = {"positions": positions.told(endpoints, self.actor)}
        return list(EndpointOutput(endpoints, many=True, context=context).data)

    def with_secret(self, endpoint: WebhookEndpoint) -> Any:
        return self.shown(endpoint)[0] | {"secret": secret_of(endpoint)}


class Webhooks(WebhookView):
    paginator = CursorPagination()

    def get(self, request: Request) -> Response:
        found, following = self.paginator.page(request, self.endpoints())
        return Response({"results": self.shown(*found), "next": following})

    def post(self, request: Request) -> Response:
        """201 with the signing secret, which is shown this once."""
        within = organizations_with(self.actor, Permission.WEBHOOKS_MANAGE)
        values = self.body(EndpointInput)
        organization = self._organization(values.pop("organization", None), within)
        endpoint = webhooks.create_endpoint(source=Source.API, organization=organization, actor=self.actor, **values)
        return self.created(self.with_secret(endpoint), endpoint.pk)

    def _organization(self, ident: str | None, within: frozenset[Any] | None) -> Organization | None:
        """Whose events are sent: everybody's, where an operator names nobody; others say whose, if it is not clear."""
        if ident is not None:
            return get_organization(self.actor, ident, Permission.WEBHOOKS_MANAGE)
        if within is None:
            return None
        if len(within) != 1:
            raise Forbidden(Permission.WEBHOOKS_MANAGE)
        return Organization.objects.get(pk=next(iter(within)))


class WebhookDetail(WebhookView):
    def get(self, request: Request, webhook: str) -> Response:
        return Response(self.shown(self.endpoint(webhook))[0])

    def patch(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        changed = webhooks.update_endpoint(
            source=Source.API, endpoint=endpoint, actor=self.actor, **self.body(EndpointChange)
        )
        return Response(self.shown(changed)[0])

    def delete(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        self.body(self.delete_class)
        webhooks.delete_endpoint(source=Source.API, endpoint=endpoint, actor=self.actor)
        return Response(status=204)


class WebhookAttempts(WebhookView):
    paginator = CursorPagination()

    def get(self, request: Request, webhook: str) -> Response:
        found, following = self.paginator.page(request, self.endpoint(webhook).attempts.all())
        return Response({"results": AttemptOutput(found, many=True).data, "next": following})


class WebhookTest(WebhookView):
    """A worker sends it; the attempt says, among the others, what came of it."""

    def post(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        self.body(NothingInput)
        attempt = webhooks.request_test(endpoint=endpoint, actor=self.actor)
        attempts = request.build_absolute_uri(reverse("api:webhook-attempts", args=[endpoint.pk]))
        return Response(AttemptOutput(attempt).data, status=202, headers={"Location": attempts})


class WebhookReplay(WebhookView):
    def post(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        values = self.body(ReplayInput)
        replayed = webhooks.replay(source=Source.API, endpoint=endpoint, actor=self.actor, **values)
        return Response(self.shown(replayed)[0] | {"position": values["after"]})


class WebhookRotation(WebhookView):
    """Another secret, shown this once; for a day both sign."""

    def post(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        self.body(NothingInput)
        rotated = webhooks.rotate_secret(source=Source.API, endpoint=endpoint, actor=self.actor)
        return Response(self.with_secret(rotated))


class WebhookTakeOver(WebhookView):
    """Answer for it from now on: it goes on where it stopped, with another secret alone, shown this once."""

    def post(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        self.body(NothingInput)
        taken = webhooks.take_over(endpoint=endpoint, actor=self.actor, source=Source.API)
        return Response(self.with_secret(taken))
