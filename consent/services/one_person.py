"""The two layers of a personal organization for a product with a member's surface: one person's one choice (R17).

What that person says is said in both. Others (operators, jobs, the organization's key) write one layer alone. Locks are
taken in the order organization, its setting, member, its setting.
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
    """Both settings, locked."""

    organization: Organization
    of_organization: PrivacySetting
    of_member: PrivacySetting

    def __iter__(self) -> Iterator[PrivacySetting]:
        return iter((self.of_organization, self.of_member))

    @property
    def version(self) -> int:
        return version_of(self)

    def clock(self) -> dt.datetime:
        """One instant for an event in either layer."""
        return ledger.clock(self.organization.created_at, *(setting.changed_at for setting in self))


def version_of(settings: Iterable[PrivacySetting]) -> int:
    """Grows with every change of either layer: what the person decided on is both.

    No version of a team's setting is one of these: what was seen before the kind changed is not what is there now.
    """
    return _COUNTED_FROM + sum(setting.version for setting in settings)


def lock(organization: Organization, product: str) -> Member | None:
    """The one person of a personal organization, which is locked; None elsewhere, and where members have no say.

    What had others never becomes personal, so that big teams are not locked as a whole for one member's choice.
    """
    if organization.had_others or product not in WITH_MEMBERS:
        return None
    organization = layers.lock_organization(organization)
    if organization.kind != Organization.Kind.PERSONAL:
        return None
    member: Member | None = organization.members.select_related("organization", "user").first()
    return member


def lock_layers(owner: Member, product: str) -> Layers:
    """The caller has locked the organization."""
    of_organization = layers.lock_setting(owner.organization, product)
    return Layers(owner.organization, of_organization, layers.lock_member_setting(layers.lock_member(owner), product))


def speaks(owner: Member, origin: ledger.Origin) -> bool:
    """Whether it is that very person who chooses for the organization: signed in, and not for the provider."""
    return not origin.by_operator and origin.actor.is_user(owner.user_id)


def is_own_word(event: ConsentEvent | None, owner: Member) -> bool:
    """Whether that person said it: signed in here, or in an app, for which only the app's own backend speaks."""
    if event is None or event.by_operator:
        return False
    in_app = event.actor_type == ActorType.API_KEY and event.source in _APPS
    return in_app or (event.actor_type == ActorType.USER and event.actor_id == str(owner.user_id))


def said(setting: PrivacySetting, choice: str, owner: Member) -> bool:
    """Whether the person has said this in this layer already."""
    return setting.choice == choice and is_own_word(setting.choice_event, owner)


def is_out(owner: Member, of_organization: PrivacySetting) -> bool:
    """Whether the person's word is "out": in their own layer whoever wrote it, in the other one if it was them."""
    own = PrivacySetting.objects.of_members().filter(member=owner, product=of_organization.product).first()
    return (own is not None and own.choice == Choice.OPTED_OUT) or said(of_organization, Choice.OPTED_OUT, owner)


def lock_opted_out(organization: Organization) -> list[Layers]:
    """The layers of a team with one person, which is locked, where one at least is opted out."""
    owner = organization.members.select_related("organization", "user").get()
    out = PrivacySetting.objects.filter(organization=organization, choice=Choice.OPTED_OUT, product__in=WITH_MEMBERS)
    products = set(out.values_list("product", flat=True))
    return [lock_layers(owner, product) for product in sorted(products)]
