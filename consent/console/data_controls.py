"""Data & Account Controls: a person's own choice for each organization that they belong to or have left."""

import dataclasses
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Actor, NotFound
from accounts.fields import parse_id
from accounts.models import Member

from ..models import ConsentEvent, Source
from ..presentation import privacy_settings
from ..presentation.cards import Card, Place, card_of, receipt
from ..presentation.honoured import ways_of_choices
from ..services import choices
from ..services.exports import Export, note_export
from ..surfaces import LE_CHAT_MOBILE, Shown
from ..wordings import stated
from .pages import page, person_page
from .saving import save
from .way import own_way_url


@dataclasses.dataclass(frozen=True)
class Membership:
    title: str
    badge: str
    card: Card


def place_of(member: Member) -> Place:
    return Place(
        surface=LE_CHAT_MOBILE,
        organization=member.organization,
        member=member,
        url=reverse("console:data-sharing", args=[member.pk]),
        page_url=reverse("console:data-controls"),
        way_url=own_way_url,
        why_url=reverse("console:own-why", args=[member.pk]),
    )


def _own_memberships(actor: Actor) -> list[Member]:
    return list(Member.objects.of_person(actor).select_related("organization", "user").order_by("status", "-pk"))


def _memberships(actor: Actor) -> list[Membership]:
    """A card for each membership; a fixed number of queries."""
    own = _own_memberships(actor)
    found = []
    settings = privacy_settings.member_settings(own, LE_CHAT_MOBILE, actor)
    ways = ways_of_choices(settings)
    for member, setting in zip(own, settings, strict=True):
        card = card_of(place_of(member), actor, setting, way=ways.get(setting.event or ""))
        found.append(Membership(member.organization.name, _("Left") if member.has_left else card.plan, card))
    return found


def _page(request: HttpRequest, actor: Actor, status: int = 200) -> HttpResponse:
    cards = _memberships(actor)
    alone = all(each.card.setting.personal for each in cards)
    return page(request, actor, "console/data_controls.html", {"cards": cards, "alone": alone}, status=status)


@require_safe
@person_page
def data_controls(request: HttpRequest, actor: Actor) -> HttpResponse:
    return _page(request, actor)


@require_POST
@person_page
def data_sharing(request: HttpRequest, actor: Actor, member: str) -> HttpResponse:
    """Save the choice for one of the person's own memberships. Others are a 404, for operators too."""
    pk = parse_id(member)
    own = next((each for each in _own_memberships(actor) if each.pk == pk), None)
    if own is None:
        raise NotFound("member")
    return save(request, actor, place_of(own), lambda status: _page(request, actor, status))


@require_safe
@person_page
def download(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Download every choice that the person ever made, and what is in effect now, as JSON."""
    if request.method == "GET":
        # Noted without an organization: that somebody downloads their choices is as private as the choices (R4).
        note_export(
            Export.OWN_CHOICES, organization=None, actor=actor, source=Source.DATA_CONTROLS, target=request.user.pk
        )
    own = _own_memberships(actor)
    settings = privacy_settings.member_settings(own, LE_CHAT_MOBILE, actor)
    found = [_mine(member, setting) for member, setting in zip(own, settings, strict=True)]
    body = {"person": request.user.get_username(), "made_at": timezone.now().isoformat(), "memberships": found}
    response = JsonResponse(body, json_dumps_params={"ensure_ascii": False, "indent": 2})
    response["Content-Disposition"] = 'attachment; filename="my-choices.json"'
    return response


def _mine(member: Member, setting: privacy_settings.SettingView) -> dict[str, Any]:
    chosen = ConsentEvent.objects.filter(member=member, surface=LE_CHAT_MOBILE.key).order_by("pk")
    return {
        "organization": member.organization.name,
        "status": member.status,
        "joined_at": member.joined_at.isoformat(),
        "left_at": member.left_at.isoformat() if member.left_at else None,
        "used_for_training": setting.is_in,
        "in_words": setting.sentence,
        "choices": [
            {
                "number": event.pk,
                "at": event.recorded_at.isoformat(),
                "chosen": event.after,
                "where": event.source,
                **{name: getattr(event, name) or None for name in Shown._fields},
            }
            for event in chosen
        ],
    }


def _opted_out_text(own: list[Member]) -> str:
    """The message after opting out everywhere; it names the data on which a team decides instead of its members."""
    teams = privacy_settings.decided_by_teams(own)
    if not teams:
        return _("Saved. From now on none of your data is used for training.")
    text = _("%(organization)s decides about its %(product)s data.")
    decided = [text % {"product": product, "organization": team} for product, team in teams]
    return " ".join([_("Saved. From now on none of your Le Chat data is used for training."), *decided])


def _receipt(membership: Membership) -> dict[str, str]:
    return {"organization": membership.title, "receipt": receipt(membership.card.setting)}


@require_POST
@person_page
def opt_out_everywhere(request: HttpRequest, actor: Actor) -> HttpResponse:
    shown = stated(request.POST.get("shown", ""))
    choices.opt_out_everywhere(actor=actor, source=Source.DATA_CONTROLS, shown=shown)
    cards = _memberships(actor)
    receipts = [_("%(organization)s: %(receipt)s") % _receipt(each) for each in cards]
    messages.success(request, " ".join([_opted_out_text(_own_memberships(actor)), *receipts]))
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "console/data_controls_swap.html", {"cards": cards})
    return redirect("console:data-controls")
