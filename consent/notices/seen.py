"""Which acts of the provider a person has seen on their organization's pages."""

from django.db import transaction
from django.db.models import QuerySet

from accounts.access import ROLE_PERMISSIONS, Actor, ActorType, NotFound, Permission
from accounts.models import Member, Organization

from ..models import ActsSeen, ProviderAct

_READERS = [role for role, held in ROLE_PERMISSIONS.items() if Permission.HISTORY_VIEW in held]


def unseen_acts(actor: Actor, organization: Organization) -> QuerySet[ProviderAct]:
    """The acts that the person has not seen, the newest first; none for who has no role here that reads the history."""
    member = _reader(actor, organization)
    if member is None:
        return ProviderAct.objects.none()
    seen = ActsSeen.objects.filter(member=member).values_list("position", flat=True).first() or 0
    found = ProviderAct.objects.filter(organization=organization, position__gt=seen)
    # What was done before somebody joined is history to them, not news.
    return found.filter(event__recorded_at__gt=member.joined_at).select_related("event").order_by("-position")


@transaction.atomic
def mark_seen(actor: Actor, organization: Organization, position: int) -> None:
    """Keep that the person has seen the acts up to here; never moves back. Raises NotFound if nothing is shown them."""
    member = _reader(actor, organization)
    if member is None:
        raise NotFound("member")
    acts = ProviderAct.objects.filter(organization=organization).order_by("-position")
    newest = acts.values_list("position", flat=True).first() or 0
    seen, _made = ActsSeen.objects.select_for_update().get_or_create(member=member)
    seen.position = max(seen.position, min(position, newest))
    seen.save(update_fields=["position"])


def _reader(actor: Actor, organization: Organization) -> Member | None:
    if actor.type != ActorType.USER or actor.user is None:
        return None
    own = Member.objects.active().filter(organization=organization, user=actor.user, role__in=_READERS)
    return own.first()
