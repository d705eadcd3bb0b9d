"""E-mails to an organization's owners whenever its data begins to be used for training, whoever caused it."""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db.models import Min
from django.utils import formats
from django.utils.translation import gettext as _

from accounts.access import Actor, ActorType
from accounts.catalogue import Product
from accounts.models import Member, MemberRole, Organization, OrganizationKind, Subscription

from ..models import ConsentEvent, EventKind
from ..notices.catalogue import Notice
from ..notices.sending import Letter, send_all
from ..presentation import actors
from ..surfaces import WITH_MEMBERS

# Kinds of events that can loosen: after them data may be used that was not used before.
_KINDS = frozenset(
    {
        EventKind.CHOICE_OPTED_IN,
        EventKind.CHOICE_RESTORED,
        EventKind.LOCK_LIFTED,
        EventKind.ORGANIZATION_REOPENED,
        EventKind.PLAN_CHANGED,
        EventKind.PLAN_DEFAULT_CHANGED,
        EventKind.SUBSCRIPTION_STARTED,
    }
)
# The recipient is not an operator, so the e-mail does not name the provider's people.
_READER = Actor(ActorType.USER, "")


def loosened(event: ConsentEvent) -> bool:
    """Whether this event loosened its layer: `since` is then the event's own instant (R6)."""
    return event.allowed and event.since == event.recorded_at and EventKind(event.kind) in _KINDS


def notify_owners(events: Sequence[ConsentEvent]) -> None:
    """Put one message for each event and owner into the outbox, in the current transaction."""
    found = _in_use(_without_first([event for event in events if loosened(event)]))
    if not found:
        return
    ids: set[Any] = {event.organization_id for event in found}
    names: dict[Any, str] = dict(Organization.objects.filter(pk__in=ids).values_list("pk", "name"))
    owners: dict[Any, list[str]] = defaultdict(list)
    rows = Member.objects.active().filter(organization_id__in=ids, role=MemberRole.OWNER, user__is_active=True)
    for organization_id, email in rows.order_by("pk").values_list("organization_id", "user__email"):
        owners[organization_id].append(email)
    who = actors.labels(found, _READER)
    letters = []
    for event in found:
        words = {
            "organization": names[event.organization_id],
            "product": Product(event.product or "").label,
            "who": who[event.pk],
            "at": formats.date_format(event.recorded_at, "DATETIME_FORMAT"),
            "reason": event.reason,
        }
        subject = _("%(organization)s: data is used for training from now on") % words
        letters.append(Letter(owners[event.organization_id], subject, words))
    send_all(Notice.LOOSENED, letters)


def _in_use(events: list[ConsentEvent]) -> list[ConsentEvent]:
    """The events after which the organization's data is used; in a personal one both layers have to allow it (R17)."""
    ids = {event.organization_id for event in events}
    people = Member.objects.filter(organization__in=ids, organization__kind=OrganizationKind.PERSONAL)
    owners = dict(people.values_list("organization_id", "pk"))
    return [e for e in events if _decided(e, owners.get(e.organization_id) if e.organization_id else None)]


def _decided(event: ConsentEvent, owner: uuid.UUID | None) -> bool:
    """Whether this event, and not another one of the same action, made the data used.

    `owner` is the member of a personal organization, None for a team. A team member's choice never counts: nobody is
    told of it (R4).
    """
    layers = ConsentEvent.objects.filter(product=event.product)
    if event.member_id is None:
        if owner is None or event.product not in WITH_MEMBERS:
            return True
        own = layers.filter(member=owner).as_of(event.recorded_at)
        return own is None or own.allowed
    if event.member_id != owner:
        return False
    # If the organization's layer was loosened at the same instant, its own event is the one to tell of.
    above = layers.filter(organization=event.organization_id, member=None).as_of(event.recorded_at)
    return above is not None and above.allowed and above.since != event.recorded_at


def _without_first(events: list[ConsentEvent]) -> list[ConsentEvent]:
    """The events without first subscriptions, which start an account; one after a gap is a change, and stays."""
    started: set[Any] = {event.organization_id for event in events if event.kind == EventKind.SUBSCRIPTION_STARTED}
    ended = Subscription.objects.filter(organization_id__in=started, ended_at__isnull=False)
    rows = ended.values_list("organization_id", "product").annotate(Min("ended_at")) if started else []
    gap = {(organization, product): at for organization, product, at in rows}

    def is_first(event: ConsentEvent) -> bool:
        at = gap.get((event.organization_id, event.product))
        return event.kind == EventKind.SUBSCRIPTION_STARTED and (at is None or at > event.recorded_at)

    return [event for event in events if not is_first(event)]
