"""An e-mail to an organization's owners whenever its data came to be used for training, whoever did it."""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import Min
from django.template.loader import render_to_string
from django.utils import formats
from django.utils.translation import gettext as _

from accounts.access import Actor, ActorType
from accounts.catalogue import Product
from accounts.models import Member, MemberRole, Organization, OrganizationKind, Subscription

from ..models import ConsentEvent, EventKind
from ..presentation import actors
from ..surfaces import WITH_MEMBERS

# By which use can begin after it had not been so.
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
# Who reads an e-mail is none of the provider's people: those have no names there.
_READER = Actor(ActorType.USER, "")


def loosened(event: ConsentEvent) -> bool:
    """Whether a layer came to allow by this very event: `since` says so (R6)."""
    return event.allowed and event.since == event.recorded_at and EventKind(event.kind) in _KINDS


def notify_owners(events: Sequence[ConsentEvent]) -> None:
    """One message per event and owner, in the outbox, in this transaction."""
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
    for event in found:
        words = {
            "organization": names[event.organization_id],
            "product": Product(event.product or "").label,
            "who": who[event.pk],
            "at": formats.date_format(event.recorded_at, "DATETIME_FORMAT"),
            "reason": event.reason,
            "provider": settings.PROVIDER_NAME,
        }
        subject = _("%(organization)s: data is used for training from now on") % words
        body = render_to_string("emails/loosened.txt", words)
        for email in owners[event.organization_id]:
            send_mail(subject, body, None, [email])


def _in_use(events: list[ConsentEvent]) -> list[ConsentEvent]:
    """Those by which an organization's data came to be used: a personal one's by what both of its layers say (R17)."""
    ids = {event.organization_id for event in events}
    people = Member.objects.filter(organization__in=ids, organization__kind=OrganizationKind.PERSONAL)
    owners = dict(people.values_list("organization_id", "pk"))
    return [e for e in events if _decided(e, owners.get(e.organization_id) if e.organization_id else None)]


def _decided(event: ConsentEvent, owner: uuid.UUID | None) -> bool:
    """Whether by this event, and not by another of the same act. `owner`: a personal organization's.

    What a member of a team chose is told to nobody (R4).
    """
    layers = ConsentEvent.objects.filter(product=event.product)
    if event.member_id is None:
        if owner is None or event.product not in WITH_MEMBERS:
            return True
        own = layers.filter(member=owner).as_of(event.recorded_at)
        return own is None or own.allowed
    if event.member_id != owner:
        return False
    above = layers.filter(organization=event.organization_id, member=None).as_of(event.recorded_at)
    return above is not None and above.allowed and above.since != event.recorded_at


def _without_first(events: list[ConsentEvent]) -> list[ConsentEvent]:
    """A first subscription is the start of the account, not a change of it; one after a gap is a change."""
    started: set[Any] = {event.organization_id for event in events if event.kind == EventKind.SUBSCRIPTION_STARTED}
    ended = Subscription.objects.filter(organization_id__in=started, ended_at__isnull=False)
    rows = ended.values_list("organization_id", "product").annotate(Min("ended_at")) if started else []
    gap = {(organization, product): at for organization, product, at in rows}

    def is_first(event: ConsentEvent) -> bool:
        at = gap.get((event.organization_id, event.product))
        return event.kind == EventKind.SUBSCRIPTION_STARTED and (at is None or at > event.recorded_at)

    return [event for event in events if not is_first(event)]
