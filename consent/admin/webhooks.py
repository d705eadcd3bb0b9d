"""Webhooks on the operators' site: the list, and each one's page with its delivery attempts and actions."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import shown_once
from accounts.access import Actor, NotFound, Permission, get_organization

from ..errors import Invalid, Refused, ServiceError
from ..models import EndpointStatus, EventKind, PausedBecause, Source, WebhookEndpoint
from ..presentation import consequences
from ..presentation.asking import once_confirmed
from ..services import webhooks
from ..webhooks.secrets import secret_of
from .base import PageAdmin, actor_of, instant, require_post, run_service
from .forms import IdentField, OperatorForm
from .lists import two_lines

_SHOWN = 50


class EndpointForm(OperatorForm):
    url = forms.CharField(label=_("Address"), max_length=500, help_text=_("Like https://example.com/hook."))
    organization = IdentField(
        label=_("Organization"),
        required=False,
        help_text=_(
            "Its id, or external: followed by its external id, to send only the events of this "
            "organization. Leave empty to send the events of all."
        ),
    )
    description = forms.CharField(label=_("Description"), max_length=200, required=False)
    kinds = forms.MultipleChoiceField(
        label=_("Kinds of events"),
        choices=EventKind.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_(
            "Choose none to receive everything about how data may be used. Events about access are sent only if you "
            "choose them."
        ),
    )


class ReplayForm(OperatorForm):
    after = forms.IntegerField(
        label=_("After position"),
        min_value=0,
        max_value=2**63 - 1,
        help_text=_("All events after this position are sent again."),
    )


@admin.register(WebhookEndpoint)
class WebhookAdmin(PageAdmin):
    can_add = can_change = True
    list_display = ("address", "whose", "standing", "position", "failures", "next_attempt")
    list_select_related = ("organization",)
    list_filter = ("status", "paused_because")
    ordering = ("-id",)
    sortable_by = ()

    next_attempt = instant("next_attempt_at", _("next attempt"))

    @admin.display(description=_("address"))
    def address(self, endpoint: WebhookEndpoint) -> str:
        return two_lines(endpoint.url, endpoint.description)

    @admin.display(description=_("status"))
    def standing(self, endpoint: WebhookEndpoint) -> str:
        because = endpoint.get_paused_because_display() if endpoint.status == EndpointStatus.PAUSED else ""
        return two_lines(endpoint.get_status_display(), because)

    @admin.display(description=_("organization"))
    def whose(self, endpoint: WebhookEndpoint) -> str:
        return str(endpoint.organization) if endpoint.organization else gettext("All organizations")

    def endpoint(self, object_id: str) -> WebhookEndpoint:
        found: WebhookEndpoint = self.get_or_404(WebhookEndpoint.objects.select_related("organization"), object_id)
        return found

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        form = EndpointForm(request.POST if request.method == "POST" else None)
        status = 200
        if request.method == "POST":
            made = run_service(form, lambda data: self._create(request, data))
            if made.done:
                return self._secret(request, made.result)
            status = made.status
        context = {"form": form, "submit": gettext("Create the webhook")}
        return self.screen(request, "admin/form.html", context, title=gettext("New webhook"), status=status)

    @staticmethod
    def _create(request: HttpRequest, data: dict[str, Any]) -> WebhookEndpoint:
        actor, organization = actor_of(request), None
        if data["organization"]:
            try:
                organization = get_organization(actor, data["organization"], Permission.WEBHOOKS_MANAGE)
            except NotFound:
                raise Invalid(
                    "unknown_organization", gettext("There is no such organization."), "organization"
                ) from None
        return webhooks.create_endpoint(
            source=Source.ADMIN,
            organization=organization,
            url=data["url"],
            description=data["description"],
            kinds=data["kinds"],
            actor=actor,
        )

    def _secret(self, request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
        """Leads to the page that shows the signing secret: whoever loads it again makes no other one."""
        shown_once.keep(request, endpoint.pk, secret_of(endpoint))
        return redirect("admin:consent_webhookendpoint_secret", endpoint.pk)

    def secret_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The signing secret, for as long as it is kept for this person; a POST says that it was copied."""
        endpoint = self.endpoint(object_id)
        secret = shown_once.find(request, endpoint.pk)
        if request.method == "POST" or not secret or secret != secret_of(endpoint):
            shown_once.forget(request, endpoint.pk)
            return redirect("admin:consent_webhookendpoint_change", endpoint.pk)
        context = {"original": endpoint, "secret": secret}
        return self.screen(request, "admin/webhooks/secret.html", context, title=gettext("The signing secret"))

    def show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(request, self.endpoint(object_id))

    def _page(
        self, request: HttpRequest, endpoint: WebhookEndpoint, form: forms.Form | None = None, status: int = 200
    ) -> HttpResponse:
        attempts = list(endpoint.attempts.all()[:_SHOWN])
        context = {
            "original": endpoint,
            "kinds": [str(EventKind(kind).label) for kind in endpoint.kinds],
            "attempts": attempts,
            "resend_url": reverse("admin:consent_webhookendpoint_verb", args=[endpoint.pk, "resend"]),
            "waiting": any(each.waiting for each in attempts),
            "suspended": endpoint.paused_because == PausedBecause.SUSPENDED,
            "paused": endpoint.status == EndpointStatus.PAUSED,
            "replay_form": form or ReplayForm(),
        }
        return self.screen(request, "admin/webhooks/page.html", context, title=endpoint.url, status=status)

    @require_post
    def verb_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        endpoint, actor = self.endpoint(object_id), actor_of(request)
        try:
            return self._done(request, endpoint, actor, verb)
        except ServiceError as error:
            messages.error(request, str(error))
            return self._page(request, endpoint, status=error.http_status)

    def _done(self, request: HttpRequest, endpoint: WebhookEndpoint, actor: Actor, verb: str) -> HttpResponse:
        match verb:
            case "pause" | "resume":
                status = EndpointStatus.PAUSED if verb == "pause" else EndpointStatus.ACTIVE
                webhooks.update_endpoint(source=Source.ADMIN, endpoint=endpoint, actor=actor, status=status)
            case "test":
                self._test(request, endpoint, actor)
            case "resend":
                self._resend(request, endpoint, actor)
            case "rotate" | "take-over" | "remove":
                return self._asked(request, endpoint, actor, verb)
            case _:
                raise Http404
        return redirect("admin:consent_webhookendpoint_change", endpoint.pk)

    def _asked(self, request: HttpRequest, endpoint: WebhookEndpoint, actor: Actor, verb: str) -> HttpResponse:
        """What asks once, saying what happens, before it is done."""
        who: Any = {"source": Source.ADMIN, "endpoint": endpoint, "actor": actor}

        def act() -> consequences.Told:
            if verb == "rotate":
                return consequences.of_another_secret(partial(webhooks.rotate_secret, **who))
            if verb == "take-over":
                return consequences.of_taking_webhook_over(partial(webhooks.take_over, **who))
            return consequences.of_deleting(endpoint, partial(webhooks.delete_endpoint, **who))

        done = once_confirmed(request, act)
        if done.told is not None:
            back = reverse("admin:consent_webhookendpoint_change", args=[endpoint.pk])
            return self.ask(request, done, endpoint, back)
        if verb == "remove":
            messages.success(request, gettext("The webhook is deleted."))
            return redirect("admin:consent_webhookendpoint_changelist")
        return self._secret(request, done.result)

    @staticmethod
    def _test(request: HttpRequest, endpoint: WebhookEndpoint, actor: Actor) -> None:
        try:
            webhooks.request_test(endpoint=endpoint, actor=actor)
        except Refused as error:
            messages.warning(request, str(error))
        else:
            messages.success(request, gettext("The test is on its way; its result will appear below."))

    @staticmethod
    def _resend(request: HttpRequest, endpoint: WebhookEndpoint, actor: Actor) -> None:
        try:
            webhooks.resend(endpoint=endpoint, attempt=request.POST.get("attempt", ""), actor=actor)
        except NotFound:
            raise Http404 from None
        except Refused as error:
            messages.warning(request, str(error))
        else:
            messages.success(request, gettext("The message is on its way again; its result will appear below."))

    @require_post
    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint, form = self.endpoint(object_id), ReplayForm(request.POST)
        done = run_service(
            form,
            lambda data: webhooks.replay(
                source=Source.ADMIN, endpoint=endpoint, after=data["after"], actor=actor_of(request)
            ),
        )
        if not done.done:
            return self._page(request, endpoint, form, done.status)
        messages.success(request, gettext("All events after that position are being sent again."))
        return redirect("admin:consent_webhookendpoint_change", endpoint.pk)

    def get_urls(self) -> list[Any]:
        wrap, name, one = self.admin_site.admin_view, "consent_webhookendpoint", "<str:object_id>"
        return [
            path(f"{one}/secret/", wrap(self.secret_view), name=f"{name}_secret"),
            path(f"{one}/replay/", wrap(self.replay_view), name=f"{name}_replay"),
            path(f"{one}/verbs/<str:verb>/", wrap(self.verb_view), name=f"{name}_verb"),
            *super().get_urls(),
        ]
