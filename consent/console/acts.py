"""The note on an organization's pages about what the provider did, until each person has seen it."""

import dataclasses
from typing import Any

from django.db import transaction

from accounts.access import ROLE_PERMISSIONS, Actor, ActorType, NotFound, Permission
from accounts.models import Member, Organization

from ..models import ActsSeen, ProviderAct
from ..presentation.histories import Row, rows_of

SHOWN = 3
_READERS = [role for role, held in ROLE_PERMISSIONS.items() if Permission.HISTORY_VIEW in held]


@dataclasses.dataclass(frozen=True)
class Unseen:
    """The newest acts that a person has not seen, whether there are more, and the position of the newest."""

    rows: list[Row]
    more: bool
    position: int


def unseen(actor: Actor, organization: Organization) -> Unseen | None:
    """None for people without a role here that may read the history, and when they have seen everything."""
    member = _reader(actor, organization)
    if member is None:
        return None
    seen = ActsSeen.objects.filter(member=member).values_list("position", flat=True).first() or 0
    found = ProviderAct.objects.filter(organization=organization, position__gt=seen)
    # What was done before somebody joined is history to them, not news.
    news = found.filter(event__recorded_at__gt=member.joined_at).select_related("event")
    acts = list(news.order_by("-position")[: SHOWN + 1])
    if not acts:
        return None
    rows = rows_of([act.event for act in acts[:SHOWN]], actor)
    return Unseen(rows, more=len(acts) > SHOWN, position=acts[0].position)


@transaction.atomic
def mark_seen(actor: Actor, organization: Organization, position: int) -> None:
    """Keep that the person has seen the acts up to here; never moves back. Raises NotFound if nothing is shown them."""
    member = _reader(actor, organization)
    newest = ProviderAct.objects.filter(organization=organization).values_list("position", flat=True).first() or 0
    if member is None:
        raise NotFound("member")
    seen, _made = ActsSeen.objects.select_for_update().get_or_create(member=member)
    seen.position = max(seen.position, min(position, newest))
    seen.save(update_fields=["position"])


def _reader(actor: Actor, organization: Organization) -> Any:
    if actor.type != ActorType.USER or actor.user is None:
        return None
    own = Member.objects.active().filter(organization=organization, user=actor.user, role__in=_READERS)
    return own.first()
