"""The organization's events in words, newest first, without members' own choices (R4); and as a statement to print."""

import dataclasses
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, Permission
from accounts.models import Organization
from accounts.transactions import snapshot

from ..log import keys as log_keys
from ..models import ConsentEvent, Wording
from ..notices.seen import mark_seen
from ..presentation import privacy_settings
from ..presentation.histories import Row, rows_of
from ..presentation.wordings import Told, told
from ..webhooks import positions
from .forms import HistoryFilter, SeenForm
from .pages import organization_page, page
from .paging import Page, page_of

# A statement is one page to print: with more events than this it says so, and its period can be chosen shorter.
STATEMENT = 1_000


def events_of(actor: Actor, organization: Organization) -> Any:
    return ConsentEvent.objects.visible_to(actor).without_member_choices().filter(organization=organization)


@require_safe
@organization_page(Permission.HISTORY_VIEW)
def history(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    return _history(request, actor, organization)


def _history(request: HttpRequest, actor: Actor, organization: Organization, status: int | None = None) -> HttpResponse:
    form = HistoryFilter(request.GET, label_suffix="")
    valid = form.is_valid()
    filters = form.conditions() if valid else {}
    found = Page(rows=[], has_previous=False, first_url="", next_url="")
    if valid:
        own = reverse("console:history", args=[organization.pk])
        path = "" if request.path == own else own  # the answer to “Seen” may show this list as well
        events = events_of(actor, organization).filter(**filters)
        found = page_of(request, events, form.cleaned_data["after"], path=path)
        found = dataclasses.replace(found, rows=rows_of(found.rows, actor, ways=True))
    context = {
        "form": form,
        "page": found,
        "filtered": bool(filters) or not valid or found.has_previous,
        "query": form_query(request),
        "receipts": log_keys.is_on(),
    }
    status = status or (200 if valid else 400)
    return page(request, actor, "console/history.html", context, organization=organization, status=status)


def form_query(request: HttpRequest) -> str:
    """The page's filters as a query string, for the URLs of the exports."""
    query = request.GET.copy()
    query.pop("after", None)
    return query.urlencode()


@require_safe
@organization_page(Permission.HISTORY_VIEW)
def statement(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    """A dated statement of consent: what is in effect, and all events that match the filters, oldest first."""
    form = HistoryFilter(request.GET)
    if not form.is_valid():
        return _history(request, actor, organization)
    with snapshot():  # what is in effect, and the events that led there, are of one moment
        return page(
            request,
            actor,
            "console/statement.html",
            _stated(request, form, actor, organization),
            organization=organization,
        )


def _stated(request: HttpRequest, form: HistoryFilter, actor: Actor, organization: Organization) -> dict[str, Any]:
    now = timezone.now()
    found = events_of(actor, organization).filter(**form.conditions()).select_related("placed")
    events = list(found.order_by("-pk")[: STATEMENT + 1])
    kept = events[:STATEMENT][::-1]
    rows = rows_of(kept, actor)
    return {
        "settings": privacy_settings.organization_settings(organization, actor),
        "rows": rows,
        "wordings": _wordings(rows),
        "shortened": len(events) > STATEMENT,
        "since": form.cleaned_data["since"] or (kept[0].recorded_at if kept else None),
        "until": form.cleaned_data["until"] or now,
        "filtered": any(form.cleaned_data[name] for name in ("about", "by", "product", "kind")),
        "position": positions.head(organization, actor),
        "unplaced": any(not hasattr(event, "placed") for event in kept),
        "made_at": now,
        "query": form_query(request),
    }


def _wordings(rows: list[Row]) -> list[Told]:
    """The words that these choices name, each once: paper has no links."""
    named = {(row.seen.wording, row.seen.language) for row in rows if row.seen and row.seen.kept}
    found = Wording.objects.filter(wording__in={wording for wording, _language in named}).order_by(
        "wording", "language"
    )
    return [told(each) for each in found if (each.wording, each.language) in named]


@require_POST
@organization_page(Permission.HISTORY_VIEW)
def seen(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    """The person has seen the provider's acts up to a position: the note about them disappears for them."""
    form = SeenForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Not saved: the form is not complete. Choose “Seen” again."))
        return _history(request, actor, organization, status=400)
    mark_seen(actor, organization, form.cleaned_data["position"])
    back = form.cleaned_data["next"]
    if back == request.path or not url_has_allowed_host_and_scheme(
        back, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return redirect("console:history", organization.pk)
    return HttpResponseRedirect(back)  # as it is: `redirect` would look for a view of this name
