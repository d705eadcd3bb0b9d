"""The page of one organization: settings as in the console, plans, locks, external ids, details, account status.

Every form posts to a URL of its own; if it is refused, the page is shown again with the form's errors.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.access import Actor
from accounts.models import Member, Organization

from ..models import PrivacySetting, Source
from ..presentation.cards import Card, Place, card_at, card_of
from ..presentation.privacy_settings import SettingView, organization_settings
from ..rules import Choice
from ..services import choices, organizations
from ..surfaces import SURFACES, Scope, Surface
from ..wordings import stated
from .base import OperatorAdmin, actor_of, require_post, run_service
from .external_ids import ids_of, withdraw
from .forms import ChoiceForm, DetailsForm, EndForm, LiftForm, LockForm, PlanForm, StatusForm

SOURCE = Source.ADMIN.value
Run = Callable[[Actor, dict[str, Any]], Any]


@dataclasses.dataclass(frozen=True)
class Section:
    """One product on the page: its setting, and the forms for its plan and lock."""

    card: Card
    product: str
    plan_form: forms.Form
    end_form: forms.Form
    lock_form: forms.Form
    lift_form: forms.Form

    @property
    def open_plan(self) -> bool:
        return self.plan_form.is_bound or self.end_form.is_bound

    @property
    def open_lock(self) -> bool:
        return self.lock_form.is_bound or self.lift_form.is_bound


def page_url(organization: Organization) -> str:
    return reverse("admin:accounts_organization_change", args=[organization.pk])


def place_of(organization: Organization, surface: Surface) -> Place:
    url = reverse("admin:accounts_organization_setting", args=[organization.pk, surface.key])
    return Place(surface=surface, organization=organization, url=url, page_url=page_url(organization))


class OrganizationPage(OperatorAdmin):
    """The page, and what is sent from it and asks nothing; OrganizationActs adds the rest."""

    def organization(self, object_id: str) -> Organization:
        organization: Organization = self.get_or_404(Organization.objects, object_id)
        return organization

    def page(
        self,
        request: HttpRequest,
        organization: Organization,
        sent: dict[str, forms.Form] | None = None,
        status: int = 200,
    ) -> HttpResponse:
        """The whole page; `sent` maps the name of a refused form to it, so that its errors are shown."""
        organization.refresh_from_db()
        sent, actor = sent or {}, actor_of(request)
        details = {name: getattr(organization, name) for name in DetailsForm.base_fields}
        context = {
            "original": organization,
            "sections": [self._section(each, actor, sent) for each in organization_settings(organization, actor)],
            "members": _member_counts(organization),
            "details_form": sent.get("details") or DetailsForm(initial=details, auto_id="details-%s"),
            "status_form": sent.get("status") or StatusForm(auto_id="status-%s"),
            **ids_of(organization, sent=sent.get("withdraw")),
        }
        return self.screen(request, "admin/organization/page.html", context, title=organization.name, status=status)

    @staticmethod
    def _section(setting: SettingView, actor: Actor, sent: dict[str, forms.Form]) -> Section:
        product = setting.surface.product.value
        started = {"plan": setting.plan.key if setting.plan else None}
        return Section(
            card=card_of(place_of(setting.organization, setting.surface), actor, setting),
            product=product,
            plan_form=sent.get(f"plan-{product}") or PlanForm(product=product, initial=started),
            end_form=sent.get(f"end-{product}") or EndForm(product=product),
            lock_form=sent.get(f"lock-{product}") or LockForm(product=product),
            lift_form=sent.get(f"lift-{product}") or LiftForm(product=product),
        )

    def apply(
        self, request: HttpRequest, organization: Organization, name: str, form: forms.Form, *, run: Run, saved: str
    ) -> HttpResponse:
        """Run a service on a submitted form. Redirects to the page when done; else shows the page with the errors."""
        done = run_service(form, lambda data: run(actor_of(request), data))
        if not done.done:
            return self.page(request, organization, {name: form}, done.status)
        messages.success(request, saved)
        return redirect(page_url(organization))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        organization = self.organization(object_id)
        if request.method != "POST":
            return self.page(request, organization)
        form = DetailsForm(request.POST, auto_id="details-%s")

        def run(actor: Actor, data: dict[str, Any]) -> None:
            organizations.update_organization(organization=organization, actor=actor, source=SOURCE, **data)

        return self.apply(request, organization, "details", form, run=run, saved=_("Saved."))

    # --- Settings -------------------------------------------------------------------------------------------------

    @require_post
    def setting_view(self, request: HttpRequest, object_id: str, surface: str) -> HttpResponse:
        """Opts out at once; opting in first asks for confirmation, without JavaScript on a page of its own."""
        organization = self.organization(object_id)
        found = SURFACES.get(surface)
        if found is None or found.scope is not Scope.ORGANIZATION:
            raise Http404
        place, form = place_of(organization, found), ChoiceForm(request.POST)
        if form.is_valid() and form.cleaned_data["choice"] == Choice.OPTED_IN and not form.cleaned_data["confirmed"]:
            return self._ask(request, place, form.cleaned_data["version"])
        done = run_service(form, lambda data: self._choose(actor_of(request), place, data))
        if done.done:
            messages.success(request, card_at(place, actor_of(request)).saved)
            return redirect(f"{place.page_url}#{place.html_id}")
        if "reason" in form.errors:
            return self._ask(request, place, form.cleaned_data.get("version"), form)
        card = card_at(place, actor_of(request))
        messages.error(request, " ".join([card.not_saved, *_errors(form)]))
        return self.page(request, organization, status=done.status)

    @staticmethod
    def _choose(actor: Actor, place: Place, data: dict[str, Any]) -> None:
        choices.choose(
            surface=place.surface,
            organization=place.organization,
            choice=data["choice"],
            actor=actor,
            source=SOURCE,
            reason=data["reason"],
            expected_version=data["version"],
            shown=stated(data["shown"]),
        )

    def _ask(
        self, request: HttpRequest, place: Place, version: int | None, refused: forms.Form | None = None
    ) -> HttpResponse:
        """The confirmation page. It keeps the version that the operator saw, so that a change in between is noticed."""
        card = card_at(place, actor_of(request), version=version)
        if not card.asks:
            messages.error(request, f"{card.not_saved} {card.sentence}")
            return self.page(request, place.organization, status=409)
        context = {
            "card": card,
            "back": place.page_url,
            "original": place.organization,
            "reason": request.POST.get("reason", ""),
            "reason_error": " ".join(_errors(refused)) if refused else "",
        }
        status = 400 if refused else 200
        return self.screen(request, "admin/organization/confirm.html", context, title=card.label, status=status)

    # --- External ids ---------------------------------------------------------------------------------------------

    @require_post
    def withdraw_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        organization = self.organization(object_id)
        form, done = withdraw(request, organization)
        if not done.done:
            return self.page(request, organization, {"withdraw": form}, done.status)
        messages.success(request, _("The external id is withdrawn. It identifies nobody now."))
        return redirect(page_url(organization))


def _errors(form: forms.Form) -> list[str]:
    return [str(error) for errors in form.errors.values() for error in errors]


def _member_counts(organization: Organization) -> dict[str, int]:
    opted_out = PrivacySetting.objects.of_members().filter(organization=organization, choice=Choice.OPTED_OUT)
    return {
        "active": Member.objects.active().filter(organization=organization).count(),
        "opted_out": opted_out.count(),
    }
