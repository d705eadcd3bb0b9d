"""Organizations: the list with its filters and actions, creating one, and the URLs of an organization's page."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, Prefetch, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import Product
from accounts.fields import split_ident
from accounts.models import Member, Organization, Subscription

from ..jobs import actions as jobs
from ..models import PrivacySetting
from ..rules import Choice
from ..services import organizations
from ..services.organizations import OrganizationDraft
from ..surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, Surface
from .base import actor_of, run_service, state_words
from .filters import PlanFilter, effective_filter, reason_filter
from .forms import NewOrganizationForm
from .lists import two_lines
from .organization_acts import OrganizationActs
from .organization_members import OrganizationMembers
from .organization_page import SOURCE, page_url


@admin.register(Organization)
class OrganizationAdmin(OrganizationMembers, OrganizationActs):
    can_add = can_change = True
    list_display = ("named", "plans", "le_chat", "ai_studio")
    list_filter = (
        PlanFilter,
        *(make(product) for product in Product for make in (effective_filter, reason_filter)),
        "kind",
        "status",
    )
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("name",)
    search_help_text = _("Words of a name, the last one also in part; an id, external id or member's e-mail in full.")
    actions = ("opt_out_le_chat", "opt_out_ai_studio")

    def get_queryset(self, request: HttpRequest) -> Any:
        settings = PrivacySetting.objects.of_organizations()
        live = Subscription.objects.filter(ended_at=None).select_related("plan").order_by("plan__position")
        return (
            super()
            .get_queryset(request)
            .prefetch_related(
                Prefetch("privacy_settings", settings, to_attr="settings_now"),
                Prefetch("subscriptions", live, to_attr="subscriptions_now"),
            )
        )

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        pk, external_id = split_ident(term)
        if pk is not None:
            queryset = queryset.filter(pk=pk)
        elif external_id is not None:
            queryset = queryset.identified_by(term)
        elif "@" in term:  # a member's address; an external id may contain an @ as well
            theirs = Member.objects.filter(organization=OuterRef("pk"), user__email=term)
            queryset = queryset.filter(Exists(theirs) | Q(pk__in=queryset.with_external_id(term).values("pk")))
        elif term:
            exactly = queryset.with_external_id(term)
            named = queryset.matching(term)
            if "o" in request.GET:  # the operator sorted by a column
                named = named.order_by(*queryset.query.order_by)
            # An exact external id wins over names that have the words.
            queryset = exactly if exactly.exists() else named
        return queryset, False

    @admin.display(description=_("organization"))
    def named(self, organization: Organization) -> str:
        standing = [organization.get_kind_display()]
        if organization.is_closed:
            standing.append(organization.get_status_display())
        return two_lines(organization.name, " · ".join(map(str, standing)))

    @admin.display(description=_("plans"))
    def plans(self, organization: Organization) -> str:
        held = organization.subscriptions_now  # type: ignore[attr-defined]
        return format_html_join(mark_safe("<br>"), "{}", ((each.plan.name,) for each in held)) or gettext("none")

    @admin.display(description=Product.LE_CHAT.label)
    def le_chat(self, organization: Organization) -> str:
        return _effective(organization, Product.LE_CHAT)

    @admin.display(description=Product.AI_STUDIO.label)
    def ai_studio(self, organization: Organization) -> str:
        return _effective(organization, Product.AI_STUDIO)

    @admin.action(description=_("Opt out of Le Chat training"))
    def opt_out_le_chat(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self._opt_out(request, queryset, LE_CHAT_CONSOLE)

    @admin.action(description=_("Opt out of AI Studio training"))
    def opt_out_ai_studio(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self._opt_out(request, queryset, AI_STUDIO_CONSOLE)

    def _opt_out(self, request: HttpRequest, queryset: Any, surface: Surface) -> HttpResponse:
        """Creates the preview of a bulk job, to be checked before it runs."""
        job = jobs.preview_choice(
            surface=surface, choice=Choice.OPTED_OUT, wishes=queryset, actor=actor_of(request), source=SOURCE
        )
        return redirect("admin:consent_bulkjob_change", job.pk)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        form = NewOrganizationForm(request.POST if request.method == "POST" else None)
        status = 200
        if request.method == "POST":
            made = run_service(form, lambda data: self._create(request, data))
            if made.done:
                messages.success(request, gettext("The organization is created."))
                return redirect(page_url(made.result))
            status = made.status
        context = {"form": form, "submit": gettext("Create the organization")}
        return self.screen(request, "admin/form.html", context, title=gettext("New organization"), status=status)

    @staticmethod
    def _create(request: HttpRequest, data: dict[str, Any]) -> Organization:
        plans = (data[f"plan_{product.value}"] for product in Product)
        draft = OrganizationDraft(
            name=data["name"],
            kind=data["kind"],
            external_id=data["external_id"] or None,
            country=data["country"],
            owner=(data["owner_email"], data["owner_name"]) if data["owner_email"] else None,
            subscriptions=[plan for plan in plans if plan],
            choices={p.value: Choice.OPTED_OUT.value for p in Product if data[f"opt_out_{p.value}"]},
        )
        return organizations.create_organization(draft=draft, actor=actor_of(request), source=SOURCE)

    def get_urls(self) -> list[Any]:
        wrap, name = self.admin_site.admin_view, "accounts_organization"
        one = "<str:object_id>"
        return [
            path(f"{one}/settings/<str:surface>/", wrap(self.setting_view), name=f"{name}_setting"),
            path(f"{one}/plans/<str:product>/", wrap(self.plan_view), name=f"{name}_plan"),
            path(f"{one}/plans/<str:product>/end/", wrap(self.end_view), name=f"{name}_end"),
            path(f"{one}/locks/<str:product>/", wrap(self.lock_view), name=f"{name}_lock"),
            path(f"{one}/locks/<str:product>/lift/", wrap(self.lift_view), name=f"{name}_lift"),
            path(f"{one}/external-ids/withdraw/", wrap(self.withdraw_view), name=f"{name}_withdraw_id"),
            path(f"{one}/close/", wrap(self.close_view), name=f"{name}_close"),
            path(f"{one}/reopen/", wrap(self.reopen_view), name=f"{name}_reopen"),
            path(f"{one}/members/", wrap(self.members_view), name=f"{name}_members"),
            *super().get_urls(),
        ]


def _effective(organization: Organization, product: Product) -> str:
    """The list's text for a product: whether its data is used, and the reason."""
    rows = organization.settings_now  # type: ignore[attr-defined]
    setting = next((row for row in rows if row.product == product), None)
    if setting is None:
        return gettext("Account closed") if organization.is_closed else gettext("No subscription")
    why = setting.get_reason_code_display()
    return two_lines(format_html("<b>{}</b>", state_words(setting.allowed)), why)
