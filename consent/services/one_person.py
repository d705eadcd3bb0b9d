"""The two layers of a personal organization, for products with a surface for members: one person, one choice (R17).

The person's choice is written to both. Others (operators, jobs, the organization's API key) write only one layer. Locks
are taken in this order: organization, its setting, member, the member's setting.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator

from accounts.access import ActorType
from accounts.models import Member, Organization

from .. import ledger
from ..models import ConsentEvent, PrivacySetting
from ..rules import Choice
from ..surfaces import MEMBER_SURFACES, WITH_MEMBERS
from . import layers

_APPS = frozenset(source for surface in MEMBER_SURFACES for source in surface.sources)
_COUNTED_FROM = 500_000_000  # more than any setting changes; nine digits, as an ETag has at most


@dataclasses.dataclass
class Layers:
    """The settings of both layers, locked."""

    organization: Organization
    of_organization: PrivacySetting
    of_member: PrivacySetting

    def __iter__(self) -> Iterator[PrivacySetting]:
        return iter((self.of_organization, self.of_member))

    @property
    def version(self) -> int:
        return version_of(self)

    def clock(self) -> dt.datetime:
        """An instant for events in both layers, later than their last changes."""
        return ledger.clock(self.organization.created_at, *(setting.changed_at for setting in self))


def version_of(settings: Iterable[PrivacySetting]) -> int:
    """A version of both layers together, which grows with every change of either: the person saw both.

    It can't equal the version of a team's setting, so a version seen before the organization became personal is stale.
    """
    return _COUNTED_FROM + sum(setting.version for setting in settings)


def lock(organization: Organization, product: str) -> Member | None:
    """Lock a personal organization, and return its one person; None for teams, and products without members' choices.

    An organization that ever had a second member can't become personal, so it is not locked here: a choice of one
    member must not block a big team.
    """
    if organization.had_others or product not in WITH_MEMBERS:
        return None
    organization = layers.lock_organization(organization)
    if organization.kind != Organization.Kind.PERSONAL:
        return None
    member: Member | None = organization.members.select_related("organization", "user").first()
    return member


def lock_layers(owner: Member, product: str) -> Layers:
    """Lock the settings of both layers; the caller must have locked the organization."""
    of_organization = layers.lock_setting(owner.organization, product)
    return Layers(owner.organization, of_organization, layers.lock_member_setting(layers.lock_member(owner), product))


def speaks(owner: Member, origin: ledger.Origin) -> bool:
    """Whether the actor is the owner in person: signed in, and not acting for the provider."""
    return not origin.by_operator and origin.actor.is_user(owner.user_id)


def is_own_word(event: ConsentEvent | None, owner: Member) -> bool:
    """Whether the event is the owner's own choice: signed in here, or passed on by the backend of a mobile app."""
    if event is None or event.by_operator:
        return False
    in_app = event.actor_type == ActorType.API_KEY and event.source in _APPS
    return in_app or (event.actor_type == ActorType.USER and event.actor_id == str(owner.user_id))


def said(setting: PrivacySetting, choice: str, owner: Member) -> bool:
    """Whether the owner has made this choice in this layer already."""
    return setting.choice == choice and is_own_word(setting.choice_event, owner)


def is_out(owner: Member, of_organization: PrivacySetting) -> bool:
    """Whether the owner is opted out: in their own layer by anybody, or in the organization's layer by themselves."""
    own = PrivacySetting.objects.of_members().filter(member=owner, product=of_organization.product).first()
    # In the organization's layer an opt-out by others (operators, jobs, its API key) is not the person's own.
    return (own is not None and own.choice == Choice.OPTED_OUT) or said(of_organization, Choice.OPTED_OUT, owner)


def lock_opted_out(organization: Organization) -> list[Layers]:
    """For a locked team with a single person: the locked layers of each product where at least one is opted out."""
    owner = organization.members.select_related("organization", "user").get()
    out = PrivacySetting.objects.filter(organization=organization, choice=Choice.OPTED_OUT, product__in=WITH_MEMBERS)
    products = set(out.values_list("product", flat=True))
    return [lock_layers(owner, product) for product in sorted(products)]
