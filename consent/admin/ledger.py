"""Read-only pages: the ledger, settings, subscriptions and locks."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import time_zones
from accounts.access import Actor
from accounts.fields import split_ident
from accounts.models import Organization, Plan, Subscription

from ..log import keys as log_keys
from ..models import ConsentEvent, Lock, PrivacySetting
from ..presentation import actors, histories, honoured, targets
from ..presentation.wordings import seen
from .base import OperatorAdmin, actor_of, instant, state_words, yes_no
from .filters import AboutFilter, presence_filter
from .ledger_filters import OrganizationFilter, SinceFilter, UntilFilter, WhoFilter
from .lists import OperatorList, two_lines
from .why import url_for


class ReadOnlyAdmin(OperatorAdmin):
    """Base of read-only lists and row pages. `shown` lists the fields of a row's page, in order."""

    shown: tuple[Any, ...] = ()
    list_display_links: Any = None

    def get_urls(self) -> list[Any]:
        return [url for url in super().get_urls() if not str(getattr(url, "name", "")).endswith("_history")]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        words = {"title": capfirst(self.opts.verbose_name), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, words)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.shown

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.shown


class StateAdmin:
    """Mixin with list columns for the state of a layer."""

    is_subscribed = yes_no("subscribed", _("subscribed"))
    is_locked = yes_no("locked", _("locked"))
    is_closed = yes_no("closed", _("account closed"))
    standing_since = instant("since", _("since"))
    state = ("plan_name", "is_subscribed", "applied_default", "choice", "carried_from", "is_locked", "is_closed",
             "is_used", "reason_code", "standing_since")  # fmt: skip

    @admin.display(description=_("plan"))
    def plan_name(self, row: ConsentEvent | PrivacySetting) -> str:
        return _plan(row, row.plan)

    @admin.display(description=_("carried over from"))
    def carried_from(self, row: ConsentEvent | PrivacySetting) -> str:
        return _plan(row, row.carry)

    @admin.display(description=_("used for training"), ordering="allowed")
    def is_used(self, row: ConsentEvent | PrivacySetting) -> str:
        return state_words(row.allowed)


def name_plans(rows: Iterable[Any]) -> None:
    """Set `plan_names` on each row: one query for all of them."""
    names = dict(Plan.objects.values_list("key", "name"))
    for row in rows:
        row.plan_names = names


def _plan(row: Any, key: str) -> str:
    return str(row.plan_names.get(key, key)) or "–"


class OrganizationSearch(ReadOnlyAdmin):
    """Adds search by the organization's exact id or external id."""

    search_fields = ("organization__external_id",)
    search_help_text = _("An organization's id or external id, exactly as it is.")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        return (queryset.filter(self.matching(term)) if term else queryset), False

    def matching(self, term: str) -> Q:
        pk, _external = split_ident(term)
        named = Organization.objects.with_external_id(term.removeprefix("external:"))
        return Q(organization_id=pk) if pk else Q(organization__in=named.values("pk"))


class StateList(OperatorList):
    def get_results(self, request: HttpRequest) -> None:
        """Adds the names of plans to the page's rows."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        name_plans(self.result_list)


class LedgerList(StateList):
    def get_results(self, request: HttpRequest) -> None:
        """Adds names of actors and targets to the page's events, in a fixed number of queries."""
        super().get_results(request)
        name_events(self.result_list, actor_of(request))


def name_events(events: Sequence[Any], viewer: Actor) -> None:
    """Set `actor_name`, `target_name`, `why_url` and what was before and after, in words, on each event."""
    who, about = actors.labels(events, viewer), targets.labels(events, viewer)
    changes = histories.changes(events, about)
    for event in events:
        event.actor_name, event.target_name, event.why_url = who[event.pk], about.target(event), url_for(event)
        event.before_words, event.after_words = changes[event.pk]
        told = " → ".join(part for part in changes[event.pk] if part)
        event.change_words = str(_(": ")).join(part for part in (event.target_name, told) if part)


@admin.register(ConsentEvent)
class ConsentEventAdmin(StateAdmin, OrganizationSearch):
    list_display = ("when", "what", "whose", "change", "by")
    list_display_links = ("when",)
    list_select_related = ("organization",)
    list_filter = (
        SinceFilter,
        UntilFilter,
        OrganizationFilter,
        WhoFilter,
        AboutFilter,
        "kind",
        "product",
        "source",
        "by_operator",
    )
    search_help_text = _("An organization's id or external id, an event's id, or a request id, exactly as it is.")
    ordering = ("-id",)
    shown = (
        "id", "when", "kind", "organization", "member", "product", "surface", "about",
        "was", "became", "who", "actor_type", "actor_id", "for_provider", "source", "reason", "reference", "words",
        "request_id", "asked_why", "way", "receipt",
        *StateAdmin.state,
    )  # fmt: skip
    when = instant("recorded_at", _("when"), seconds=True)
    for_provider = yes_no("by_operator", _("for the provider"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LedgerList

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("organization", "member__user", "member__organization")

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        words = {"title": _("Event %(number)s") % {"number": object_id}, "subtitle": None, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, words)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> ConsentEvent | None:
        event: ConsentEvent | None = super().get_object(request, object_id, from_field)
        if event is not None:
            name_plans([event])
            name_events([event], actor_of(request))
        return event

    def matching(self, term: str) -> Q:
        # A number of 19 digits or more may be too large for the database's integers.
        found = super().matching(term) | Q(request_id=term)
        return found | Q(pk=int(term)) if term.isascii() and term.isdigit() and len(term) < 19 else found

    @admin.display(description=_("what"), ordering="kind")
    def what(self, event: ConsentEvent) -> str:
        return two_lines(event.get_kind_display(), event.get_product_display())

    @admin.display(description=_("organization"))
    def whose(self, event: ConsentEvent) -> str:
        return two_lines(event.organization or "–", event.member.user if event.member else "")

    @admin.display(description=_("who and where"))
    def by(self, event: ConsentEvent) -> str:
        where = str(event.get_source_display())
        if event.by_operator:
            where = _("%(where)s, for the provider") % {"where": where}
        return two_lines(self.who(event), where)

    @admin.display(description=_("change"))
    def change(self, event: ConsentEvent) -> str:
        return two_lines(getattr(event, "change_words", "") or "–", self._wording(event))

    def _wording(self, event: ConsentEvent) -> str:
        """The tag of the words that the event names, as a link to what was chosen with them; '' if it names none."""
        found = seen(event)
        if found is None or not found.stated:
            return ""
        address = reverse("admin:wording", args=[found.surface, found.number])
        return format_html('<a href="{}">{}</a>', address, found.words)

    @admin.display(description=_("answer at that time"))
    def asked_why(self, event: ConsentEvent) -> str:
        address = getattr(event, "why_url", "")
        return format_html('<a href="{}">{}</a>', address, gettext("Why?")) if address else "–"

    @admin.display(description=_("its way to the consumers"))
    def way(self, event: ConsentEvent) -> str:
        """How far each consumer has come with it, by name, as only operators see it."""
        way = honoured.ways_of([event], named=True).get(event.pk)
        if way is None:
            return "–"
        lines = (line for step in honoured.steps_of(way) for line in step.lines)
        told = ((time_zones.moment(at, seconds=True), words) for words, at in lines)
        return format_html("{}{}", way.line, format_html_join("", "<br>{}: {}", told))

    @admin.display(description=_("words seen"))
    def words(self, event: ConsentEvent) -> str:
        found = seen(event)
        if found is None or not found.stated:
            return found.words if found else "–"
        address = reverse("console:words", args=[found.surface, found.number])
        if found.language:
            address = f"{address}?language={found.language}"
        counts = reverse("admin:wording", args=[found.surface, found.number])
        lost = "" if found.kept else gettext("text not kept")
        told = gettext("Choices with these words")
        return format_html('<a href="{}">{}</a> {}<br><a href="{}">{}</a>', address, found.words, lost, counts, told)

    @admin.display(description=_("receipt"))
    def receipt(self, event: ConsentEvent) -> str:
        if not log_keys.is_on():
            return "–"
        url = reverse("console:receipt", args=[event.pk])
        return format_html('<a href="{}">{}</a>', url, gettext("Download"))

    @admin.display(description=_("before"))
    def was(self, event: ConsentEvent) -> str:
        return getattr(event, "before_words", "") or "–"

    @admin.display(description=_("after"))
    def became(self, event: ConsentEvent) -> str:
        return getattr(event, "after_words", "") or "–"

    @admin.display(description=_("about"))
    def about(self, event: ConsentEvent) -> str:
        return getattr(event, "target_name", "") or event.target or "–"

    @admin.display(description=_("who"))
    def who(self, event: ConsentEvent) -> str:
        return getattr(event, "actor_name", "")


@admin.register(PrivacySetting)
class PrivacySettingAdmin(StateAdmin, OrganizationSearch):
    list_display = ("whose", "of", "choice", "used", "standing_since")
    list_display_links = ("whose",)
    list_select_related = ("organization", "member__user", "member__organization")
    list_filter = (
        "product",
        "allowed",
        "choice",
        "reason_code",
        "locked",
        presence_filter("member", _("whose"), there=_("Members'"), absent=_("Organizations'")),
    )
    ordering = ("-id",)
    shown = (
        "organization", "member", "product", *StateAdmin.state,
        "version", "changed", "latest",
    )  # fmt: skip
    changed = instant("changed_at", _("last change"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return StateList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> PrivacySetting | None:
        setting: PrivacySetting | None = super().get_object(request, object_id, from_field)
        name_plans([setting] if setting else [])
        return setting

    @admin.display(description=_("whose"))
    def whose(self, setting: PrivacySetting) -> str:
        member = setting.member.user if setting.member else ""
        return two_lines(setting.organization, member)

    @admin.display(description=_("product"))
    def of(self, setting: PrivacySetting) -> str:
        return two_lines(setting.get_product_display(), _plan(setting, setting.plan) if setting.plan else "")

    @admin.display(description=_("last event"))
    def latest(self, setting: PrivacySetting) -> str:
        pk = setting.last_event_id
        url = reverse("admin:consent_consentevent_change", args=[pk]) if pk else ""
        return format_html('<a href="{}">{}</a>', url, pk) if pk else "–"

    @admin.display(description=_("used for training"))
    def used(self, setting: PrivacySetting) -> str:
        return two_lines(state_words(setting.allowed), setting.get_reason_code_display())


@admin.register(Subscription)
class SubscriptionAdmin(OrganizationSearch):
    list_display = ("organization", "held", "started", "ended")
    list_display_links = ("organization",)
    list_select_related = ("organization", "plan")
    list_filter = ("product", "plan", presence_filter("ended_at", _("status"), there=_("Ended"), absent=_("Live")))
    ordering = ("-id",)
    shown = ("organization", "product", "plan", "started", "ended")
    started = instant("started_at", _("started"))
    ended = instant("ended_at", _("ended"))

    @admin.display(description=_("plan"), ordering="plan")
    def held(self, subscription: Subscription) -> str:
        return two_lines(subscription.plan, subscription.get_product_display())


@admin.register(Lock)
class LockAdmin(OrganizationSearch):
    list_display = ("locked", "why", "placed", "lifted")
    list_display_links = ("locked",)
    list_select_related = ("organization",)
    list_filter = ("product", presence_filter("lifted_at", _("status"), there=_("Lifted"), absent=_("In force")))
    ordering = ("-id",)
    shown = ("organization", "product", "reason", "reference", "placed", "lifted")
    placed = instant("placed_at", _("placed"))
    lifted = instant("lifted_at", _("lifted"))

    @admin.display(description=_("organization"))
    def locked(self, lock: Lock) -> str:
        return two_lines(lock.organization, lock.get_product_display())

    @admin.display(description=_("reason"))
    def why(self, lock: Lock) -> str:
        return two_lines(lock.reason, lock.reference)
