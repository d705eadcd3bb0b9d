"""Members: joining, changing, leaving. One row per user and organization, reused, choice and all (R5, R14).

Membership is a subject of its own (R7): an instant moved by what the member chose would tell of it (R4).
"""

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import TypedDict, Unpack

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from accounts import email_addresses
from accounts.access import Actor, Forbidden, Permission, act_of_giving, require
from accounts.characters import Unusable
from accounts.models import Binding, Member, MemberRole, MemberStatus, Organization, User

from .. import ledger
from ..errors import Invalid, Refused
from ..models import EventKind
from ..rules import Reason
from . import credentials, layers
from .external_ids import Subject, clean_external_id, give, start, taken, taken_meanwhile


def clean_email(email: str) -> str:
    """Its one spelling; raises Invalid naming what can't be seen."""
    try:
        return email_addresses.normalize(email)
    except Unusable as error:
        told = error.told or _("“%(value)s” is not an e-mail address.") % {"value": email}
        raise Invalid("invalid", told, "email") from None


def clean_role(role: str) -> MemberRole:
    if role not in MemberRole.values:
        raise Invalid("unknown_role", _("There is no role “%(value)s”.") % {"value": role}, "role")
    return MemberRole(role)


@transaction.atomic
def add_member(
    *,
    organization: Organization,
    email: str,
    name: str = "",
    role: str = MemberRole.MEMBER,
    external_id: str | None = None,
    actor: Actor,
    source: str,
) -> Member:
    """Let a person join, known or new to the portal; who has left joins again, with the choice they had.

    Only the provider adds people (R19): an organization invites them, and they join themselves. An existing user's name
    is left alone. Raises Forbidden, Invalid, ConfirmationRequired, Refused (is a member already, personal organization,
    closed account, an external id that ever meant another).
    """
    origin = layers.origin(actor, source, Permission.MEMBERS_MANAGE, organization)
    if not (actor.is_operator and origin.by_operator):
        raise Forbidden(Permission.MEMBERS_MANAGE)
    wanted_role = clean_role(role)
    layers.require_confirmed(actor, act_of_giving(wanted_role))
    external_id = clean_external_id(external_id)
    if external_id is not None:
        require(actor, Permission.EXTERNAL_IDS, organization)
    user = get_or_create_user(clean_email(email), layers.clean_name(name))
    return _let_in(organization, user, wanted_role, external_id, origin)


@transaction.atomic
def join_invited(
    *, organization: Organization, email: str, name: str, role: str, inviter: Actor, source: str
) -> Member:
    """Let somebody join who accepted an invitation: their own act (R19), by the right that the inviter has now.

    Raises like `add_member`.
    """
    require(inviter, Permission.MEMBERS_MANAGE, organization)
    user = get_or_create_user(clean_email(email), layers.clean_name(name))
    origin = ledger.Origin(actor=Actor.from_user(user), source=source)
    return _let_in(organization, user, clean_role(role), None, origin)


def _let_in(
    organization: Organization, user: User, wanted_role: MemberRole, external_id: str | None, origin: ledger.Origin
) -> Member:
    organization = layers.lock_organization(organization)
    _refuse_closed(organization)
    if organization.kind == Organization.Kind.PERSONAL:
        raise Refused("personal", _("A personal organization has its owner and nobody else."))
    member = Member.objects.select_for_update(no_key=True).filter(organization=organization, user=user).first()
    if member is None:
        if external_id and Binding.objects.ever(external_id, organization.pk).exists():
            raise taken(external_id)
        return join(organization, user, wanted_role, external_id, origin)
    if not member.has_left:
        raise Refused("exists", _("This person is a member already."))
    member = _join_again(member, wanted_role, origin)
    if external_id:
        give(Subject(organization, member), external_id, origin)
    return member


def get_or_create_user(address: str, name: str) -> User:
    """The user with this address; a new one has a name and no password yet."""
    password = make_password(None)
    return User.objects.get_or_create(email=address, defaults={"name": name, "password": password})[0]


def join(organization: Organization, user: User, role: str, external_id: str | None, origin: ledger.Origin) -> Member:
    """A first joining; the caller has locked or just made the organization."""
    at = ledger.clock(organization.created_at)
    with taken_meanwhile():
        member = Member.objects.create(
            organization=organization, user=user, role=role, external_id=external_id, joined_at=at, changed_at=at
        )
    start([(Subject(organization, member), external_id, at)], at)
    note_others([organization.pk])
    _record(member, EventKind.MEMBER_JOINED, origin, at, after=role)
    return member


def note_others(organizations: Iterable[uuid.UUID]) -> None:
    """Remember for good which of these had a second person (R17); the caller has just written members there.

    A personal organization is not among them: the database refuses.
    """
    several = Organization.objects.filter(pk__in=list(organizations), had_others=False)
    several = several.annotate(people=Count("members")).filter(people__gt=1)
    Organization.objects.filter(pk__in=several.values("pk")).update(had_others=True)


def _join_again(member: Member, role: str, origin: ledger.Origin) -> Member:
    at = ledger.clock(member.changed_at)
    member.role, member.status, member.joined_at, member.left_at, member.changed_at = (
        role,
        MemberStatus.ACTIVE,
        at,
        None,
        at,
    )
    member.save(update_fields=["role", "status", "joined_at", "left_at", "changed_at"])
    _record(member, EventKind.MEMBER_JOINED, origin, at, after=role)
    return member


class MemberChanges(TypedDict, total=False):
    role: str
    external_id: str | None


@transaction.atomic
def update_member(*, member: Member, actor: Actor, source: str, **changes: Unpack[MemberChanges]) -> Member:
    """Change role or external id; what is the same already writes nothing.

    With a lesser role the person's keys and webhooks there are suspended (R18). None withdraws the external id shown.
    Raises Forbidden, Invalid, ConfirmationRequired, Refused (has left, last owner, personal organization, an external
    id that ever meant another).
    """
    origin = layers.origin(actor, source, Permission.MEMBERS_MANAGE, member.organization)
    organization = layers.lock_organization(member.organization)
    member = layers.lock_member(member)
    if member.has_left:
        raise Refused("member_left", _("This member has left the organization."))
    if "external_id" in changes:
        give(Subject(organization, member), clean_external_id(changes["external_id"]), origin)
    if "role" in changes and (role := clean_role(changes["role"])) != member.role:
        if organization.kind == Organization.Kind.PERSONAL:
            raise Refused("personal", _("The one person of a personal organization is its owner."), "role")
        _refuse_last_owner(member)
        layers.require_confirmed(actor, act_of_giving(role))
        at, before = ledger.clock(member.changed_at), member.role
        member.role, member.changed_at = role, at
        member.save(update_fields=["role", "changed_at"])
        _record(member, EventKind.MEMBER_ROLE_CHANGED, origin, at, before=before, after=role)
        credentials.suspend_for(member.user, organization, actor=actor, source=source)
    return member


@transaction.atomic
def remove_member(*, member: Member, actor: Actor, source: str) -> Member:
    """The member leaves; who has left already stays so. Their keys and webhooks there are suspended (R18).

    Raises Forbidden, Refused (last owner).
    """
    origin = layers.origin(actor, source, Permission.MEMBERS_MANAGE, member.organization)
    layers.lock_organization(member.organization)
    member = layers.lock_member(member)
    if member.has_left:
        return member
    _refuse_last_owner(member)
    at = ledger.clock(member.changed_at)
    member.status, member.left_at, member.changed_at = MemberStatus.LEFT, at, at
    member.save(update_fields=["status", "left_at", "changed_at"])
    _record(member, EventKind.MEMBER_LEFT, origin, at, before=member.role)
    credentials.suspend_for(member.user, member.organization, actor=actor, source=source)
    return member


def _record(
    member: Member, kind: EventKind, origin: ledger.Origin, at: dt.datetime, *, before: str = "", after: str = ""
) -> None:
    event = ledger.event(
        kind,
        organization=member.organization,
        member=member,
        origin=origin,
        at=at,
        state=layers.membership_state(member.joined_at, left=member.has_left),
        before=before,
        after=after,
    )
    ledger.record([event])


def _refuse_closed(organization: Organization) -> None:
    if organization.is_closed:
        raise Refused(Reason.ORGANIZATION_CLOSED, _("The account is closed; reopen it first."))


def _refuse_last_owner(member: Member) -> None:
    owners = Member.objects.active().filter(organization_id=member.organization_id, role=MemberRole.OWNER)
    if member.role == MemberRole.OWNER and not owners.exclude(pk=member.pk).exists():
        raise Refused("last_owner", _("An organization keeps at least one owner; make somebody else owner first."))
