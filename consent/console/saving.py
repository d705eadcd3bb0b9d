"""Saves a choice from a screen, for every surface, with htmx or without JavaScript."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.access import Actor, Forbidden, Permission
from config import request_id

from ..errors import Invalid, Refused, ServiceError
from ..models import Source
from ..presentation.cards import Card, Place, card_at
from ..rules import Choice
from ..services import choices
from ..surfaces import Scope
from ..wordings import stated
from .forms import ChoiceForm
from .pages import page

WholePage = Callable[[int], HttpResponse]


def save(request: HttpRequest, actor: Actor, place: Place, whole_page: WholePage) -> HttpResponse:
    """Answer the POST of a setting's form; `whole_page(status)` renders its page for an error without htmx."""
    form = ChoiceForm(request.POST)
    if not form.is_valid():
        return _refuse(request, actor, place, whole_page, Invalid("invalid", _("The form is not complete.")))
    sent = form.cleaned_data
    if sent["choice"] == Choice.OPTED_IN and not sent["confirmed"]:
        return _ask(request, actor, place, whole_page, sent["version"])
    try:
        choices.choose(
            surface=place.surface,
            organization=place.organization,
            member=place.member,
            choice=sent["choice"],
            actor=actor,
            source=Source.DATA_CONTROLS if place.surface.scope is Scope.MEMBER else Source.CONSOLE,
            reason=sent["reason"],
            expected_version=sent["version"],
            shown=stated(sent["shown"]),
        )
    except Invalid as error:
        # Without htmx the dialog was a page of its own: show it again, with the error about the reason.
        if error.field == "reason" and not request.htmx:  # type: ignore[attr-defined]
            return _ask(request, actor, place, whole_page, sent["version"], reason=sent["reason"], error=error)
        return _refuse(request, actor, place, whole_page, error)
    except ServiceError as error:
        return _refuse(request, actor, place, whole_page, error)
    return _saved(request, actor, place)


def _ask(
    request: HttpRequest,
    actor: Actor,
    place: Place,
    whole_page: WholePage,
    version: int | None,
    *,
    reason: str = "",
    error: Invalid | None = None,
) -> HttpResponse:
    """The opt-in dialog as a page. It keeps the version that the person saw, so that a change in between is noticed."""
    card = card_at(place, actor, version=version)
    if card.checked:
        return _saved(request, actor, place)
    # Whoever may choose at all may opt out, so this stands for the permission.
    if not card.setting.can_opt_out:
        raise Forbidden(Permission.CONSENT_CHOOSE)
    if card.disabled:
        return _refuse(request, actor, place, whole_page, Refused("not_possible", card.sentence))
    context = {"card": card, "back": place.page_url, "reason": reason, "reason_error": error, "heading": place.title}
    organization = None if place.member else place.organization
    status = 400 if error else 200
    return page(request, actor, "console/confirm.html", context, organization=organization, status=status)


def _saved(request: HttpRequest, actor: Actor, place: Place) -> HttpResponse:
    card = card_at(place, actor)
    messages.success(request, card.saved)
    if request.htmx:  # type: ignore[attr-defined]
        return _swap(request, card, 200)
    return redirect(f"{place.page_url}#{place.html_id}")


def _refuse(
    request: HttpRequest, actor: Actor, place: Place, whole_page: WholePage, error: ServiceError
) -> HttpResponse:
    """Say that nothing was saved, why, and what is in effect; with the request's id for support."""
    card = card_at(place, actor)
    reference = _("Reference %(id)s.") % {"id": request_id.current()}
    messages.error(request, f"{card.not_saved} {error.detail} {reference}")
    status = error.http_status
    return _swap(request, card, status) if request.htmx else whole_page(status)  # type: ignore[attr-defined]


def _swap(request: HttpRequest, card: Card, status: int) -> HttpResponse:
    response = render(request, "console/setting_swap.html", {"card": card}, status=status)
    # Lets the page's script swap this answer in, whatever its status: it contains the setting.
    response.headers["X-Setting"] = card.html_id
    return response
