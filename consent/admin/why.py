"""The page "Why?": one question, its decision and the layers that led to it; and what it would be if."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.access import Actor
from accounts.fields import rfc3339
from accounts.models import Organization, Plan

from .. import decisions
from ..decisions import Answer, Supposed
from ..lookups import Question
from ..models import Choice, ConsentEvent, CoolingOff, PrivacySetting, ReasonCode
from ..rules import Reason, State
from .base import actor_of
from .why_forms import SupposeForm, WhyForm, shortly_after


def why(site: admin.AdminSite, request: HttpRequest) -> HttpResponse:
    """A GET with the question in its query, so that the URL can be shared; 400 if the question is incomplete."""
    # A link from an organization's page only fills in the organization: that is not yet a question.
    asked = "product" in request.GET or any(n in request.GET for n in WhyForm.base_fields if n != "organization")
    actor = actor_of(request)
    form = WhyForm(request.GET, actor=actor) if asked else WhyForm(initial=request.GET.dict(), actor=actor)
    question = _question(form.cleaned_data) if form.is_valid() else None
    answer = decisions.decide(question, actor) if question else None
    about = _about(question, actor) if question else {}
    suppose_form, supposed = _supposed(request, question, answer, actor) if question and answer else (None, None)
    context = {
        **site.each_context(request),
        "title": _("Why?"),
        "subtitle": None,
        "form": form,
        "candidates": _choices(request, form),
        "answer": answer,
        "layers": _layers(answer) if answer else [],
        "suppose_form": suppose_form,
        "supposed": supposed and _side_by_side(supposed),
        "kept": [(name, value) for name, value in request.GET.items() if not name.startswith("if_")],
        **about,
    }
    request.current_app = site.name
    bad = (asked and not answer) or (suppose_form is not None and suppose_form.is_bound and not supposed)
    return TemplateResponse(request, "admin/why.html", context, status=400 if bad else 200)


def url_for(event: ConsentEvent) -> str:
    """The question that an event of a layer answers: its subject and product, right after it; '' for other events."""
    if not event.product or event.organization_id is None:
        return ""
    asked = {"organization": str(event.organization_id), "product": event.product}
    if event.member_id:
        asked["member"] = str(event.member_id)
    return f"{reverse('admin:why')}?{urlencode({**asked, 'at': rfc3339(shortly_after(event.recorded_at))})}"


def _question(data: dict[str, Any]) -> Question:
    optional = {name: data[name] or None for name in ("member", "data_kind", "collected_at", "at")}
    return Question(data["organization"], data["product"], **optional)


def _about(question: Question, actor: Actor) -> dict[str, Any]:
    """Whom the question is about, by name: a text may have been an address, or words; and the days of cooling-off."""
    organization = Organization.objects.visible_to(actor).identified_by(question.organization).first()
    member = None
    if organization and question.member:
        member = organization.members.identified_by(question.member).select_related("user").first()
    days = CoolingOff.objects.in_force(question.at).get(question.product, 0)
    return {"organization": organization, "member": member, "question": question, "cooling_off": days}


def _choices(request: HttpRequest, form: WhyForm) -> list[dict[str, Any]]:
    """The candidates as links: the same question, with the id of one."""
    found = []
    for field, every in form.candidates.items():
        for each in every:
            query = request.GET.copy()
            query[field] = str(each.pk)
            if isinstance(each, Organization):
                told = [each.get_kind_display(), each.external_id]
            else:
                told = [each.user.email, each.get_role_display(), each.external_id]
            name = each.name if isinstance(each, Organization) else str(each.user)
            found.append({"name": name, "told": " · ".join(filter(None, told)), "url": f"?{query.urlencode()}"})
    return found


def _layers(answer: Answer) -> list[dict[str, Any]]:
    names = {"organization": _("Organization"), "member": _("Member"), "external_id": _("External id")}
    reasons = {**dict(ReasonCode.choices), Reason.EXTERNAL_ID.value: _("means this since then")}
    return [
        {
            "name": names[layer.layer],
            "allowed": layer.allowed,
            "reason": reasons.get(layer.reason, layer.reason),
            "code": layer.reason,
            "since": layer.since,
            "event": answer.events.get(layer.layer),
        }
        for layer in answer.decision.layers
    ]


# --- What if ----------------------------------------------------------------------------------------------------------


def _supposed(
    request: HttpRequest, question: Question, answer: Answer, actor: Actor
) -> tuple[SupposeForm | None, Supposed | None]:
    """The form and, if something is supposed, the answers; no form where there is nothing to suppose it of."""
    if question.at is not None or answer.decision.reason == Reason.UNKNOWN_ORGANIZATION:
        return None, None
    organization = Organization.objects.visible_to(actor).identified_by(question.organization)
    settings = PrivacySetting.objects.of_organizations().filter(product=question.product)
    held = settings.filter(organization__in=organization.values("pk")).values_list("plan", flat=True).first() or ""
    asked = {name: value for name, value in request.GET.items() if name in SupposeForm.base_fields and value}
    form = SupposeForm(asked or None, product=question.product, held=held)
    if not form.is_valid():
        return form, None
    return form, decisions.suppose(question, actor, form.supposition())


def _side_by_side(supposed: Supposed) -> dict[str, Any]:
    """The two answers, and rows of what they rest on: words, now and then."""
    plans = dict(Plan.objects.values_list("key", "name"))

    def told(state: State, answer: Answer) -> tuple[str, ...]:
        plan = plans.get(state.plan, state.plan) if state.subscribed else _("None")
        return (
            _("Allowed") if answer.decision.allowed else _("Not allowed"),
            answer.detail,
            plan,
            str(dict(Choice.choices).get(state.choice, state.choice)),
            _("Yes") if state.locked else _("No"),
        )

    names = (_("Answer"), _("Why"), _("Plan"), _("Choice"), _("Locked"))
    now, then = told(supposed.state, supposed.now), told(supposed.state_then, supposed.then)
    same = supposed.now.decision.allowed == supposed.then.decision.allowed
    return {"rows": list(zip(names, now, then, strict=True)), "same": same}
