"""The Admin Console: an organization's overview, and the pages of its two settings."""

import dataclasses
import functools

from django.conf import settings as conf
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import Actor, Permission
from accounts.models import Organization

from ..presentation import asked, privacy_settings
from ..presentation.cards import Card, Place, card_at, card_of
from ..presentation.histories import rows_of
from ..surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, Surface
from .history import events_of
from .pages import organization_page, page
from .saving import save
from .way import way_url

_PAGES = {LE_CHAT_CONSOLE.key: "le-chat", AI_STUDIO_CONSOLE.key: "privacy"}
_LAST_CHANGES = 5


def place_of(organization: Organization, surface: Surface) -> Place:
    url = reverse(f"console:{_PAGES[surface.key]}", args=[organization.pk])
    way = functools.partial(way_url, organization)
    return Place(surface=surface, organization=organization, url=url, page_url=url, way_url=way)


@dataclasses.dataclass(frozen=True)
class OverviewRow:
    product: str
    plan: str
    url: str
    card: Card


@require_safe
@organization_page(Permission.CONSENT_VIEW)
def overview(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    rows, settings = [], privacy_settings.organization_settings(organization, actor)
    for setting in settings:
        place = place_of(organization, setting.surface)
        plan = setting.plan.name if setting.plan else _("No subscription")
        rows.append(OverviewRow(str(setting.surface.product.label), plan, place.url, card_of(place, actor, setting)))
    changes = events_of(actor, organization).without_access().order_by("-pk")[:_LAST_CHANGES]
    told = asked.summary(organization, settings, actor)
    context = {
        "rows": rows,
        "changes": rows_of(list(changes), actor, ways=True),
        "counted": conf.COUNT_QUESTIONS,
        "asked": told,
        "askers": asked.named(told.counts, organization, actor),
    }
    return page(request, actor, "console/overview.html", context, organization=organization)


def _setting_page(request: HttpRequest, actor: Actor, organization: Organization, surface: Surface) -> HttpResponse:
    place = place_of(organization, surface)

    def whole_page(status: int = 200) -> HttpResponse:
        card = card_at(place, actor)
        context = {
            "card": card,
            "plan": card.plan,
            "product": surface.product.value,
            "crumb": surface.path[0] if len(surface.path) > 2 else "",
            "heading": place.title,
            "section": surface.path[-1],
            "printed_at": timezone.now(),
        }
        return page(request, actor, "console/setting_page.html", context, organization=organization, status=status)

    return save(request, actor, place, whole_page) if request.method == "POST" else whole_page()


@require_http_methods(["GET", "HEAD", "POST"])
@organization_page(Permission.CONSENT_VIEW)
def le_chat(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    return _setting_page(request, actor, organization, LE_CHAT_CONSOLE)


@require_http_methods(["GET", "HEAD", "POST"])
@organization_page(Permission.CONSENT_VIEW)
def privacy(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    return _setting_page(request, actor, organization, AI_STUDIO_CONSOLE)
