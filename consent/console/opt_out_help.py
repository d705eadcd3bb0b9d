"""Can I opt out? The help article made live: the plans as they are, where the reader stands, links to the toggles."""

import dataclasses
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.access import Actor
from accounts.catalogue import Product, TrainingDefault
from accounts.models import Member, Organization, Plan

from ..log import keys as log_keys
from ..navigation import CONSOLE_ROLES
from ..presentation import privacy_settings
from ..presentation.cards import Card, card_of
from ..surfaces import LE_CHAT_MOBILE, SURFACES, WITH_MEMBERS, Scope, Surface
from . import data_controls, organization
from .pages import page, person_page

# Of how many of the reader's memberships the page shows the state; it links to the lists of all.
_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Topic:
    """What the article tells of a product: its plans by their default, and the places where one opts out."""

    label: str | Promise
    opted_in: list[Plan]
    opted_out: list[Plan]
    places: list[tuple[str, Surface]]
    with_members: bool

    @property
    def names_in(self) -> str:
        return ", ".join(plan.name for plan in self.opted_in)

    @property
    def names_out(self) -> str:
        return ", ".join(plan.name for plan in self.opted_out)


@dataclasses.dataclass(frozen=True)
class Toggle:
    """A setting that concerns the reader, as its card shows it, and where it is."""

    card: Card
    path: str
    url: str

    @property
    def plan(self) -> str | Promise:
        return self.card.plan or _("No subscription")


@dataclasses.dataclass(frozen=True)
class Standing:
    """An organization that the reader belongs to or has left, with the settings that they see there."""

    organization: Organization
    toggles: list[Toggle]
    # Products on whose data the organization decides for this member, who has no choice and no console there.
    decided_for: list[str]


@require_safe
def opt_out(request: HttpRequest) -> HttpResponse:
    """For everybody: who is not signed in reads the article alone."""
    if not request.user.is_authenticated:
        return render(request, "help/opt_out_alone.html", _article())
    return _own(request)


@person_page
def _own(request: HttpRequest, actor: Actor) -> HttpResponse:
    found = list(
        Member.objects.of_person(actor).select_related("organization", "user").order_by("status", "-pk")[: _SHOWN + 1]
    )
    alone = bool(found) and all(member.organization.kind == Organization.Kind.PERSONAL for member in found)
    standings = _standings(found[:_SHOWN], actor)
    context = {**_article(), "standings": standings, "more": len(found) > _SHOWN, "alone": alone}
    return page(request, actor, "help/opt_out.html", context)


def _article() -> dict[str, Any]:
    """What the article tells of plans and places; nothing in it depends on the reader."""
    plans = list(Plan.objects.all())
    return {"topics": [_topic(product, plans) for product in Product], "receipts": log_keys.is_on()}


def _topic(product: Product, plans: list[Plan]) -> Topic:
    of_product = [plan for plan in plans if plan.product == product]
    return Topic(
        label=product.label,
        opted_in=[plan for plan in of_product if plan.training_default == TrainingDefault.OPTED_IN],
        opted_out=[plan for plan in of_product if plan.training_default != TrainingDefault.OPTED_IN],
        places=[(path_of(surface), surface) for surface in SURFACES.values() if surface.product == product],
        with_members=product in WITH_MEMBERS,
    )


def path_of(surface: Surface) -> str:
    """Where the surface is on the screen, from the outermost menu to the section."""
    outermost = [_("Admin Console")] if surface.scope is Scope.ORGANIZATION else []
    return " › ".join(str(part) for part in (*outermost, *surface.path))


def _standings(own: list[Member], actor: Actor) -> list[Standing]:
    """A fixed number of queries, whatever the number of memberships."""
    consoles = [member.organization for member in own if not member.has_left and member.role in CONSOLE_ROLES]
    of_organizations = privacy_settings.settings_of(consoles, actor)
    of_members = privacy_settings.member_settings(own, LE_CHAT_MOBILE, actor)
    found = []
    for member, setting in zip(own, of_members, strict=True):
        whole = of_organizations.get(member.organization_id, [])
        places = [(organization.place_of(member.organization, each.surface), each) for each in whole]
        places.append((data_controls.place_of(member), setting))
        toggles = [
            Toggle(card_of(place, actor, each), path_of(place.surface), f"{place.page_url}#{place.html_id}")
            for place, each in places
        ]
        decided = [] if whole or member.has_left else [str(each.label) for each in Product if each not in WITH_MEMBERS]
        found.append(Standing(member.organization, toggles, decided))
    return found
