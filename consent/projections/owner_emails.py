"""E-mails to an organization's owners: its data begins to be used, whoever caused it; the provider ended its use, or
added or changed an owner.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, ActorType
from accounts.catalogue import Product
from accounts.models import Invitation, Member, MemberRole, Organization, OrganizationKind

from ..models import ConsentEvent, EventKind
from ..notices.catalogue import Notice, Words
from ..notices.sending import Letter, portal_url, send_all
from ..presentation import actors
from .turns import Turns

# The recipient is not an operator, so the e-mail does not name the provider's people.
READER = Actor(ActorType.USER, "")
_OWNER = MemberRole.OWNER.value


def notify_owners(events: Sequence[ConsentEvent], turns: Turns) -> None:
    """Put one message for each event and owner into the outbox, in the current transaction."""
    began = turns.began
    ended = turns.ended
    changed = _without_first_owners([event for event in events if event.by_operator and _is_about_an_owner(event)])
    found = [*began, *ended, *changed]
    if not found:
        return
    owners = _owners_of(found)
    organizations: dict[Any, Organization] = Organization.objects.in_bulk(list({e.organization_id for e in found}))
    who = actors.labels(found, READER)

    def letter(event: ConsentEvent, team: Words, person: Words) -> Letter:
        organization = organizations[event.organization_id]
        words = _words(event, organization, who[event.pk])
        return Letter(owners[event.organization_id], person if words["personal"] else team, words)

    begins = (
        _("%(organization)s: data is used for training from now on"),
        _("Your data is used for training from now on"),
    )
    ends = _("%(organization)s: data is no longer used for training"), _("Your data is no longer used for training")
    send_all(Notice.LOOSENED, [letter(event, *begins) for event in began])
    send_all(Notice.TIGHTENED, [letter(event, *ends) for event in ended])
    _tell_of_owners([event for event in changed if not _is_personal(organizations[event.organization_id])], owners)


def _words(event: ConsentEvent, organization: Organization, who: str) -> dict[str, Any]:
    return {
        "organization": organization.name,
        "personal": _is_personal(organization),
        "product": Product(event.product or "").label,
        "what": EventKind(event.kind).label,
        "who": settings.PROVIDER_NAME if event.by_operator else who,
        "at": event.recorded_at,
        "reason": event.reason,
        "url": portal_url("console:history", event.organization_id),
    }


def _is_personal(organization: Organization) -> bool:
    return organization.kind == OrganizationKind.PERSONAL


def _owners_of(events: Iterable[ConsentEvent]) -> dict[Any, list[str]]:
    """Organization id → the addresses of its owners now."""
    ids: set[Any] = {event.organization_id for event in events}
    owners: dict[Any, list[str]] = defaultdict(list)
    rows = Member.objects.active().filter(organization_id__in=ids, role=_OWNER, user__is_active=True)
    for organization_id, email in rows.order_by("pk").values_list("organization_id", "user__email"):
        owners[organization_id].append(email)
    return owners


# --- Owners added or changed by the provider --------------------------------------------------------------------------


def _is_about_an_owner(event: ConsentEvent) -> bool:
    match event.kind:
        case EventKind.MEMBER_JOINED | EventKind.ACCESS_INVITATION_SENT:
            return event.after == _OWNER
        case EventKind.MEMBER_ROLE_CHANGED | EventKind.MEMBER_LEFT:
            return _OWNER in (event.before, event.after)
    return False


def _without_first_owners(events: Sequence[ConsentEvent]) -> list[ConsentEvent]:
    """The events without owners who joined when there was no other: nobody is to be warned of the first one.

    So an import of a million organizations with their owners mails nobody.
    """
    joined = {event.organization_id for event in events if event.kind == EventKind.MEMBER_JOINED}
    rows = Member.objects.filter(organization__in=joined, role=_OWNER) if joined else Member.objects.none()
    owners: dict[Any, list[tuple[Any, Any]]] = defaultdict(list)
    for organization, member, since in rows.values_list("organization_id", "pk", "joined_at"):
        owners[organization].append((member, since))

    def is_first(event: ConsentEvent) -> bool:
        others = (since for member, since in owners[event.organization_id] if member != event.member_id)
        return event.kind == EventKind.MEMBER_JOINED and not any(since < event.recorded_at for since in others)

    return [event for event in events if not is_first(event)]


def _tell_of_owners(events: Sequence[ConsentEvent], owners: dict[Any, list[str]]) -> None:
    """Tell the owners, and whoever it is about, the person who is no owner any more included."""
    found = Member.objects.filter(pk__in=[event.member_id for event in events if event.member_id])
    people = {member.pk: member for member in found.select_related("user", "organization")}
    targets = [event.target for event in events if event.kind == EventKind.ACCESS_INVITATION_SENT]
    invited = {str(each.pk): each for each in Invitation.objects.filter(pk__in=targets).select_related("organization")}
    letters = []
    for event in events:
        about: Any = people.get(event.member_id) if event.member_id else invited.get(event.target)
        if about is None:  # withdrawn since, or used
            continue
        words = {
            "organization": about.organization.name,
            "person": about.user if event.member_id else about.email,
            "what": EventKind(event.kind).label,
            "before": MemberRole(event.before).label if event.before else "",
            "after": MemberRole(event.after).label if event.after else "",
            "at": event.recorded_at,
            "reason": event.reason,
            "url": portal_url("console:members", event.organization_id),
        }
        own = [about.user.email] if event.member_id and about.user.is_active else []
        subject = _("%(organization)s: the provider changed an owner")
        letters.append(Letter([*owners[event.organization_id], *own], subject, words))
    send_all(Notice.OWNERS_CHANGED, letters)
