"""Authorization: the permissions, the role table, and the getters through which every interface loads an object.

A getter raises NotFound for a missing object and for another tenant's object alike, so existence does not leak. It
raises Forbidden where the actor may see the object but not do this to it. Services call `require` themselves, so that
no interface (page, API, command) can forget it.
"""

import dataclasses
import functools
import uuid
from enum import StrEnum, auto
from typing import TYPE_CHECKING

from .models import ApiKey, KeyScope, Member, MemberRole, Organization, User

if TYPE_CHECKING:
    from collections.abc import Collection


class Permission(StrEnum):
    ORGANIZATION_VIEW = auto()  # name, kind, plans
    ORGANIZATION_EDIT = auto()  # name, country, kind
    # The pipeline looks up decisions by external id, so whoever sets one decides whose data it means: provider only.
    EXTERNAL_IDS = auto()
    ORGANIZATION_CREATE = auto()
    ORGANIZATION_STATUS = auto()  # close and reopen
    MEMBERS_VIEW = auto()
    MEMBERS_MANAGE = auto()
    SUBSCRIPTIONS_MANAGE = auto()
    CONSENT_VIEW = auto()  # the organization's settings, the console's pages
    CONSENT_CHOOSE = auto()  # the organization's settings
    MEMBER_CONSENT_VIEW = auto()  # which member chose what (R4)
    MEMBER_CONSENT_TIGHTEN = auto()  # opt a member out
    MEMBER_CONSENT_SPEAK = auto()  # pass on what the member said
    LOCKS_MANAGE = auto()
    HISTORY_VIEW = auto()  # the organization's events
    LEDGER_VIEW = auto()  # the events of all organizations
    DECISIONS_ASK = auto()
    KEYS_MANAGE = auto()
    WEBHOOKS_MANAGE = auto()
    PIPELINE_READ = auto()  # snapshots, training runs, and which keys have to be removed from them (R4)
    CONSUMERS_VIEW = auto()  # the systems that use data, and how far each has come
    CONSUMERS_MANAGE = auto()  # register, change and remove them
    CONSUMER_REPORT = auto()  # say how far a consumer has come: its own key alone
    RUNS_MANAGE = auto()  # register and retire training runs, acknowledge removals
    PLANS_MANAGE = auto()  # make plans, and edit their names, descriptions and order
    OPERATORS_MANAGE = auto()  # users, operators, and requests that need a second operator's approval


P = Permission
_AUDITOR = frozenset({P.ORGANIZATION_VIEW, P.MEMBERS_VIEW, P.CONSENT_VIEW, P.HISTORY_VIEW, P.DECISIONS_ASK})
_ADMIN = _AUDITOR | {P.ORGANIZATION_EDIT, P.MEMBERS_MANAGE, P.CONSENT_CHOOSE, P.KEYS_MANAGE, P.WEBHOOKS_MANAGE}
# An operator never speaks for a member: only the member does, here or through the app's backend (R4).
_OPERATOR = frozenset(Permission) - {P.MEMBER_CONSENT_SPEAK}

ROLE_PERMISSIONS: dict[MemberRole, frozenset[Permission]] = {
    MemberRole.OWNER: _ADMIN,
    MemberRole.ADMIN: _ADMIN,
    MemberRole.AUDITOR: _AUDITOR,
    MemberRole.MEMBER: frozenset({P.ORGANIZATION_VIEW}),
}
OPERATOR_PERMISSIONS = _OPERATOR
# ActorType.SYSTEM, for work that is done in nobody's name: permissions to read, none to change anything.
_SYSTEM = frozenset(
    {P.ORGANIZATION_VIEW, P.MEMBERS_VIEW, P.CONSENT_VIEW, P.MEMBER_CONSENT_VIEW, P.HISTORY_VIEW, P.LEDGER_VIEW}
    | {P.DECISIONS_ASK, P.PIPELINE_READ}
)
SCOPE_PERMISSIONS: dict[KeyScope, frozenset[Permission]] = {
    KeyScope.DECISIONS_READ: frozenset({P.DECISIONS_ASK}),
    KeyScope.CONSENT_READ: frozenset({P.CONSENT_VIEW, P.MEMBER_CONSENT_VIEW}),
    KeyScope.CONSENT_WRITE: frozenset({P.CONSENT_CHOOSE, P.MEMBER_CONSENT_TIGHTEN, P.LOCKS_MANAGE}),
    KeyScope.CONSENT_MEMBER: frozenset({P.MEMBER_CONSENT_SPEAK, P.MEMBER_CONSENT_VIEW}),
    KeyScope.ORGANIZATIONS_READ: frozenset({P.ORGANIZATION_VIEW, P.MEMBERS_VIEW}),
    KeyScope.ORGANIZATIONS_WRITE: frozenset(
        {
            P.ORGANIZATION_EDIT,
            P.EXTERNAL_IDS,
            P.ORGANIZATION_CREATE,
            P.ORGANIZATION_STATUS,
            P.MEMBERS_MANAGE,
            P.SUBSCRIPTIONS_MANAGE,
        }
    ),
    KeyScope.EVENTS_READ: frozenset({P.HISTORY_VIEW, P.LEDGER_VIEW, P.CONSUMERS_VIEW}),
    KeyScope.WEBHOOKS_WRITE: frozenset({P.WEBHOOKS_MANAGE}),
    KeyScope.PIPELINE_READ: frozenset({P.PIPELINE_READ}),
    KeyScope.CONSUMER_WRITE: frozenset({P.CONSUMER_REPORT}),
    KeyScope.RUNS_WRITE: frozenset({P.RUNS_MANAGE}),
}
# The most a key may do, whatever its scopes: an operator key has the permissions of operators and may speak for
# members; an organization's key has the permissions of its admins.
_OPERATOR_KEY = _OPERATOR | {P.MEMBER_CONSENT_SPEAK}
_ORGANIZATION_KEY = _ADMIN


class Act(StrEnum):
    """Acts that need a recent reauthentication, because a session may be old or left open on a shared screen.

    The list is complete. Services check `Actor.confirmed`, so that all interfaces behave alike. API keys and commands
    are exempt: creating a key already needed it, and a command names the person who runs it.
    """

    OPT_IN_DEFAULT_OUT = auto()  # an organization's opt-in on a plan that is opted out by default
    OPT_IN_FOR_CUSTOMER = auto()  # any opt-in that an operator makes for an organization
    LOCK_LIFT = auto()
    JOB_APPROVE = auto()
    # Acts that create a credential:
    KEY_ISSUE = auto()
    KEY_TAKE_OVER = auto()
    WEBHOOK_SECRET = auto()  # shown when a webhook is created, rotated or taken over
    # Acts that give somebody authority:
    ROLE_GIVE = auto()  # a role of MANAGING_ROLES: to a member, by an invitation, to a new owner, by an import
    OPERATOR_MAKE = auto()  # or give an operator, or anybody, a new way in
    # An act that changes what data may be used:
    COOLING_OFF = auto()  # how old a product's data has to be
    OWN_ADDRESS = auto()  # change the address that one signs in with, and gets links at


# Roles that may create API keys: giving somebody such a role gives them authority.
MANAGING_ROLES = frozenset(role for role, held in ROLE_PERMISSIONS.items() if P.KEYS_MANAGE in held)


def is_lesser(role: str, than: str) -> bool:
    """Whether a role is less than another: MemberRole lists them from the highest. False for an unknown role."""
    ranks = list(MemberRole.values)
    return role in ranks and ranks.index(role) > ranks.index(than)


def opt_in_act(*, needs_reason: bool, by_operator: bool) -> Act | None:
    """The `Act` that an organization's opt-in is, or None. `needs_reason`: its plan is opted out by default."""
    if by_operator:
        return Act.OPT_IN_FOR_CUSTOMER
    return Act.OPT_IN_DEFAULT_OUT if needs_reason else None


def act_of_giving(role: str) -> Act | None:
    """The `Act` that giving this role, or inviting with it, is; None for a role without authority."""
    return Act.ROLE_GIVE if role in MANAGING_ROLES else None


class NotFound(Exception):
    """The object is missing, or the actor may not see it: one error, so that callers can't tell which (R15)."""


class Forbidden(Exception):
    """The actor may see the object but not do this. `detail` explains, where the permission's name is not enough."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(what)
        self.detail = detail


class ActorType(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    COMMAND = "command"
    SYSTEM = "system"


@dataclasses.dataclass(frozen=True)
class Responsible:
    """The current rights of the person responsible for a credential; `role` is theirs in the key's organization."""

    is_operator: bool = False
    role: MemberRole | None = None

    @classmethod
    def now(cls, user: User | None, organization_id: uuid.UUID | None) -> "Responsible":
        """Look up the rights. `authentication.verified` does not call this: its SELECT fetches them with the key."""
        if user is None:
            return cls()
        is_staff = User.objects.filter(pk=user.pk, is_active=True).values_list("is_staff", flat=True).first()
        if is_staff is None:
            return cls()
        if organization_id is None:
            return cls(is_staff)
        own = Member.objects.active().filter(user=user, organization_id=organization_id)
        role = own.values_list("role", flat=True).first()
        return cls(is_staff, MemberRole(role) if role else None)

    @property
    def permissions(self) -> frozenset[Permission]:
        held: frozenset[Permission] = OPERATOR_PERMISSIONS if self.is_operator else frozenset()
        return held | ROLE_PERMISSIONS[self.role] if self.role else held


@dataclasses.dataclass(frozen=True)
class Actor:
    """Who acts: made once per request or command, and passed to every service by keyword.

    `confirmed`: the person reauthenticated within the last minutes. `responsible`: the rights of the person who is
    responsible for `key`; empty where there is no key.
    """

    type: ActorType
    id: str
    user: User | None = None
    key: ApiKey | None = None
    confirmed: bool = False
    responsible: Responsible = Responsible()

    @classmethod
    def from_user(cls, user: User, *, confirmed: bool = False) -> "Actor":
        return cls(ActorType.USER, str(user.pk), user=user, confirmed=confirmed)

    @classmethod
    def from_key(cls, key: ApiKey, responsible: Responsible | None = None) -> "Actor":
        """Pass `responsible` where it was fetched together with the key; otherwise it is looked up."""
        found = responsible or Responsible.now(key.issued_by, key.organization_id)
        return cls(ActorType.API_KEY, str(key.pk), key=key, confirmed=True, responsible=found)

    @classmethod
    def from_command(cls, operator: User) -> "Actor":
        """A management command that runs in the name of an operator."""
        return cls(ActorType.COMMAND, str(operator.pk), user=operator, confirmed=True)

    @classmethod
    def on_machine(cls) -> "Actor":
        """A management command that runs in nobody's name: it creates the first credentials of an installation."""
        return cls(ActorType.COMMAND, "", confirmed=True)

    @classmethod
    def system(cls) -> "Actor":
        """The portal itself: it may read everything, and has no permission to change anything."""
        return cls(ActorType.SYSTEM, "")

    @property
    def is_operator(self) -> bool:
        """Whether the actor acts for the provider, on every organization."""
        if self.type == ActorType.SYSTEM:
            return True
        if self.key is not None:
            return self.key.organization_id is None and self.has_worth
        return self.user is not None and self.user.is_active and self.user.is_staff

    @property
    def has_worth(self) -> bool:
        """Whether a key is usable now (R18): not suspended, and its person may still manage keys there.

        A key of the installation needs no such person. False for an actor without a key.
        """
        key = self.key
        if key is None or key.suspended_at is not None:
            return False
        return key.installation or Permission.KEYS_MANAGE in self.responsible.permissions

    @property
    def needs_confirmation(self) -> bool:
        """Whether this actor has to reauthenticate before anything that is listed in `Act`."""
        return self.type == ActorType.USER and not self.confirmed

    @property
    def person(self) -> User | None:
        """The person responsible for what this actor does: the user, or the one who issued the key."""
        return self.key.issued_by if self.key is not None else self.user

    def is_user(self, user_id: uuid.UUID) -> bool:
        """Whether the actor is this person, signed in and active; a command that runs in their name is not."""
        return self.type == ActorType.USER and self.user is not None and self.user.is_active and self.user.pk == user_id


def role_of(actor: Actor, organization: Organization) -> MemberRole | None:
    """The actor's role as an active member of the organization; None for everybody else, and for keys and commands."""
    return roles_of(actor, [organization]).get(organization.pk)


def roles_of(actor: Actor, organizations: "Collection[Organization]") -> dict[uuid.UUID, MemberRole]:
    """The actor's role in each organization, in one query; organizations without a role are left out."""
    if actor.type != ActorType.USER or actor.user is None or not actor.user.is_active:
        return {}
    own = Member.objects.active().filter(organization__in=organizations, user=actor.user)
    return {pk: MemberRole(role) for pk, role in own.values_list("organization_id", "role")}


def permissions(actor: Actor, organization: Organization | None) -> frozenset[Permission]:
    """All that the actor may do to this organization (None: to the installation as a whole)."""
    role = role_of(actor, organization) if organization is not None else None
    return permissions_by_role(actor, organization, role)


def permissions_by_role(
    actor: Actor, organization: Organization | None, role: MemberRole | None
) -> frozenset[Permission]:
    """As `permissions`, without a query: the caller has looked up the actor's `role` in the organization."""
    if actor.type == ActorType.SYSTEM:
        return _SYSTEM
    if actor.key is not None:
        of_organization = actor.key.organization_id is not None
        if of_organization and (organization is None or organization.pk != actor.key.organization_id):
            return frozenset()
        return key_permissions(actor)
    # Staff may be members of an organization too: then both sets of permissions add up.
    held = OPERATOR_PERMISSIONS if actor.is_operator else frozenset()
    return held | ROLE_PERMISSIONS[role] if role else held


def key_permissions(actor: Actor) -> frozenset[Permission]:
    """What a key may do on its organization, or everywhere for an operator key.

    That is the intersection of its scopes and the current rights of its person (R18). A key of the installation has
    no such person, so its scopes alone count.
    """
    key = actor.key
    if key is None or not actor.has_worth:
        return frozenset()
    granted = _granted(tuple(key.scopes), of_organization=key.organization_id is not None)
    return granted if key.installation else granted & actor.responsible.permissions


@functools.lru_cache(1024)
def _granted(scopes: tuple[str, ...], *, of_organization: bool) -> frozenset[Permission]:
    granted = frozenset[Permission]().union(*(SCOPE_PERMISSIONS[KeyScope(scope)] for scope in scopes))
    return granted & (_ORGANIZATION_KEY if of_organization else _OPERATOR_KEY)


def require(actor: Actor, permission: Permission, organization: Organization | None) -> None:
    """Raise Forbidden unless the actor has the permission."""
    if permission not in permissions(actor, organization):
        raise Forbidden(permission)


def organizations_with(actor: Actor, permission: Permission) -> frozenset[uuid.UUID] | None:
    """Ids of the organizations on which the actor holds a permission; None means all organizations.

    Decision requests use it: about any other organization they answer "unknown" (R15). Raises Forbidden where the
    actor holds the permission nowhere. Needs no query for API keys.
    """
    # Keys first: their permissions need no query.
    if actor.key is not None:
        if permission not in key_permissions(actor):
            raise Forbidden(permission)
        return None if actor.key.organization_id is None else frozenset({actor.key.organization_id})
    if actor.is_operator and permission in permissions(actor, None):
        return None
    roles = [role for role, held in ROLE_PERMISSIONS.items() if permission in held]
    held_on = frozenset(
        Member.objects.active().of_person(actor).filter(role__in=roles).values_list("organization_id", flat=True)
    )
    if not held_on or actor.type != ActorType.USER or not (actor.user and actor.user.is_active):
        raise Forbidden(permission)
    return held_on


def acts_as_operator(actor: Actor, permission: Permission, organization: Organization) -> bool:
    """Whether the actor uses the provider's authority here: not staff whose own role in the organization allows it."""
    return operates_by_role(actor, permission, role_of(actor, organization))


def operates_by_role(actor: Actor, permission: Permission, role: MemberRole | None) -> bool:
    """As `acts_as_operator`, without a query: the caller has looked up the actor's `role` in the organization."""
    return actor.is_operator and not (role and permission in ROLE_PERMISSIONS[role])


def speaks_for_provider(actor: Actor, permission: Permission, organization: Organization) -> bool:
    """Whether this is the provider's act: an operator's, or one by an organization's key that an operator issued.

    Otherwise an operator could issue a key for an organization, and act through it in the organization's name.
    """
    key, answering = actor.key, actor.responsible
    # A person, a command or an operator key acts in its own name.
    if key is None or key.organization_id is None:
        return acts_as_operator(actor, permission, organization)
    own = answering.role is not None and permission in ROLE_PERMISSIONS[answering.role]
    return answering.is_operator and not own and not key.installation


def get_organization(actor: Actor, ident: str, permission: Permission) -> Organization:
    """The organization with this id (or `external:` id), if the actor may see it and has the permission.

    Raises NotFound for a missing organization and another tenant's alike, and Forbidden where the actor may see it
    but lacks the permission.
    """
    organization = Organization.objects.visible_to(actor).identified_by(ident).first()
    if organization is None:
        raise NotFound("organization")
    require(actor, permission, organization)
    return organization


def get_member(actor: Actor, organization: Organization, ident: str) -> Member:
    """The member of this organization with this id (or `external:` id). Raises NotFound.

    The caller has checked the permission on the organization.
    """
    member = organization.members.visible_to(actor).identified_by(ident).select_related("user", "organization").first()
    if member is None:
        raise NotFound("member")
    return member


def known_scopes(scopes: "Collection[str]") -> list[str]:
    """The scopes in the enum's order; raises ValueError naming the first unknown one."""
    return [str(scope) for scope in KeyScope if scope in {KeyScope(given) for given in scopes}]
