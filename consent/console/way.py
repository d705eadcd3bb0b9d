"""The page of a choice that tightened: how far it has come, for an organization's people and for a person's own."""

import re
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.access import Actor, NotFound, Permission
from accounts.models import Organization

from ..log import keys as log_keys
from ..models import ConsentEvent
from ..presentation.histories import Row, rows_of
from ..presentation.honoured import steps_of
from ..presentation.removal_steps import removal_steps
from .history import events_of
from .pages import organization_page, page, person_page

_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def way_url(organization: Organization, number: str) -> str:
    return reverse("console:way", args=[organization.pk, number])


def own_way_url(number: str) -> str:
    return reverse("console:own-way", args=[number])


def _found(among: Sequence[Any], actor: Actor, number: str) -> tuple[ConsentEvent, Row]:
    """The event with this number, which tightened, and its row. Raises NotFound, also for what is not shown to them."""
    pk = int(number) if _NUMBER.fullmatch(number) else 0
    event = next((found for events in among if (found := events.filter(pk=pk).first())), None)
    row = rows_of([event], actor, ways=True)[0] if event is not None else None
    if event is None or row is None or row.way is None:
        raise NotFound("event")
    return event, row


def _page(
    request: HttpRequest, actor: Actor, found: tuple[ConsentEvent, Row], organization: Organization | None
) -> HttpResponse:
    event, row = found
    assert row.way is not None  # noqa: S101  `_found` has looked
    steps = [*steps_of(row.way), *removal_steps(event, row.way.position)]
    context = {"row": row, "way": row.way, "steps": steps, "receipts": log_keys.is_on()}
    return page(request, actor, "console/way.html", context, organization=organization)


@require_safe
def way(request: HttpRequest, org: str, number: str) -> HttpResponse:
    view = organization_page(Permission.HISTORY_VIEW)(
        lambda request, actor, organization: _of_organization(request, actor, organization, number)
    )
    return view(request, org)


def _of_organization(request: HttpRequest, actor: Actor, organization: Organization, number: str) -> HttpResponse:
    """Of what its history shows; and, for the person themselves, of their own choice here."""
    own = ConsentEvent.objects.own_choices_of(actor).filter(organization=organization)
    return _page(request, actor, _found([events_of(actor, organization), own], actor, number), organization)


@require_safe
@person_page
def own_way(request: HttpRequest, actor: Actor, number: str) -> HttpResponse:
    """Of the person's own choices alone, in whichever organization; in a personal one it is the organization's too."""
    return _page(request, actor, _found([ConsentEvent.objects.own_choices_of(actor)], actor, number), None)
