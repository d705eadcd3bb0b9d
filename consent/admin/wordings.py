"""Wordings on the operators' site: what was chosen in view of which words, and the words of each."""

import datetime as dt
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..presentation import wording_chart, wording_counts
from ..projections import runner

_ABOVE = {"url_name": "admin:wordings", "label": _("Wordings")}


def _today() -> dt.date:
    return timezone.now().date()  # totals are of days in UTC


def wordings(site: admin.AdminSite, request: HttpRequest) -> HttpResponse:
    """The list, and a chart of each surface."""
    rows = wording_counts.wordings()
    context = {
        "wordings": rows,
        "pictures": wording_chart.pictures(_today(), rows),
        "behind": runner.lag("wordings"),
    }
    return _screen(site, request, "admin/wordings/list.html", context, title=gettext("Wordings"))


def wording(site: admin.AdminSite, request: HttpRequest, surface: str, number: str) -> HttpResponse:
    rows = wording_counts.wordings(surface)
    row = wording_counts.wording_of(rows, surface, number)
    if row is None:
        raise Http404
    context = {
        "row": row,
        "parts": wording_counts.side_by_side(row),
        "changes": wording_counts.changes_of(row),
        "picture": wording_chart.around(row, _today(), rows),
        "behind": runner.lag("wordings"),
        "above": _ABOVE,
    }
    return _screen(site, request, "admin/wordings/page.html", context, title=row.name)


def _screen(
    site: admin.AdminSite, request: HttpRequest, template: str, context: dict[str, Any], *, title: str
) -> HttpResponse:
    request.current_app = site.name
    return TemplateResponse(request, template, {**site.each_context(request), "title": title, **context})
