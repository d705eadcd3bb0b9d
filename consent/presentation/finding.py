"""Finds organizations and people for operators, by whatever somebody has of them: words, ids, addresses."""

import dataclasses
import uuid

from django.db.models import Prefetch

from accounts import names
from accounts.access import Actor, Permission, require
from accounts.fields import split_ident
from accounts.models import ApiKey, Member, Organization, Subscription, User

MOST = 10
_PREFIX = "external:"
_MEMBERSHIPS = 3


@dataclasses.dataclass(frozen=True)
class Person:
    user: User
    memberships: list[Member]
    more: bool  # there are more memberships than these


@dataclasses.dataclass(frozen=True)
class Found:
    """The first of each kind. `more_…`: there are others, which a longer text would tell from these."""

    asked: str
    organizations: list[Organization]
    people: list[Person]
    more_organizations: bool = False
    more_people: bool = False

    @property
    def number(self) -> int:
        return len(self.organizations) + len(self.people)


def find(text: str, actor: Actor, most: int = MOST) -> Found:
    """What an operator looks for. Raises Forbidden for everybody else; nothing is found by an empty text."""
    for permission in (Permission.ORGANIZATION_VIEW, Permission.MEMBERS_VIEW):
        require(actor, permission, None)
    asked = " ".join(text.split())
    if not asked:
        return Found("", [], [])
    organizations = organizations_for(asked, actor, most + 1)
    people = _people_for(asked, actor, most + 1)
    return Found(
        asked,
        organizations[:most],
        _with_memberships(people[:most], actor),
        more_organizations=len(organizations) > most,
        more_people=len(people) > most,
    )


def organizations_for(asked: str, actor: Actor, most: int) -> list[Organization]:
    """By id; else by external id first, then by the start of the name, then by its words."""
    live = Subscription.objects.filter(ended_at=None).select_related("plan").order_by("plan__position")
    visible = Organization.objects.visible_to(actor)
    seen = visible.prefetch_related(Prefetch("subscriptions", live, to_attr="subscriptions_now"))
    pk, _external = split_ident(asked)
    if pk is not None:
        return list(seen.filter(pk=pk))
    exactly = seen.with_external_id(asked.removeprefix(_PREFIX))
    if asked.startswith(_PREFIX):
        return list(exactly)
    # The name's start is found from its first moment on; its words once the worker has read them.
    found: dict[uuid.UUID, Organization] = {}
    for rows in (exactly, seen.named(asked), seen.matching(asked)):
        found |= {each.pk: each for each in rows[:most] if each.pk not in found}
        if len(found) >= most:
            break
    return list(found.values())[:most]


def organizations_meant(asked: str, actor: Actor, most: int = MOST) -> list[Organization]:
    """The organizations that a text may mean: those of a person's address; one alone by external id; else by name."""
    visible = Organization.objects.visible_to(actor)
    if "@" in asked:
        theirs = Member.objects.filter(user__email=asked).values("organization")
        if of_person := list(visible.filter(pk__in=theirs)[:most]):
            return of_person
    exactly = list(visible.with_external_id(asked.removeprefix(_PREFIX))[:1])
    return exactly or organizations_for(asked, actor, most)


def members_meant(asked: str, organization: Organization, actor: Actor, most: int = MOST) -> list[Member]:
    """The members, former ones too, that a text may mean: one alone by external id or address; else by name."""
    visible = Member.objects.visible_to(actor).filter(organization=organization).select_related("user")
    exactly = visible.with_external_id(asked.removeprefix(_PREFIX)) | visible.filter(user__email=asked)
    return list(exactly[:most]) or list(visible.called(asked).order_by("-pk")[:most])


def actors_for(asked: str, actor: Actor, most: int = MOST) -> list[User | ApiKey]:
    """Who may have acted: people by address or id, operators and API keys by words of their name too."""
    require(actor, Permission.LEDGER_VIEW, None)
    pk, _external = split_ident(asked)
    if pk is not None:
        return [*User.objects.filter(pk=pk), *ApiKey.objects.visible_to(actor).filter(pk=pk)]
    words = names.words(asked)
    found: list[User | ApiKey] = []
    if " " not in asked:
        found += User.objects.addressed(asked)[:most]
    seen = {each.pk for each in found}
    # Operators are few. Of keys, those whose name begins so: an installation may have thousands.
    for operator in User.objects.filter(is_staff=True):
        if words and operator.pk not in seen and set(words) <= set(names.words(operator.name)):
            found.append(operator)
    found += ApiKey.objects.visible_to(actor).filter(name__istartswith=asked)[:most]
    return found[:most]


def _people_for(asked: str, actor: Actor, most: int) -> list[User]:
    """By id, by the start of the address, or by a membership's id or external id."""
    pk, _external = split_ident(asked)
    if pk is not None:
        of_member = Member.objects.visible_to(actor).filter(pk=pk).values("user")
        return list(User.objects.filter(pk=pk)) or list(User.objects.filter(pk__in=of_member))
    found = {}
    if not asked.startswith(_PREFIX) and " " not in asked:
        found = {user.pk: user for user in User.objects.addressed(asked)[:most]}
    named = Member.objects.visible_to(actor).with_external_id(asked.removeprefix(_PREFIX))
    found |= {member.user_id: member.user for member in named.select_related("user")[:most]}
    return list(found.values())[:most]


def _with_memberships(people: list[User], actor: Actor) -> list[Person]:
    found = []
    for user in people:
        # A query for each of a few: it ends early, where one for all would read thousands of some people's.
        mine = Member.objects.visible_to(actor).filter(user=user).select_related("organization").order_by("-pk")
        held = list(mine[: _MEMBERSHIPS + 1])
        found.append(Person(user, held[:_MEMBERSHIPS], more=len(held) > _MEMBERSHIPS))
    return found
