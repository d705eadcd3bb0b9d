"""R18: a key or webhook may do what its responsible person may do now; if they lose the right, it is suspended."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.access import Actor, Forbidden, Permission, permissions
from accounts.models import ApiKey, Member, OutgoingMessage, User
from consent import ledger
from consent.delivery.endpoints import deliver_next
from consent.errors import Invalid, Refused
from consent.models import PrivacySetting, WebhookEndpoint
from consent.services import credentials, erasure, invitations, members, webhooks
from tests.support import cast as casting
from tests.support.callers import ALL_SCOPES, ORGANIZATION_SCOPES, Caller, assert_problem, state
from tests.support.cast import Cast
from tests.support.factories import PASSWORD, MemberFactory, UserFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, refusal

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
NEW: dict[str, Any] = {"name": "x", "scopes": ["consent:read"], "source": "console"}
PERSONAL_SCOPES = tuple(scope for scope in ALL_SCOPES if scope != "consent:member")


def caller(text: str) -> Caller:
    return Caller(Client(), {"Authorization": f"Bearer {text}"})


def membership(cast: Cast, person: User) -> Member:
    found: Member = Member.objects.get(organization=cast.labs, user=person)
    return found


def second_operator() -> User:
    return UserFactory(email="frigg@provider.example", name="Frigg Dahl", operator=True)


# --- The ways to lose a right -----------------------------------------------------------------------------------------


def removed(cast: Cast, person: User) -> None:
    members.remove_member(member=membership(cast, person), actor=cast.provider, source="admin")


def demoted(cast: Cast, person: User) -> None:
    for role in ("auditor", "member"):
        members.update_member(member=membership(cast, person), actor=cast.provider, source="admin", role=role)


def erased(cast: Cast, person: User) -> None:
    erasure.erase_person(person=person, actor=cast.provider)


def changed_by_operator(**standing: str) -> Callable[[Cast, User], None]:
    """On the operators' site, as a second operator; what is not sent is taken away."""

    def change(_cast: Cast, person: User) -> None:
        client = Client()
        client.force_login(second_operator())
        sent = {"email": person.email, "name": person.name, **standing}
        assert client.post(f"/admin/accounts/user/{person.pk}/change/", sent).status_code == 302

    return change


deactivated = changed_by_operator()
no_operator = changed_by_operator(is_active="on")
LOSSES: list[tuple[str, Callable[[Cast, User], None]]] = [
    ("admin", removed),
    ("admin", demoted),
    ("admin", deactivated),
    ("admin", erased),
    ("operator", deactivated),
    ("operator", no_operator),
]
by_loss = pytest.mark.parametrize(("role", "lose"), LOSSES)
CALLS: list[tuple[str, str, Any]] = [
    ("POST", "decisions/", {"organization": "{labs}", "product": "le_chat"}),
    ("POST", "decisions/batch/", {"items": []}),
    ("GET", "surfaces/", None),
    ("GET", "organizations/{labs}/", None),
    ("GET", "organizations/{labs}/members/", None),
    ("GET", "organizations/{labs}/events/", None),
    ("GET", "webhooks/", None),
    ("GET", "products/", None),
    ("PUT", "organizations/{labs}/privacy-settings/le_chat_console/", {"choice": "opted_in", "reason": "x"}),
    ("PUT", "organizations/{labs}/privacy-settings/le_chat_console/", {"choice": "opted_out"}),
    ("POST", "organizations/{labs}/members/", {"email": "bo@kvasir.example", "role": "owner"}),
    ("DELETE", "organizations/{labs}/locks/le_chat/", {"reason": "x"}),
]


def key_of(cast: Cast, role: str, *, own: bool = False) -> tuple[ApiKey, str]:
    """Of the organization, answered for by an admin or an operator; `own`: the operator's, for all organizations."""
    organization = None if own else cast.labs
    scopes = PERSONAL_SCOPES if own else ORGANIZATION_SCOPES
    return issue_key("Sync", scopes, organization=organization, issued_by=getattr(cast, role))


@by_loss
def test_key__its_person_may_no_longer__worth_nothing_anywhere(cast: Cast, role: str, lose: Any) -> None:
    keys = [key_of(cast, role)] + ([key_of(cast, role, own=True)] if role == "operator" else [])
    for _key, text in keys:
        assert caller(text).get(f"organizations/{cast.labs.pk}/").status_code == 200
    lose(cast, getattr(cast, role))
    before = state(), Member.objects.count(), User.objects.count()
    for key, text in keys:
        assert ApiKey.objects.get(pk=key.pk).suspended_at is not None
        for method, path, body in CALLS:
            answer = caller(text)(method, path.replace("{labs}", str(cast.labs.pk)), body)
            assert_problem(answer, 401, "authentication_failed")
        assert permissions(Actor.from_key(ApiKey.objects.get(pk=key.pk)), cast.labs) == frozenset()
    assert (state(), Member.objects.count(), User.objects.count()) == before


@pytest.mark.parametrize("role", ["admin", "operator"])
@pytest.mark.parametrize("field", ["is_active", "is_staff", "role", "status"])
def test_key__right_gone_by_whatever_way__judged_at_use(cast: Cast, role: str, field: str) -> None:
    """Not even suspended: written past every service."""
    _key, text = key_of(cast, role)
    person, own = getattr(cast, role), Member.objects.filter(user=getattr(cast, role))
    if field in ("is_active", "is_staff"):
        User.objects.filter(pk=person.pk).update(**{field: False})
    elif field == "role":
        own.update(role="member")
    else:
        own.update(status="left", left_at=dt.datetime.now(dt.UTC))
    lost = field == "is_active" or (role == "operator") == (field == "is_staff")
    lost = lost and not (role == "operator" and field in ("role", "status"))
    for method, path, body in CALLS[:3]:
        answer = caller(text)(method, path.replace("{labs}", str(cast.labs.pk)), body)
        assert answer.status_code == (401 if lost else 200)


@by_loss
def test_key__its_person_comes_back__stays_suspended_until_another_takes_over(cast: Cast, role: str, lose: Any) -> None:
    key, text = key_of(cast, role)
    person = getattr(cast, role)
    lose(cast, person)
    User.objects.filter(pk=person.pk).update(is_active=True, is_staff=role == "operator")
    if role == "admin":
        Member.objects.filter(user=person, organization=cast.labs).update(role="owner", status="active", left_at=None)
    assert caller(text).get("products/").status_code == 401
    owner = Actor.from_user(cast.owner, confirmed=True)
    taken = credentials.take_over_key(key=ApiKey.objects.get(pk=key.pk), actor=owner, source="console")
    assert taken.text is not None and taken.text != text
    assert caller(text).get("products/").status_code == 401  # no overlap
    path = f"organizations/{cast.labs.pk}/privacy-settings/le_chat_console/"
    assert caller(taken.text).put(path, {"choice": "opted_out"}).status_code == 200
    assert ApiKey.objects.get(pk=key.pk).issued_by == cast.owner


def test_key__of_the_installation__outlives_everybody(cast: Cast) -> None:
    made = [
        issue_key("pipeline", ["decisions:read"]),
        issue_key("theirs", ["decisions:read"], organization=cast.labs),
        issue_key("phone", ["consent:member", "decisions:read"], issued_by=cast.operator),
    ]
    deactivated(cast, cast.operator)
    question = {"organization": str(cast.labs.pk), "product": "le_chat"}
    assert [caller(text).post("decisions/", question).status_code for _key, text in made] == [200, 200, 200]


def test_operator__who_is_the_organizations_admin_too__keeps_the_key_as_long_as_one_right_is_left(cast: Cast) -> None:
    MemberFactory(organization=cast.labs, user=cast.operator, role="admin", actor=cast.provider)
    _key, text = key_of(cast, "operator")
    removed(cast, cast.operator)
    assert caller(text).get(f"organizations/{cast.labs.pk}/").status_code == 200
    no_operator(cast, cast.operator)
    assert caller(text).get(f"organizations/{cast.labs.pk}/").status_code == 401


@by_loss
def test_suspension__owners_are_told__and_nothing_else_of_anybody_is_touched(cast: Cast, role: str, lose: Any) -> None:
    others = issue_key("Kept", ["consent:read"], organization=cast.labs, issued_by=cast.owner)[0]
    elsewhere = issue_key("Elsewhere", ["consent:read"], organization=cast.brage, issued_by=cast.outsider)[0]
    key_of(cast, role)
    OutgoingMessage.objects.all().delete()
    lose(cast, getattr(cast, role))
    told = [each.recipient for each in OutgoingMessage.objects.all()]
    assert told == [cast.owner.email]
    assert ApiKey.objects.filter(pk__in=[others.pk, elsewhere.pk], suspended_at=None).count() == 2


def test_suspension__no_owner_left__operators_are_told(cast: Cast) -> None:
    User.objects.filter(pk=cast.owner.pk).update(is_active=False)
    key_of(cast, "admin")
    removed(cast, cast.admin)
    assert [each.recipient for each in OutgoingMessage.objects.all()] == [cast.operator.email]


# --- Webhooks ---------------------------------------------------------------------------------------------------------


class Nowhere:
    """A sender that must not be asked."""

    def post(self, *_args: Any) -> None:
        raise AssertionError("something was delivered")


@by_loss
def test_webhook__its_person_may_no_longer__nothing_is_delivered_until_taken_over(
    cast: Cast, role: str, lose: Any
) -> None:
    actor = Actor.from_user(getattr(cast, role), confirmed=True)
    hook = webhooks.create_endpoint(
        source="admin", organization=cast.labs, url="https://hooks.example.com/", actor=actor
    )
    lose(cast, getattr(cast, role))
    hook.refresh_from_db()
    assert (hook.status, hook.paused_because) == ("paused", "suspended")
    position = hook.position
    casting.subscribe(cast.labs, "le_chat_free", cast.provider)
    assert deliver_next(Nowhere()) is False  # type: ignore[arg-type]
    owner = Actor.from_user(cast.owner, confirmed=True)
    for refused in (
        lambda: webhooks.update_endpoint(source="admin", endpoint=hook, actor=owner, status="active"),
        lambda: webhooks.rotate_secret(source="admin", endpoint=hook, actor=owner),
    ):
        with refusal(Refused, "suspended"), changes_nothing():
            refused()
    taken = webhooks.take_over(source="admin", endpoint=hook, actor=owner)
    assert (taken.status, taken.position, taken.created_by, taken.previous) == (
        "active", position, cast.owner, [],
    )  # fmt: skip
    assert taken.generation == hook.generation + 1


def test_webhook__right_gone_past_every_service__judged_when_it_is_delivered_to(cast: Cast) -> None:
    actor = Actor.from_user(cast.admin, confirmed=True)
    hook = webhooks.create_endpoint(
        source="admin", organization=cast.labs, url="https://hooks.example.com/", actor=actor
    )
    Member.objects.filter(user=cast.admin).update(role="member")
    casting.subscribe(cast.labs, "le_chat_free", cast.provider)
    ledger.sequence()
    deliver_next(Nowhere())  # type: ignore[arg-type]
    hook.refresh_from_db()
    assert hook.paused_because == "suspended"


# --- Making and taking over -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["auditor", "member", "outsider"])
def test_keys__without_the_right__nothing_is_made_taken_or_revoked(cast: Cast, role: str) -> None:
    actor, key = Actor.from_user(getattr(cast, role), confirmed=True), key_of(cast, "admin")[0]
    with changes_nothing():
        for act in (
            lambda: credentials.issue_key(
                name="x", scopes=["consent:read"], organization=cast.labs, actor=actor, source="console"
            ),
            lambda: credentials.issue_key(**NEW, actor=actor),
            lambda: credentials.take_over_key(key=key, actor=actor, source="console"),
            lambda: credentials.revoke_key(key=key, actor=actor, source="console"),
        ):
            with pytest.raises(Forbidden):
                act()


@pytest.mark.parametrize("own", [False, True])
def test_key__makes_and_takes_over_no_key(cast: Cast, own: bool) -> None:
    key = key_of(cast, "operator", own=own)[0]
    actor, organization = Actor.from_key(key), None if own else cast.labs
    hook = webhooks.create_endpoint(
        source="admin", organization=organization, url="https://hooks.example.com/", actor=actor
    )
    assert hook.created_by == cast.operator
    with changes_nothing():
        for act in (
            lambda: credentials.issue_key(
                name="x", scopes=["consent:read"], organization=organization, actor=actor, source="console"
            ),
            lambda: credentials.take_over_key(key=key, actor=actor, source="console"),
            lambda: credentials.revoke_key(key=key, actor=actor, source="console"),
            lambda: webhooks.take_over(source="admin", endpoint=hook, actor=actor),
        ):
            with pytest.raises(Forbidden):
                act()


def test_key_that_speaks_for_members__on_a_screen__waits_for_a_second_operator(cast: Cast) -> None:
    first, second = cast.provider, Actor.from_user(second_operator(), confirmed=True)
    waiting = credentials.issue_key(name="Phone", scopes=["consent:member"], actor=first, source="console")
    assert waiting.text is None and waiting.key.suspended_at is not None
    with refusal(Refused, "second_operator"), changes_nothing():
        credentials.take_over_key(key=waiting.key, actor=first, source="console")
    text = credentials.take_over_key(key=waiting.key, actor=second, source="console").text
    assert text is not None and caller(text).get("products/").status_code == 200


def test_key_that_speaks_for_members__second_operator_made_after_it__is_none(cast: Cast) -> None:
    waiting = credentials.issue_key(name="Phone", scopes=["consent:member"], actor=cast.provider, source="console")
    made_since = Actor.from_user(second_operator(), confirmed=True)
    with pytest.raises(Forbidden), changes_nothing():
        credentials.take_over_key(key=waiting.key, actor=made_since, source="console")


def test_key_that_speaks_for_members__working__is_taken_over_by_nobody_alone(cast: Cast) -> None:
    second, third = second_operator(), UserFactory(email="third@provider.example", name="Third", operator=True)
    waiting = credentials.issue_key(name="Phone", scopes=["consent:member"], actor=cast.provider, source="console")
    actor = Actor.from_user(second, confirmed=True)
    credentials.take_over_key(key=waiting.key, actor=actor, source="console")
    working = ApiKey.objects.get(pk=waiting.key.pk)
    for person in (cast.operator, second, third):
        with refusal(Refused, "second_operator"), changes_nothing():
            actor = Actor.from_user(person, confirmed=True)
            credentials.take_over_key(key=working, actor=actor, source="console")


def test_take_over__ended_key__refused(cast: Cast) -> None:
    key, _text = key_of(cast, "admin")
    owner = Actor.from_user(cast.owner, confirmed=True)
    assert credentials.revoke_key(key=key, actor=owner, source="console") is True
    assert credentials.revoke_key(key=key, actor=owner, source="console") is False
    with refusal(Refused, "ended"), changes_nothing():
        credentials.take_over_key(key=key, actor=owner, source="console")
    with refusal(Invalid, "expired", "expires_at"), changes_nothing():
        past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        credentials.issue_key(
            name="x", scopes=["consent:read"], organization=cast.labs, actor=owner, expires_at=past, source="console"
        )


# --- Invitations ------------------------------------------------------------------------------------------------------


@by_loss
def test_invitation__inviter_may_no_longer__nobody_joins(cast: Cast, role: str, lose: Any) -> None:
    links: list[str] = []
    actor = Actor.from_key(key_of(cast, role)[0])
    wanted: dict[str, Any] = {"organization": cast.labs, "role": "owner", "link": lambda s: links.append(s) or s}
    invitations.invite(source="console", email="new@kvasir.example", actor=actor, **wanted)
    lose(cast, getattr(cast, role))
    found = invitations.find(links[0])
    assert found is not None and found.invited_by == getattr(cast, role)
    with refusal(Refused, "ended"), changes_nothing():
        invitations.accept(invitation=found, name="N", password=PASSWORD)


def test_setting__of_nobody_is_changed_by_a_suspended_key(cast: Cast) -> None:
    """The story of the review: a removed admin's key over the owner's opt-out."""
    _key, text = key_of(cast, "admin")
    removed(cast, cast.admin)
    path = f"organizations/{cast.labs.pk}/privacy-settings/le_chat_console/"
    assert caller(text).put(path, {"choice": "opted_in"}, if_match='"1"').status_code == 401
    body = {"email": cast.admin.email, "name": "", "role": "owner"}
    assert caller(text).post(f"organizations/{cast.labs.pk}/members/", body).status_code == 401
    assert membership(cast, cast.admin).status == "left"
    assert not PrivacySetting.objects.filter(choice="opted_in").exists()
    assert Permission.KEYS_MANAGE in permissions(Actor.from_user(cast.owner), cast.labs)
    assert WebhookEndpoint.objects.count() == 0
