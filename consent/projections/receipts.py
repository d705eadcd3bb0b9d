"""E-mail about one's own setting: the confirmation of an opt-out, and what the provider did to a member's setting."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.access import ActorType
from accounts.catalogue import Product
from accounts.fields import parse_id
from accounts.models import Member, Organization, OrganizationKind, User

from ..log import keys as log_keys
from ..models import Choice, ConsentEvent, EventKind
from ..notices.catalogue import Notice
from ..notices.sending import Letter, portal_url, send_all
from .turns import Turns

_OPT_OUTS = (EventKind.CHOICE_OPTED_OUT, EventKind.CHOICE_CONFIRMED)


def confirm_opt_outs(events: Sequence[ConsentEvent]) -> None:
    """Mail whoever opted out the date and number of each opt-out; one mail for all that were made in one request."""
    made = [e for e in events if e.kind in _OPT_OUTS and e.choice == Choice.OPTED_OUT and not e.by_operator]
    if not made:
        return
    members = _members_of(made)
    organizations: dict[Any, Organization] = Organization.objects.in_bulk(list({e.organization_id for e in made}))
    acts: dict[tuple[Any, str], list[ConsentEvent]] = defaultdict(list)
    for event in made:
        if (person := _who_opted_out(event, members)) is not None:
            acts[person, event.request_id or str(event.recorded_at)].append(event)
    people = User.objects.filter(is_active=True).in_bulk([person for person, _request in acts])
    letters = []
    for (person, _request), own in acts.items():
        if person in people:
            lines = [_line(event, organizations[event.organization_id]) for event in _one_for_both_layers(own)]
            words = {"lines": lines, "url": portal_url("console:data-controls"), "receipts": log_keys.is_on()}
            letters.append(Letter([people[person].email], _("Your opt-out is saved"), words))
    send_all(Notice.OPT_OUT_SAVED, letters)


def _who_opted_out(event: ConsentEvent, members: dict[Any, Member]) -> Any:
    """The id of the person: who was signed in, or the member for whom the app spoke; None for other API keys."""
    if event.actor_type == ActorType.USER:
        return parse_id(event.actor_id)
    return members[event.member_id].user_id if event.member_id else None


def _one_for_both_layers(events: list[ConsentEvent]) -> list[ConsentEvent]:
    """One person's choice is in two layers (R17): the organization's event is the one whose number they see."""
    above = {(event.organization_id, event.product) for event in events if event.member_id is None}
    return [e for e in events if e.member_id is None or (e.organization_id, e.product) not in above]


def _line(event: ConsentEvent, organization: Organization) -> dict[str, Any]:
    return {
        "organization": organization.name,
        "of_one": event.member_id is not None or organization.kind == OrganizationKind.PERSONAL,
        "personal": organization.kind == OrganizationKind.PERSONAL,
        "product": Product(event.product or "").label,
        "at": event.recorded_at,
        "number": event.pk,
        "way": _way_url(event),
        "receipt": portal_url("console:receipt", event.pk),
    }


def _way_url(event: ConsentEvent) -> str:
    """The page that shows how far the choice has come; of a member's own choice one that nobody else can see (R4)."""
    if event.member_id is not None:
        return portal_url("console:own-way", event.pk)
    return portal_url("console:way", event.organization_id, event.pk)


def tell_members_of_provider(turns: Turns) -> None:
    """Mail a team's member whom the provider has opted out: nobody else is told of it (R4)."""
    ended = turns.ended_for_members
    members = _members_of(ended)
    letters = []
    for event in ended:
        member = members[event.member_id]
        if not member.user.is_active:  # erased, for example
            continue
        words = {
            "organization": member.organization.name,
            "personal": True,
            "product": Product(event.product or "").label,
            "what": EventKind(event.kind).label,
            "at": event.recorded_at,
            "reason": event.reason,
            "url": portal_url("console:data-controls"),
        }
        letters.append(Letter([member.user.email], _("Your data is no longer used for training"), words))
    send_all(Notice.TIGHTENED, letters)


def _members_of(events: Sequence[ConsentEvent]) -> dict[Any, Member]:
    found = Member.objects.filter(pk__in={event.member_id for event in events if event.member_id})
    return {member.pk: member for member in found.select_related("user", "organization")} if events else {}
