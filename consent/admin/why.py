"""The page "Why?": one question, its decision, and the layers that led to it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import decisions
from ..decisions import Answer
from ..lookups import Question
from ..models import ReasonCode
from .base import actor_of
from .forms import WhyForm


def why(site: admin.AdminSite, request: HttpRequest) -> HttpResponse:
    """A GET with the question in its query, so that the URL can be shared; 400 if the question is incomplete."""
    # A link from an organization's page only fills in the organization: that is not yet a question.
    asked = "product" in request.GET or any(n in request.GET for n in WhyForm.base_fields if n != "organization")
    form = WhyForm(request.GET) if asked else WhyForm(initial=request.GET.dict())
    answer = decisions.decide(_question(form.cleaned_data), actor_of(request)) if form.is_valid() else None
    context = {
        **site.each_context(request),
        "title": _("Why?"),
        "subtitle": None,
        "form": form,
        "answer": answer,
        "layers": _layers(answer) if answer else [],
    }
    request.current_app = site.name
    return TemplateResponse(request, "admin/why.html", context, status=400 if asked and not answer else 200)


def _question(data: dict[str, Any]) -> Question:
    optional = {name: data[name] or None for name in ("member", "data_kind", "collected_at", "at")}
    return Question(data["organization"], data["product"], **optional)


def _layers(answer: Answer) -> list[dict[str, Any]]:
    names = {"organization": _("Organization"), "member": _("Member"), "external_id": _("External id")}
    reasons = dict(ReasonCode.choices)
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
