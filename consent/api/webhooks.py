"""Webhooks: create and change, delivery attempts, test, resend, replay, secret rotation, take-over."""

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Forbidden, NotFound, Permission, get_organization, organizations_with
from accounts.fields import parse_id
from accounts.models import Organization

from ..models import EndpointStatus, EventKind, PausedBecause, Source, WebhookEndpoint
from ..services import webhooks
from ..webhooks import positions
from ..webhooks.secrets import secret_of
from . import etags
from .base import ApiView, Renderer
from .bulk_serializers import NothingInput
from .fields import IDENT, Input, Instant, ListOf, OneOf, OneOfOrNull, Output, Text
from .paging import CursorPagination
from .serializers import length_of


class EndpointOutput(Output):
    about = "A webhook: where events are sent to, and how far it has got."

    id = serializers.UUIDField(help_text="Its id.")
    organization = serializers.UUIDField(
        source="organization_id", allow_null=True, help_text="Whose events it gets; null: everybody's."
    )
    url = serializers.URLField(help_text="Where they are sent to.")
    description = serializers.CharField(help_text="What it is for, as somebody said; may be empty.")
    kinds = serializers.ListField(
        child=OneOf(choices=EventKind.values), help_text="The kinds of events it gets; none: all but the access trail."
    )
    status = OneOf(choices=EndpointStatus.values, help_text="Whether it is sent events.")
    paused_because = OneOfOrNull(choices=PausedBecause.values, help_text="Why it is paused; null where it is not.")
    position = serializers.SerializerMethodField(help_text="The position of the last event that it has gone past.")
    failures = serializers.IntegerField(help_text="How many attempts in a row have failed.")
    next_attempt_at = Instant(allow_null=True, help_text="When it is tried again; null where none has failed.")
    created_at = Instant(help_text="When it was made.")

    def get_position(self, endpoint: WebhookEndpoint) -> int:
        return int(self.context["positions"][endpoint.pk])


class EndpointWithSecret(EndpointOutput):
    about = "A webhook with its signing secret, which is shown this once."

    secret = serializers.CharField(help_text="What Standard Webhooks' libraries verify messages with; shown this once.")


class AttemptOutput(Output):
    about = "A delivery that was tried, or one that was asked for and still waits."

    id = serializers.CharField(help_text="Its id.")
    position = serializers.IntegerField(allow_null=True, help_text="The event's position; null for a test.")
    at = Instant(help_text="When it was.")
    delivered = serializers.BooleanField(help_text="Whether it arrived: answered by a status from 200 to 299.")
    status = serializers.IntegerField(allow_null=True, help_text="The status it was answered by; null: none.")
    error = serializers.CharField(help_text="What went wrong; empty where nothing did.")
    latency_ms = serializers.IntegerField(help_text="How long it took, in milliseconds.")
    answer = serializers.CharField(help_text="How the answer began.")
    waiting = serializers.BooleanField(help_text="A test, or a message sent once more, that is still to be sent.")


_KINDS = "The kinds of events it gets; left out or empty: all but the access trail."


class EndpointInput(Input):
    about = "A webhook to make."

    url = Text(longest=length_of(WebhookEndpoint, "url"), help_text="Where to send events: an HTTPS address.")
    organization = Text(
        required=False,
        allow_null=True,
        longest=IDENT,
        help_text="Whose events, by id or `external:` id. Left out: everybody's, for an operator, or those of the one "
        "organization whose webhooks you manage.",
    )
    description = Text(
        required=False, allow_blank=True, longest=length_of(WebhookEndpoint, "description"), help_text="What it is for."
    )
    kinds = ListOf(child=OneOf(choices=EventKind.values), required=False, max_length=100, help_text=_KINDS)


class EndpointChange(Input):
    about = "What is to change; what is left out stays as it is."

    url = Text(
        required=False, longest=length_of(WebhookEndpoint, "url"), help_text="Where to send events: an HTTPS address."
    )
    description = Text(
        required=False, allow_blank=True, longest=length_of(WebhookEndpoint, "description"), help_text="What it is for."
    )
    kinds = ListOf(child=OneOf(choices=EventKind.values), required=False, max_length=100, help_text=_KINDS)
    status = OneOf(choices=EndpointStatus.values, required=False, help_text="To pause it, or let it go on.")


class ReplayInput(Input):
    about = "Where to begin again."

    after = serializers.IntegerField(
        min_value=0, max_value=2**63 - 1, help_text="Everything after this position is sent once more."
    )


class WebhookView(ApiView):
    def endpoints(self) -> QuerySet[WebhookEndpoint]:
        return WebhookEndpoint.objects.visible_to(self.actor)

    def endpoint(self, ident: str) -> WebhookEndpoint:
        """The webhook with this id; raises Forbidden, NotFound."""
        pk = parse_id(ident)
        # `endpoints()` is called for a malformed id too: Forbidden comes before NotFound.
        found = self.endpoints().filter(pk=pk).first() if pk else self.endpoints().none().first()
        if found is None:
            raise NotFound("webhook")
        return found

    def shown(self, *endpoints: WebhookEndpoint) -> list[Any]:
        """The endpoints as output, each with its position as this actor may know it."""
        context = {"positions": positions.shown_positions(endpoints, self.actor)}
        return list(EndpointOutput(endpoints, many=True, context=context).data)

    def version_of(self, endpoint: WebhookEndpoint) -> str:
        """A digest of what can be changed. The position is not in it: a worker moves it without a write by anybody."""
        return etags.digest(Renderer().render([endpoint.url, endpoint.description, endpoint.kinds, endpoint.status]))

    def answer(self, endpoint: WebhookEndpoint) -> Response:
        self.version = self.version_of(endpoint)
        return Response(self.shown(endpoint)[0])

    def unchanged(self, endpoint: WebhookEndpoint) -> None:
        """Raise VersionMismatch if If-Match is given and does not name the endpoint's current content."""
        self.require_match(lambda: self.shown(endpoint)[0], self.version_of(endpoint))

    def with_secret(self, endpoint: WebhookEndpoint) -> Any:
        return self.shown(endpoint)[0] | {"secret": secret_of(endpoint)}


class Webhooks(WebhookView):
    paginator = CursorPagination()

    def get(self, request: Request) -> Response:
        found, following = self.paginator.page(request, self.endpoints())
        return Response({"results": self.shown(*found), "next": following})

    def post(self, request: Request) -> Response:
        """201 with the signing secret, which is not shown again."""
        within = organizations_with(self.actor, Permission.WEBHOOKS_MANAGE)
        values = self.body(EndpointInput)
        organization = self._organization(values.pop("organization", None), within)
        endpoint = webhooks.create_endpoint(source=Source.API, organization=organization, actor=self.actor, **values)
        return self.created(self.with_secret(endpoint), endpoint.pk)

    def _organization(self, ident: str | None, within: frozenset[Any] | None) -> Organization | None:
        """The organization whose events are sent; None, without `ident`, for an operator's webhook: all events.

        Others may omit `ident` if they manage the webhooks of exactly one organization; if not, raises Forbidden.
        """
        if ident is not None:
            return get_organization(self.actor, ident, Permission.WEBHOOKS_MANAGE)
        if within is None:
            return None
        if len(within) != 1:
            raise Forbidden(Permission.WEBHOOKS_MANAGE)
        return Organization.objects.get(pk=next(iter(within)))


class WebhookDetail(WebhookView):
    def get(self, request: Request, webhook: str) -> Response:
        return self.answer(self.endpoint(webhook))

    def patch(self, request: Request, webhook: str) -> Response:
        endpoint, changes = self.endpoint(webhook), self.body(EndpointChange)
        changed = webhooks.update_endpoint(
            source=Source.API, endpoint=endpoint, actor=self.actor, expected=self.unchanged, **changes
        )
        return self.answer(changed)

    def delete(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        self.body(self.delete_class)
        webhooks.delete_endpoint(source=Source.API, endpoint=endpoint, actor=self.actor, expected=self.unchanged)
        return Response(status=204)


class WebhookAttempts(WebhookView):
    paginator = CursorPagination()

    def get(self, request: Request, webhook: str) -> Response:
        found, following = self.paginator.page(request, self.endpoint(webhook).attempts.all())
        return Response({"results": AttemptOutput(found, many=True).data, "next": following})


class WebhookTest(WebhookView):
    """Queues a test message: a worker sends it, and the attempt in the answer then shows the result."""

    def post(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        self.body(NothingInput)
        attempt = webhooks.request_test(endpoint=endpoint, actor=self.actor)
        attempts = request.build_absolute_uri(reverse("api:webhook-attempts", args=[endpoint.pk]))
        return Response(AttemptOutput(attempt).data, status=202, headers={"Location": attempts})


class WebhookResend(WebhookView):
    """Queues the message of an earlier attempt once more; a worker sends it, like a test."""

    def post(self, request: Request, webhook: str, attempt: str) -> Response:
        endpoint = self.endpoint(webhook)
        self.body(NothingInput)
        waiting = webhooks.resend(endpoint=endpoint, attempt=attempt, actor=self.actor)
        attempts = request.build_absolute_uri(reverse("api:webhook-attempts", args=[endpoint.pk]))
        return Response(AttemptOutput(waiting).data, status=202, headers={"Location": attempts})


class WebhookReplay(WebhookView):
    def post(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        values = self.body(ReplayInput)
        replayed = webhooks.replay(source=Source.API, endpoint=endpoint, actor=self.actor, **values)
        # The requested position itself: `shown` would give that of the last event before it that the actor sees.
        return Response(self.shown(replayed)[0] | {"position": values["after"]})


class WebhookRotation(WebhookView):
    """Creates a new signing secret, shown only here; for a day messages are signed with both."""

    def post(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        self.body(NothingInput)
        rotated = webhooks.rotate_secret(source=Source.API, endpoint=endpoint, actor=self.actor)
        return Response(self.with_secret(rotated))


class WebhookTakeOver(WebhookView):
    """The caller becomes responsible for the webhook, which goes on where it stopped, with a new secret only."""

    def post(self, request: Request, webhook: str) -> Response:
        endpoint = self.endpoint(webhook)
        self.body(NothingInput)
        taken = webhooks.take_over(endpoint=endpoint, actor=self.actor, source=Source.API)
        return Response(self.with_secret(taken))
