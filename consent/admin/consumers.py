"""Consumers on the operators' site: the list, each one's page with how far it has come, and what can be done."""

import dataclasses
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import shown_once
from accounts.fields import one_line

from .. import honour_clock, ledger
from ..errors import ServiceError
from ..honour_clock import Waiting
from ..models import Consumer, ConsumerDataset, PositionAdvance, Source, WebhookEndpoint
from ..presentation import consequences
from ..presentation.asking import once_confirmed
from ..presentation.honoured import number
from ..services import consumers, credentials
from .base import PageAdmin, actor_of, instant, require_post, run_service
from .filters import presence_filter
from .forms import OperatorForm, reason_field
from .lists import OperatorList, two_lines

_SHOWN = 20


class ConsumerForm(OperatorForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=80,
        validators=[one_line],
        help_text=_("As operators know it: dataset-builder."),
    )
    purpose = forms.CharField(
        label=_("Purpose"), max_length=500, validators=[one_line], help_text=_("What it uses data for.")
    )
    contact = forms.CharField(
        label=_("Contact"), max_length=200, validators=[one_line], help_text=_("Whom to ask when it is behind.")
    )
    expected_lag_minutes = forms.IntegerField(
        label=_("Expected lag in minutes"),
        min_value=0,
        initial=60,
        help_text=_("How long it usually takes to apply an event. Whatever it is, the service level holds for all."),
    )
    webhook = forms.ModelChoiceField(
        WebhookEndpoint.objects.none(),
        label=_("Webhook"),
        required=False,
        empty_label=_("None: it reads the events itself"),
        help_text=_("What this webhook delivers is noted as delivered to it. Only the provider's own, for all kinds."),
    )
    datasets = forms.CharField(
        label=_("Datasets"),
        required=False,
        widget=forms.Textarea({"rows": 3}),
        help_text=_("One on each line, if it keeps several that are not always equally far. Empty: it has one."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hooks = WebhookEndpoint.objects.filter(organization=None, kinds=[])
        self.fields["webhook"].queryset = hooks  # type: ignore[attr-defined]

    def clean_datasets(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["datasets"].splitlines() if line.strip()]


class RemoveForm(OperatorForm):
    reason = reason_field(required=True, help_text=_("Kept in the ledger."))


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a dataset, or the slowest of a consumer's, stands, in words; `state` is for the badge."""

    words: str
    state: str


def standing_of(waiting: Waiting | None) -> Standing:
    now = timezone.now()
    if waiting is None:
        return Standing(gettext("Removed"), "none")
    if waiting.is_overdue(now):
        return Standing(gettext("Overdue"), "locked")
    if waiting.is_late(now):
        return Standing(gettext("Slower than expected"), "carried_over")
    if waiting.dataset.said_at is None and waiting.since is not None:
        return Standing(gettext("Has said nothing yet"), "default")
    return Standing(gettext("In time"), "chosen")


class ConsumerList(OperatorList):
    def get_results(self, request: HttpRequest) -> None:
        """Adds to each consumer what waits for it longest; one query for all."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        oldest: dict[Any, Waiting] = {}
        for each in honour_clock.waiting():
            held = oldest.get(each.dataset.consumer_id)
            if held is None or (each.since is not None and (held.since is None or each.since < held.since)):
                oldest[each.dataset.consumer_id] = each
        for consumer in self.result_list:
            consumer.waiting = oldest.get(consumer.pk)


@admin.register(Consumer)
class ConsumerAdmin(PageAdmin):
    can_add = can_change = True
    list_display = ("named", "standing", "applied", "sent", "contact")
    list_filter = (presence_filter("removed_at", _("removal"), there=_("Removed"), absent=_("Registered")),)
    ordering = ("-id",)
    sortable_by = ()
    first = _(
        "No system that uses data is registered yet. Add one and give it the key that you are shown once: with it the "
        "system says how far it has applied the ledger, and each opt-out shows it."
    )
    registered = instant("registered_at", _("registered"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[OperatorList]:
        return ConsumerList

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("datasets")

    @admin.display(description=_("consumer"))
    def named(self, consumer: Consumer) -> str:
        return two_lines(consumer.name, consumer.purpose)

    @admin.display(description=_("status"))
    def standing(self, consumer: Any) -> str:
        return standing_of(consumer.waiting).words

    @admin.display(description=_("applied up to"))
    def applied(self, consumer: Consumer) -> str:
        live = [each for each in consumer.datasets.all() if each.removed_at is None]
        if not live:
            return "–"
        slowest = min(live, key=lambda each: each.position)
        return two_lines(number(slowest.position), slowest.name)

    @admin.display(description=_("delivered up to"))
    def sent(self, consumer: Consumer) -> str:
        return number(consumer.delivered) if consumer.webhook_id else "–"

    def consumer(self, object_id: str) -> Consumer:
        rows = Consumer.objects.select_related("key", "webhook", "registered_by")
        found: Consumer = self.get_or_404(rows, object_id)
        return found

    # --- Registering ---

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        form = ConsumerForm(request.POST if request.method == "POST" else None)
        status = 200
        who: Any = {"actor": actor_of(request), "source": Source.ADMIN}
        if request.method == "POST":
            made = run_service(form, lambda data: consumers.register(**data, **who))
            if made.done:
                return self._made(request, made.result)
            status = made.status
        context = {
            "form": form,
            "submit": gettext("Register it"),
            "lead": gettext("From then on each choice that tightens waits until it says that it has applied it."),
        }
        return self.screen(request, "admin/form.html", context, title=gettext("New consumer"), status=status)

    def _made(self, request: HttpRequest, registered: consumers.Registered) -> HttpResponse:
        """Leads to the page that shows the key's text: whoever loads it again makes no second one."""
        key = registered.consumer.key
        shown_once.keep(request, key.pk, registered.text)
        return redirect("admin:consent_consumer_key", registered.consumer.pk)

    def key_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The key's text, for as long as it is kept for this person; a POST says that it was copied."""
        consumer = self.consumer(object_id)
        secret = shown_once.find(request, consumer.key_id)
        if request.method == "POST" or not credentials.is_text_of(consumer.key, secret):
            shown_once.forget(request, consumer.key_id)
            return redirect("admin:consent_consumer_change", consumer.pk)
        context = {"key": consumer.key, "secret": secret, "original": consumer}
        return self.screen(request, "admin/key_made.html", context, title=gettext("The new key"))

    # --- The page of one ---

    def show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(request, self.consumer(object_id))

    def _page(
        self,
        request: HttpRequest,
        consumer: Consumer,
        remove_form: forms.Form | None = None,
        status: int = 200,
    ) -> HttpResponse:
        own = [each for each in honour_clock.waiting() if each.dataset.consumer_id == consumer.pk]
        advances = PositionAdvance.objects.filter(consumer=consumer).select_related("dataset").order_by("-pk")
        oldest = min(own, key=lambda each: (each.since is None, each.since), default=None) if own else None
        context = {
            "original": consumer,
            "standing": standing_of(oldest),
            "datasets": [(each, standing_of(each)) for each in own],
            "advances": advances[:_SHOWN],
            "waiting": honour_clock.waiting_for(each.dataset for each in own),
            "head": ledger.head(),
            "silent": consumer.removed_at is None and not credentials.is_usable(consumer.key),
            "remove_form": remove_form or RemoveForm(),
        }
        return self.screen(request, "admin/consumers/page.html", context, title=consumer.name, status=status)

    # --- Changing ---

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        consumer = self._live(object_id)
        form, status = ConsumerForm(initial=self._values(consumer)), 200
        if request.method == "POST":
            form = ConsumerForm(request.POST)
            who: Any = {"consumer": consumer, "actor": actor_of(request), "source": Source.ADMIN}
            done = run_service(
                form,
                lambda data: once_confirmed(
                    request,
                    lambda: consequences.of_changing_consumer(consumer, partial(consumers.change, **who, **data)),
                ),
            )
            if done.done and done.result.told is not None:
                return self.ask(request, done.result, consumer, self._url(consumer))
            if done.done:
                messages.success(request, gettext("Saved."))
                return redirect(self._url(consumer))
            status = done.status
        context = {"form": form, "submit": gettext("Save"), "original": consumer}
        return self.screen(request, "admin/form.html", context, title=consumer.name, status=status)

    @staticmethod
    def _values(consumer: Consumer) -> dict[str, Any]:
        live = ConsumerDataset.objects.filter(consumer=consumer, removed_at=None).exclude(name="")
        named = {name: getattr(consumer, name) for name in ("name", "purpose", "contact", "expected_lag_minutes")}
        return {**named, "webhook": consumer.webhook_id, "datasets": "\n".join(each.name for each in live)}

    @require_post
    def verb_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        consumer = self._live(object_id)
        who: Any = {"consumer": consumer, "actor": actor_of(request), "source": Source.ADMIN}
        try:
            if verb == "rotate":
                run = partial(consumers.renew_key, **who)
                done = once_confirmed(request, lambda: consequences.of_another_consumer_key(consumer, run))
                if done.told is None:
                    return self._made(request, done.result)
            elif verb == "remove":
                return self._removed(request, consumer, who)
            else:
                raise Http404
        except ServiceError as error:
            messages.error(request, str(error))
            return self._page(request, consumer, status=error.http_status)
        return self.ask(request, done, consumer, self._url(consumer))

    def _removed(self, request: HttpRequest, consumer: Consumer, who: dict[str, Any]) -> HttpResponse:
        form = RemoveForm(request.POST)
        live = consumer.datasets.filter(removed_at=None)

        def act(data: dict[str, Any]) -> Any:
            run = partial(consumers.remove, **who, reason=data["reason"])
            left = honour_clock.waiting_for(live)
            return once_confirmed(request, lambda: consequences.of_removing_consumer(consumer, left, run))

        done = run_service(form, act)
        if not done.done:
            return self._page(request, consumer, form, done.status)
        if done.result.told is not None:
            return self.ask(request, done.result, consumer, self._url(consumer))
        messages.success(request, gettext("The consumer is removed: nothing waits for it any more."))
        return redirect("admin:consent_consumer_changelist")

    def _live(self, object_id: str) -> Consumer:
        consumer = self.consumer(object_id)
        if consumer.removed_at is not None:
            raise Http404
        return consumer

    @staticmethod
    def _url(consumer: Consumer) -> str:
        return reverse("admin:consent_consumer_change", args=[consumer.pk])

    def get_urls(self) -> list[Any]:
        wrap, name, one = self.admin_site.admin_view, "consent_consumer", "<str:object_id>"
        return [
            path(f"{one}/key/", wrap(self.key_view), name=f"{name}_key"),
            path(f"{one}/edit/", wrap(self.edit_view), name=f"{name}_edit"),
            path(f"{one}/verbs/<str:verb>/", wrap(self.verb_view), name=f"{name}_verb"),
            *super().get_urls(),
        ]
