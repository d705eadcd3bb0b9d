"""The operators' search: the box at the head of every page, and the page of what it finds."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..presentation import finding
from ..projections import runner
from .base import actor_of

# More events than these behind, the worker has not read the names yet that an upgrade or an import brought.
_BEHIND = 5_000
_SUGGESTED = 6


def search(site: admin.AdminSite, request: HttpRequest) -> HttpResponse:
    """`q` is what is looked for. To htmx, which asks while somebody types, the first few as links."""
    asked = request.GET.get("q", "")
    if getattr(request, "htmx", False):
        found = finding.find(asked, actor_of(request), _SUGGESTED)
        return TemplateResponse(request, "admin/search_suggestions.html", {"found": found})
    context = {
        **site.each_context(request),
        "title": _("Search"),
        "found": finding.find(asked, actor_of(request)),
        "behind": runner.lag("words") > _BEHIND,
    }
    request.current_app = site.name
    return TemplateResponse(request, "admin/search.html", context)
