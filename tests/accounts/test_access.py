"""Access: the table of roles, scopes, tenants; and foreign objects look like absent ones (R15)."""

import datetime as dt
import uuid

import pytest
from django.db import transaction
from django.db.models import QuerySet

from accounts import access, operators
from accounts.access import Actor, Forbidden, NotFound, Permission
from accounts.models import ApiKey, KeyScope, Member, MemberRole, Organization, User
from consent.models import ConsentEvent
from consent.services import members, organizations
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, UserFactory
from tests.support.keys import issue_key

P = Permission
READS = {P.ORGANIZATION_VIEW, P.MEMBERS_VIEW, P.CONSENT_VIEW, P.HISTORY_VIEW, P.DECISIONS_ASK}
MANAGES = {P.ORGANIZATION_EDIT, P.MEMBERS_MANAGE, P.CONSENT_CHOOSE, P.KEYS_MANAGE, P.WEBHOOKS_MANAGE}
# What only the provider may.
PROVIDER = {
    P.ORGANIZATION_CREATE,
    P.EXTERNAL_IDS,
    P.ORGANIZATION_STATUS,
    P.SUBSCRIPTIONS_MANAGE,
    P.MEMBER_CONSENT_VIEW,
    P.MEMBER_CONSENT_TIGHTEN,
    P.LOCKS_MANAGE,
    P.LEDGER_VIEW,
    P.PIPELINE_READ,
    P.CONSUMERS_VIEW,
    P.CONSUMERS_MANAGE,
    P.CONSUMER_REPORT,
    P.RUNS_MANAGE,
    P.PLANS_MANAGE,
    P.OPERATORS_MANAGE,
}
ROLES = {
    "owner": READS | MANAGES,
    "admin": READS | MANAGES,
    "auditor": READS,
    "member": {P.ORGANIZATION_VIEW},
    "outsider": set(),
}
SCOPES = {  # scope → what an operator's key may, and of that an organization's key on its own organization
    "decisions:read": ({P.DECISIONS_ASK}, {P.DECISIONS_ASK}),
    "consent:read": ({P.CONSENT_VIEW, P.MEMBER_CONSENT_VIEW}, {P.CONSENT_VIEW}),
    "consent:write": ({P.CONSENT_CHOOSE, P.MEMBER_CONSENT_TIGHTEN, P.LOCKS_MANAGE}, {P.CONSENT_CHOOSE}),
    "consent:member": ({P.MEMBER_CONSENT_SPEAK, P.MEMBER_CONSENT_VIEW}, set()),
    "organizations:read": ({P.ORGANIZATION_VIEW, P.MEMBERS_VIEW}, {P.ORGANIZATION_VIEW, P.MEMBERS_VIEW}),
    "organizations:write": (
        {
            P.ORGANIZATION_EDIT,
            P.EXTERNAL_IDS,
            P.ORGANIZATION_CREATE,
            P.ORGANIZATION_STATUS,
            P.MEMBERS_MANAGE,
            P.SUBSCRIPTIONS_MANAGE,
        },
        {P.ORGANIZATION_EDIT, P.MEMBERS_MANAGE},
    ),
    "events:read": ({P.HISTORY_VIEW, P.LEDGER_VIEW, P.CONSUMERS_VIEW}, {P.HISTORY_VIEW}),
    "webhooks:write": ({P.WEBHOOKS_MANAGE}, {P.WEBHOOKS_MANAGE}),
    "pipeline:read": ({P.PIPELINE_READ}, set()),
    "consumer:write": ({P.CONSUMER_REPORT}, set()),
    "runs:write": ({P.RUNS_MANAGE}, set()),
}


def person(cast: Cast, role: str) -> Actor:
    return Actor.from_user(getattr(cast, role), confirmed=True)


def key(scope: str, organization: Organization | None = None) -> Actor:
    """With this scope; for an organization's the model is asked directly, as a row of older days might be there."""
    if organization is None:
        return Actor.from_key(issue_key("K", [scope])[0])
    return Actor.from_key(
        ApiKey.objects.create(
            name="K", prefix=uuid.uuid4().hex[:12], scopes=[scope], organization=organization, installation=True
        )
    )


@pytest.mark.parametrize("role", ROLES)
def test_permissions__of_each_role__exactly_these(cast: Cast, role: str) -> None:
    assert access.permissions(person(cast, role), cast.labs) == ROLES[role]
    assert access.permissions(person(cast, role), None) == set()
    if role != "outsider":
        assert access.permissions(person(cast, role), cast.brage) == set()


def test_permissions__of_operators__everything_but_speaking_for_members(cast: Cast) -> None:
    everything = READS | MANAGES | PROVIDER
    assert everything == set(Permission) - {P.MEMBER_CONSENT_SPEAK}
    for actor in (cast.provider, Actor.from_command(cast.operator)):
        for organization in (cast.labs, cast.brage, None):
            assert access.permissions(actor, organization) == everything


def test_permissions__tables__name_every_role_scope_and_permission(cast: Cast) -> None:
    assert set(access.ROLE_PERMISSIONS) == set(MemberRole)
    assert set(access.SCOPE_PERMISSIONS) == set(KeyScope) and set(SCOPES) == set(KeyScope.values)
    assert READS | MANAGES | PROVIDER | {P.MEMBER_CONSENT_SPEAK} == set(Permission)


@pytest.mark.parametrize("scope", SCOPES)
def test_permissions__of_each_scope__operators_key_and_organizations_key(cast: Cast, scope: str) -> None:
    operators, own = SCOPES[scope]
    assert access.permissions(key(scope), cast.labs) == access.permissions(key(scope), None) == operators
    theirs = key(scope, cast.labs)
    assert access.permissions(theirs, cast.labs) == own
    assert access.permissions(theirs, cast.brage) == access.permissions(theirs, None) == set()


def test_permissions__of_a_key_with_several_scopes__all_of_them(cast: Cast) -> None:
    both = Actor.from_key(issue_key("K", ["decisions:read", "consent:write"])[0])
    assert access.permissions(both, cast.labs) == SCOPES["decisions:read"][0] | SCOPES["consent:write"][0]


def test_permissions__blocked_people_and_those_who_left__none(cast: Cast) -> None:
    admin = Member.objects.get(organization=cast.labs, user=cast.admin)
    members.remove_member(member=admin, actor=cast.provider, source="admin")
    assert access.permissions(person(cast, "admin"), cast.labs) == set()
    for blocked in (cast.owner, cast.operator):
        User.objects.filter(pk=blocked.pk).update(is_active=False)
        blocked.refresh_from_db()
        assert access.permissions(Actor.from_user(blocked, confirmed=True), cast.labs) == set()
        assert not Organization.objects.visible_to(Actor.from_user(blocked, confirmed=True)).exists()


def test_permissions__of_the_system__sees_everything_and_changes_nothing(cast: Cast) -> None:
    for organization in (cast.labs, None):
        assert access.permissions(Actor.system(), organization) == READS | {
            P.MEMBER_CONSENT_VIEW,
            P.LEDGER_VIEW,
            P.PIPELINE_READ,
        }


def test_permissions__of_a_command_of_somebody_who_is_no_operator__none(cast: Cast) -> None:
    # A command is run in the name of an operator: an owner's role does not go with it.
    assert access.permissions(Actor.from_command(cast.owner), cast.labs) == set()


def test_superuser__who_is_no_operator__has_nothing(cast: Cast) -> None:
    root = UserFactory(email="root@example.org", name="Root", is_superuser=True)
    assert access.permissions(Actor.from_user(root, confirmed=True), cast.labs) == set()


# --- Foreign and absent ------------------------------------------------------------------------------------------


def test_get_organization__foreign_and_absent__same_not_found(cast: Cast) -> None:
    organizations.update_organization(organization=cast.brage, external_id="acc-9", actor=cast.provider, source="admin")
    absent = [
        str(uuid.uuid4()),
        "external:nobody",
        "external:",
        "",
        "1",
        "None",
        str(cast.labs.pk)[:-1],
        "external:\x00",
    ]
    foreign = [str(cast.brage.pk), "external:acc-9"]
    for actor in (person(cast, "owner"), key("organizations:read", cast.labs)):
        answers = set()
        for ident in absent + foreign:
            with pytest.raises(NotFound) as caught:
                access.get_organization(actor, ident, P.ORGANIZATION_VIEW)
            answers.add(repr(caught.value))
        assert len(answers) == 1
        assert access.get_organization(actor, str(cast.labs.pk), P.ORGANIZATION_VIEW) == cast.labs
    for ident in foreign:
        assert access.get_organization(cast.provider, ident, P.ORGANIZATION_VIEW) == cast.brage


def test_get_organization__own_without_the_permission__forbidden(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        access.get_organization(person(cast, "member"), str(cast.labs.pk), P.CONSENT_VIEW)
    with pytest.raises(Forbidden):
        access.get_organization(key("decisions:read", cast.labs), str(cast.labs.pk), P.CONSENT_VIEW)
    with pytest.raises(Forbidden):
        access.get_organization(key("decisions:read"), str(cast.labs.pk), P.CONSENT_VIEW)


def test_get_member__of_another_organization_and_absent__same_not_found(cast: Cast) -> None:
    foreign = Member.objects.get(organization=cast.brage)
    members.update_member(member=foreign, external_id="m-9", actor=cast.provider, source="admin")
    for actor in (person(cast, "owner"), cast.provider):
        answers = set()
        for ident in (str(foreign.pk), "external:m-9", str(uuid.uuid4()), "external:nobody", "", "me"):
            with pytest.raises(NotFound) as caught:
                access.get_member(actor, cast.labs, ident)
            answers.add(repr(caught.value))
        assert len(answers) == 1
        assert access.get_member(actor, cast.labs, str(cast.labs_member.pk)) == cast.labs_member
    assert access.get_member(cast.provider, cast.brage, "external:m-9") == foreign


def test_visible_to__everybody__own_organizations_rows_only(cast: Cast) -> None:
    key("consent:read", cast.labs)
    key("consent:read", cast.brage)
    for actor, seen in (
        (person(cast, "member"), {cast.labs.pk}),
        (person(cast, "outsider"), {cast.brage.pk}),
        (key("organizations:read", cast.brage), {cast.brage.pk}),
        (cast.provider, {cast.labs.pk, cast.brage.pk}),
        (Actor.system(), {cast.labs.pk, cast.brage.pk}),
    ):
        assert set(Organization.objects.visible_to(actor).values_list("pk", flat=True)) == seen
        for table in (Member, ConsentEvent):
            rows = table.objects.visible_to(actor).values_list("organization_id", flat=True)
            assert set(rows) == seen
        keys = set(ApiKey.objects.visible_to(actor).values_list("organization_id", flat=True))
        assert keys - {None} == seen
        assert (None in keys) <= actor.is_operator


def test_organizations_with__decisions__scope_of_each_kind_of_actor(cast: Cast) -> None:
    asks = P.DECISIONS_ASK
    assert access.organizations_with(cast.provider, asks) is None
    assert access.organizations_with(key("decisions:read"), asks) is None
    assert access.organizations_with(key("decisions:read", cast.labs), asks) == {cast.labs.pk}
    for role in ("owner", "admin", "auditor"):
        assert access.organizations_with(person(cast, role), asks) == {cast.labs.pk}
    blocked = Actor.from_user(User(pk=cast.owner.pk, is_active=False), confirmed=True)
    for actor in (person(cast, "member"), key("consent:read"), Actor.from_command(cast.owner), blocked):
        with pytest.raises(Forbidden):
            access.organizations_with(actor, asks)


def test_organizations_with__agrees_with_permissions__for_everybody(cast: Cast) -> None:
    actors = [person(cast, role) for role in ROLES] + [cast.provider, Actor.system(), Actor.from_command(cast.owner)]
    actors += [key(scope, of) for scope in SCOPES for of in (None, cast.labs)]
    for actor in actors:
        for permission in Permission:
            if permission == P.MEMBER_CONSENT_SPEAK:
                continue
            try:
                held = access.organizations_with(actor, permission)
            except Forbidden:
                held = frozenset()
            for organization in (cast.labs, cast.brage):
                told = held is None or organization.pk in held
                assert told == (permission in access.permissions(actor, organization)), (actor, permission)


def test_acts_as_operator__own_admin_does_not_need_the_providers_authority(cast: Cast) -> None:
    staff = UserFactory(email="staff@provider.example", name="Staff", operator=True)
    MemberFactory(organization=cast.labs, user=staff, role="admin", actor=cast.provider)
    own = Actor.from_user(staff, confirmed=True)
    assert not access.acts_as_operator(own, P.CONSENT_CHOOSE, cast.labs)
    assert access.acts_as_operator(own, P.LOCKS_MANAGE, cast.labs)
    assert access.acts_as_operator(own, P.CONSENT_CHOOSE, cast.brage)
    assert access.acts_as_operator(key("consent:write"), P.CONSENT_CHOOSE, cast.labs)
    assert not access.acts_as_operator(key("consent:write", cast.labs), P.CONSENT_CHOOSE, cast.labs)


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        ({}, "active"),
        ({"suspended_at": -1}, "suspended"),
        ({"expires_at": 1}, "active"),
        ({"expires_at": 0}, "expired"),
        ({"suspended_at": -1, "expires_at": -1}, "expired"),
        ({"suspended_at": -1, "expires_at": -1, "revoked_at": -2}, "revoked"),
    ],
)
def test_key__several_ends__the_one_that_lasts_is_shown(ended: dict[str, int], status: str) -> None:
    now = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    key = ApiKey(**{name: now + dt.timedelta(days=days) for name, days in ended.items()})
    assert key.status(now) == status
    assert key.is_live(now) == (status == "active")


def test_second_person__age_of_credentials_unknown__refused(cast: Cast) -> None:
    other = UserFactory(email="frigg@provider.example", name="Frigg Dahl", operator=True, old=True)
    wish = {"asked_at": dt.datetime(2026, 3, 2, tzinfo=dt.UTC), "involved": [cast.operator.pk]}
    with transaction.atomic():
        assert operators.require_second_person(other, **wish) == other
    QuerySet(User).filter(pk=other.pk).update(credentials_at=None)
    with transaction.atomic(), pytest.raises(Forbidden):
        operators.require_second_person(other, **wish)
