"""Members: joining, changing, leaving. One row per user and organization, reused with its choice (R5, R14).

For R7 a membership is a separate subject: if its instants depended on the member's choices, they would reveal that the
member chose something (R4).
"""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypedDict, Unpack

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import email_addresses
from accounts.access import Actor, Forbidden, Permission, act_of_giving, require
from accounts.characters import Unusable
from accounts.fields import MICROSECOND
from accounts.models import Binding, Member, MemberRole, MemberStatus, Organization, User

from .. import ledger, rules
from ..errors import Invalid, Refused
from ..models import ConsentEvent, EventKind
from ..rules import Reason
from . import credentials, layers
from .external_ids import Subject, clean_external_id, give, start, taken, taken_meanwhile


def clean_email(email: str) -> str:
    """The normalized address. Raises Invalid, also for invisible characters."""
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
    """Add a person, who may be new to the portal; one who left joins again, with the choice they had.

    Only the provider adds people (R19); organizations send invitations. An existing user's name stays as it is. Raises
    Forbidden, Invalid, ConfirmationRequired, Refused (is a member already, personal organization, closed account, an
    external id that ever meant another subject).
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
    """Add a person who accepted an invitation. They are the actor (R19); the inviter must still have the right.

    Raises like `add_member`.
    """
    require(inviter, Permission.MEMBERS_MANAGE, organization)
    user = get_or_create_user(clean_email(email), layers.clean_name(name))
    origin = ledger.Origin(actor=Actor.from_user(user), source=source)
    return _let_in(organization, user, clean_role(role), None, origin)


def _let_in(
    organization: Organization, user: User, wanted_role: MemberRole, external_id: str | None, origin: ledger.Origin
) -> Member:
    # Locked, so that the account can't be closed, or become personal, before the person has joined.
    organization = layers.lock_organization(organization)
    refuse_joining(organization)
    member = Member.objects.select_for_update(no_key=True).filter(organization=organization, user=user).first()
    if member is None:
        if external_id and Binding.objects.ever(external_id, organization.pk).exists():
            raise taken(external_id)
        return join_many([Newcomer(organization, user, wanted_role, external_id)], origin)[0]
    if not member.has_left:
        raise Refused("exists", _("This person is a member already."))
    member = _join_again(member, wanted_role, origin)
    if external_id:
        give(Subject(organization, member), external_id, origin)
    return member


def refuse_joining(organization: Organization) -> None:
    """Raise Refused if nobody can join: the account is closed, or the organization is personal."""
    personal = organization.kind == Organization.Kind.PERSONAL
    for obstacle in rules.join_obstacles(closed=organization.is_closed, personal=personal):
        raise Refused(obstacle, _JOIN_OBSTACLES[obstacle])


_JOIN_OBSTACLES = {
    Reason.ORGANIZATION_CLOSED: gettext_lazy("The account is closed; reopen it first."),
    rules.PERSONAL: gettext_lazy("A personal organization can't have members other than its owner."),
}


def get_or_create_user(address: str, name: str) -> User:
    """The user with this address, created if missing, with this name and without a password."""
    return get_or_create_users({address: name})[address]


def get_or_create_users(names: Mapping[str, str]) -> dict[str, User]:
    """Address → user, for address → name; missing ones are created with that name and without a password."""
    found = {user.email: user for user in User.objects.filter(email__in=names)}
    if new := names.keys() - found.keys():
        User.objects.bulk_create(
            [User(email=email, name=names[email], password=make_password(None)) for email in sorted(new)],
            ignore_conflicts=True,  # another transaction may create them at the same time
        )
        found |= {user.email: user for user in User.objects.filter(email__in=new)}
    return found


class Newcomer(NamedTuple):
    """Who joins which organization, in which role; `since`: an earlier start to be attested."""

    organization: Organization
    user: User
    role: str
    external_id: str | None = None
    since: dt.datetime | None = None


def join_many(newcomers: Sequence[Newcomer], origin: ledger.Origin, *, reference: str = "") -> list[Member]:
    """Create members by a fixed number of statements; each is an event. Returns them in the same order.

    The caller must have locked, or just created, the organizations, and checked that each person may join and never
    did before. An attested start is a separate event, one microsecond later, which has the `reference`. Raises Refused
    for an external id that was given to somebody else meanwhile.
    """
    if not newcomers:
        return []
    at = ledger.clock(*(each.organization.created_at for each in newcomers))
    later = at + MICROSECOND
    with taken_meanwhile():
        made = Member.objects.bulk_create(
            Member(
                organization=each.organization,
                user=each.user,
                role=each.role,
                external_id=each.external_id or None,
                joined_at=_attested_start(at, each.since),
                # The attestation is then the last event of the membership.
                changed_at=later if each.since else at,
            )
            for each in newcomers
        )
    pairs = list(zip(made, newcomers, strict=True))
    start([(Subject(each.organization, member), each.external_id, each.since or at) for member, each in pairs], at)
    note_others({each.organization.pk for each in newcomers})
    joined = EventKind.MEMBER_JOINED
    ledger.record([_event(member, joined, origin, at, since=at, after=member.role) for member in made])
    attests = dataclasses.replace(origin, reference=reference)
    attested = [member for member, each in pairs if each.since]
    ledger.record([_event(member, EventKind.SINCE_ATTESTED, attests, later) for member in attested])
    return made


def _attested_start(at: dt.datetime, since: dt.datetime | None) -> dt.datetime:
    """The start of the membership. An earlier one can always be attested, for no event contradicts it."""
    return rules.attest(layers.membership_state(at), since, ()).since or at if since else at


def note_others(organizations: Iterable[uuid.UUID]) -> None:
    """Set `had_others`, for good, where a second person became a member (R17). Call it after writing members.

    For a personal organization the database refuses it.
    """
    several = Organization.objects.filter(pk__in=list(organizations), had_others=False)
    several = several.annotate(people=Count("members")).filter(people__gt=1)
    Organization.objects.filter(pk__in=several.values("pk")).update(had_others=True)


def _join_again(member: Member, role: str, origin: ledger.Origin) -> Member:
    # The row is used again, so the member's own choice stays (R5).
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
    """Change role or external id; a value that is the same already writes nothing.

    With a lesser role the person's keys and webhooks there are suspended (R18). An external id of None withdraws the
    one shown. Raises Forbidden, Invalid, ConfirmationRequired, Refused (has left, last owner, personal organization, an
    external id that ever meant another subject).
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
            raise Refused("personal", _("The only member of a personal organization has to be its owner."), "role")
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
    """End a membership; if it has ended already, nothing is written. The person's keys and webhooks there are suspended
    (R18).

    Raises Forbidden, Refused (last owner).
    """
    origin = layers.origin(actor, source, Permission.MEMBERS_MANAGE, member.organization)
    # Locks the organization too: two owners who leave at once must not both count the other.
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
    ledger.record([_event(member, kind, origin, at, before=before, after=after)])


def _event(
    member: Member,
    kind: EventKind,
    origin: ledger.Origin,
    at: dt.datetime,
    *,
    since: dt.datetime | None = None,
    before: str = "",
    after: str = "",
) -> ConsentEvent:
    """`since`: the start of the membership in this event's state, if it differs from the member's `joined_at`."""
    return ledger.event(
        kind,
        organization=member.organization,
        member=member,
        origin=origin,
        at=at,
        state=layers.membership_state(since or member.joined_at, left=member.has_left),
        before=before,
        after=after,
    )


def _refuse_last_owner(member: Member) -> None:
    if is_last_owner(member):
        raise Refused("last_owner", _("An organization keeps at least one owner; make somebody else owner first."))


def is_last_owner(member: Member) -> bool:
    """Whether this member is the only owner of the organization."""
    if member.role != MemberRole.OWNER or member.has_left:
        return False
    owners = Member.objects.active().filter(organization_id=member.organization_id, role=MemberRole.OWNER)
    return not owners.exclude(pk=member.pk).exists()
