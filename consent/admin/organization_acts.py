"""What is done from an organization's page and changes the use of its data: plans, locks, its account's status.

Each of these asks once, saying what happens to each setting, before it is done.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.access import Actor
from accounts.catalogue import Product
from accounts.models import Organization

from ..presentation import asking, consequences
from ..services import locks, organizations, plans
from ..surfaces import ORGANIZATION_SURFACES
from .base import actor_of, require_post, run_service
from .forms import EndForm, LiftForm, LockForm, PlanForm, StatusForm
from .organization_page import SOURCE, OrganizationPage, Run, page_url


@dataclasses.dataclass(frozen=True)
class ActWords:
    """The words of an act that asks first: the question, its button, what else happens, and what is said once done."""

    title: str
    submit: str
    saved: str
    lines: Sequence[str] = ()


class OrganizationActs(OrganizationPage):
    def confirmed(
        self,
        request: HttpRequest,
        organization: Organization,
        name: str,
        form: forms.Form,
        *,
        run: Run,
        words: ActWords,
    ) -> HttpResponse:
        """As `apply`, for what changes the use of data: asks once, saying what happens, before it is done."""
        actor = actor_of(request)

        def act(data: dict[str, Any]) -> asking.Asked:
            return asking.once_confirmed(
                request,
                lambda: consequences.of_organization(
                    organization,
                    actor,
                    lambda: run(actor, data),
                    title=words.title,
                    submit=words.submit,
                    lines=words.lines,
                ),
            )

        done = run_service(form, act)
        if not done.done:
            return self.page(request, organization, {name: form}, done.status)
        if done.result.told is not None:
            return self.ask(request, done.result, organization, page_url(organization))
        messages.success(request, words.saved)
        return redirect(page_url(organization))

    @require_post
    def plan_view(self, request: HttpRequest, object_id: str, product: str) -> HttpResponse:
        organization, product = self.organization(object_id), _product(product)
        form = PlanForm(request.POST, product=product)

        def run(actor: Actor, data: dict[str, Any]) -> None:
            plans.subscribe(organization=organization, actor=actor, source=SOURCE, **data)

        plan = form.cleaned_data.get("plan") if form.is_valid() else None
        words = ActWords(
            title=_("Move %(organization)s to %(plan)s?") % {"organization": organization, "plan": plan},
            submit=_("Move to this plan"),
            lines=[_("%(plan)s: %(description)s") % {"plan": plan, "description": plan.description}]
            if plan and plan.description
            else [],
            saved=_("The plan is set."),
        )
        return self.confirmed(request, organization, f"plan-{product}", form, run=run, words=words)

    @require_post
    def end_view(self, request: HttpRequest, object_id: str, product: str) -> HttpResponse:
        organization, product = self.organization(object_id), _product(product)
        form = EndForm(request.POST, product=product)

        def run(actor: Actor, data: dict[str, Any]) -> None:
            plans.end_subscription(organization=organization, product=product, actor=actor, source=SOURCE, **data)

        words = ActWords(
            title=_("End the subscription of %(organization)s?") % {"organization": organization},
            submit=_("End the subscription"),
            saved=_("The subscription has ended."),
        )
        return self.confirmed(request, organization, f"end-{product}", form, run=run, words=words)

    @require_post
    def lock_view(self, request: HttpRequest, object_id: str, product: str) -> HttpResponse:
        organization, product = self.organization(object_id), _product(product)
        form = LockForm(request.POST, product=product)

        def run(actor: Actor, data: dict[str, Any]) -> None:
            locks.place_lock(organization=organization, product=product, actor=actor, source=SOURCE, **data)

        words = ActWords(
            title=_("Lock training off for %(organization)s?") % {"organization": organization},
            submit=_("Lock training off"),
            lines=[_("Nobody can opt in until the lock is lifted. The organization sees the reason.")],
            saved=_("Locked: training is off."),
        )
        return self.confirmed(request, organization, f"lock-{product}", form, run=run, words=words)

    @require_post
    def lift_view(self, request: HttpRequest, object_id: str, product: str) -> HttpResponse:
        organization, product = self.organization(object_id), _product(product)
        form = LiftForm(request.POST, product=product)

        def run(actor: Actor, data: dict[str, Any]) -> None:
            locks.lift_lock(organization=organization, product=product, actor=actor, source=SOURCE, **data)

        words = ActWords(
            title=_("Lift the lock of %(organization)s?") % {"organization": organization},
            submit=_("Lift the lock"),
            lines=[_("Its owners and admins can opt in again.")],
            saved=_("The lock is lifted."),
        )
        return self.confirmed(request, organization, f"lift-{product}", form, run=run, words=words)

    @require_post
    def close_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        organization = self.organization(object_id)
        words = ActWords(
            title=_("Close the account of %(organization)s?") % {"organization": organization},
            submit=_("Close the account"),
            lines=[
                _("Until it is reopened nobody can join, opt in or subscribe."),
                _("Nothing is deleted, and what was chosen stays."),
            ],
            saved=_("The account is closed."),
        )
        return self._set_status(request, organization, organizations.close_organization, words)

    @require_post
    def reopen_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        organization = self.organization(object_id)
        words = ActWords(
            title=_("Reopen the account of %(organization)s?") % {"organization": organization},
            submit=_("Reopen the account"),
            saved=_("The account is open again."),
        )
        return self._set_status(request, organization, organizations.reopen_organization, words)

    def _set_status(
        self, request: HttpRequest, organization: Organization, service: Callable[..., Any], words: ActWords
    ) -> HttpResponse:
        form = StatusForm(request.POST, auto_id="status-%s")

        def run(actor: Actor, data: dict[str, Any]) -> None:
            service(organization=organization, actor=actor, source=SOURCE, **data)

        return self.confirmed(request, organization, "status", form, run=run, words=words)


def _product(product: str) -> str:
    if product not in Product.values or not any(s.product == product for s in ORGANIZATION_SURFACES):
        raise Http404
    return product
