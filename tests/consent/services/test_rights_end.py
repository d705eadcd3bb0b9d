"""What depends on a right ends with it (R18): URLs and secrets of webhooks, tests, invitations sent by a key."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.access import Actor, Forbidden
from accounts.models import ApiKey, Member, User
from consent import ledger
from consent.delivery.endpoints import deliver_next, send_next_test
from consent.delivery.sending import ReceiverResponse
from consent.errors import Refused
from consent.models import ConsentEvent, WebhookAttempt, WebhookEndpoint
from consent.presentation import privacy_settings
from consent.services import credentials, invitations, members, webhooks
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support import cast as casting
from tests.support.callers import ORGANIZATION_SCOPES, Caller, assert_problem
from tests.support.cast import Cast
from tests.support.factories import PASSWORD, MemberFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, refusal

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
URL = "https://hooks.example.com/"


@pytest.fixture(autouse=True)
def addresses_are_not_looked_up(settings: Any) -> None:
    settings.DEBUG = True


def sure(person: User) -> Actor:
    return Actor.from_user(person, confirmed=True)


def hook_of(cast: Cast, person: User) -> WebhookEndpoint:
    return webhooks.create_endpoint(organization=cast.labs, url=URL, actor=sure(person), source="console")


def leaves(cast: Cast, person: User) -> None:
    member = Member.objects.get(organization=cast.labs, user=person)
    members.remove_member(member=member, actor=cast.provider, source="admin")


class Receiver:
    """A sender that notes what it is given; `then` runs with each."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.got: list[bytes] = []
        self.then = then

    def post(self, _url: str, _headers: dict[str, str], body: bytes) -> ReceiverResponse:
        self.got.append(body)
        self.then()
        return ReceiverResponse(200, "", 1, "")


# --- Webhooks ---------------------------------------------------------------------------------------------------------


CHANGES: dict[str, Callable[[WebhookEndpoint, Actor], Any]] = {
    "chooses its address": lambda hook, actor: webhooks.update_endpoint(
        endpoint=hook, actor=actor, source="console", url="https://bo.example.com/"
    ),
    "gets its secret": lambda hook, actor: webhooks.rotate_secret(endpoint=hook, actor=actor, source="console"),
    "takes it over": lambda hook, actor: webhooks.take_over(endpoint=hook, actor=actor, source="console"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by", ["admin", "admin's key"])
def test_webhook__another_chooses_address_or_secret__ends_with_their_right(cast: Cast, change: str, by: str) -> None:
    hook = hook_of(cast, cast.owner)
    if by == "admin":
        actor = sure(cast.admin)
    elif change == "takes it over":
        return  # a key takes nothing over
    else:
        key, _text = issue_key("Hooks", ["webhooks:write"], organization=cast.labs, issued_by=cast.admin)
        actor = Actor.from_key(key)
    CHANGES[change](hook, actor)
    leaves(cast, cast.admin)
    hook.refresh_from_db()
    assert (hook.status, hook.paused_because) == ("paused", "suspended")


@pytest.mark.parametrize("change", [{"description": "Ours"}, {"kinds": ["lock.placed"]}, {"url": URL}])
def test_webhook__another_changes_what_tells_nobody_more__stays_its_persons(cast: Cast, change: Any) -> None:
    hook = hook_of(cast, cast.owner)
    webhooks.update_endpoint(endpoint=hook, actor=sure(cast.admin), source="console", **change)
    leaves(cast, cast.admin)
    hook.refresh_from_db()
    assert (hook.status, hook.created_by) == ("active", cast.owner)


@pytest.mark.parametrize("because", ["", "somebody", "failing", "gone"])
def test_webhook__paused_before_it_was_suspended__is_paused_after_take_over_too(cast: Cast, because: str) -> None:
    hook = hook_of(cast, cast.admin)
    if because:
        WebhookEndpoint.objects.update(status="paused", paused_because=because)
    leaves(cast, cast.admin)
    taken = webhooks.take_over(endpoint=hook, actor=sure(cast.owner), source="console")
    assert (taken.status, taken.paused_because) == ("paused" if because else "active", because)
    if because:
        gone_on = webhooks.update_endpoint(endpoint=taken, actor=sure(cast.owner), source="console", status="active")
        assert (gone_on.status, gone_on.paused_because, gone_on.paused_before) == ("active", "", "")


@pytest.mark.parametrize("changes", [{"status": "paused"}, {"status": "paused", "url": URL, "description": "Ours"}])
@pytest.mark.parametrize("before", ["", "failing"])
def test_webhook__suspended_and_paused_once_more__stays_as_it_is(
    cast: Cast, before: str, changes: dict[str, str]
) -> None:
    hook = hook_of(cast, cast.admin)
    later = timezone.now() + dt.timedelta(hours=2)
    WebhookEndpoint.objects.update(failures=4, next_attempt_at=later)
    if before:
        WebhookEndpoint.objects.update(status="paused", paused_because=before)
    leaves(cast, cast.admin)
    hook.refresh_from_db()
    kept = ("status", "paused_because", "paused_before", "failures", "next_attempt_at", "position", "created_by_id")
    there = WebhookEndpoint.objects.values(*kept).get()
    webhooks.update_endpoint(endpoint=hook, actor=sure(cast.owner), source="api", **changes)
    assert WebhookEndpoint.objects.values(*kept).get() == there
    assert there["paused_because"] == "suspended" and there["failures"] == 4


def test_webhook__waits_for_its_next_attempt__tried_at_once_only_where_that_is_asked(cast: Cast) -> None:
    hook = hook_of(cast, cast.owner)
    for changes, waits in (
        ({"url": URL}, True),
        ({"description": "Ours"}, True),
        ({"status": "active"}, False),
        ({"url": "https://bo.example.com/"}, False),
    ):
        WebhookEndpoint.objects.update(failures=4, next_attempt_at=timezone.now() + dt.timedelta(hours=2))
        found = webhooks.update_endpoint(endpoint=hook, actor=sure(cast.owner), source="api", **changes)
        assert (found.failures, found.next_attempt_at is not None) == ((4, True) if waits else (0, False)), changes


ACTS: dict[str, Callable[[WebhookEndpoint, Actor], Any]] = CHANGES | {
    "makes one": lambda hook, actor: webhooks.create_endpoint(
        organization=hook.organization, url=URL, actor=actor, source="admin"
    ),
    "makes one of everybody's": lambda _hook, actor: webhooks.create_endpoint(
        organization=None, url=URL, actor=actor, source="admin"
    ),
    "pauses it": lambda hook, actor: webhooks.update_endpoint(
        endpoint=hook, actor=actor, source="admin", status="paused"
    ),
    "sends it back": lambda hook, actor: webhooks.replay(endpoint=hook, actor=actor, source="admin", after=0),
    "tests it": lambda hook, actor: webhooks.request_test(endpoint=hook, actor=actor),
    "deletes it": lambda hook, actor: webhooks.delete_endpoint(endpoint=hook, actor=actor, source="admin"),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("lost", ["is_staff", "is_active"])
def test_webhook__right_lost_since_the_request_began__nothing_is_done(cast: Cast, act: str, lost: str) -> None:
    """The person as the request read them is older than what takes the right away."""
    hook = hook_of(cast, cast.owner)
    actor = sure(User.objects.get(pk=cast.operator.pk))
    User.objects.filter(pk=cast.operator.pk).update(**{lost: False})
    with pytest.raises(Forbidden), changes_nothing():
        ACTS[act](hook, actor)


@pytest.mark.parametrize("act", [name for name in ACTS if name not in ("takes it over", "makes one of everybody's")])
@pytest.mark.parametrize("end", ["revoked_at", "suspended_at", "expires_at"])
def test_webhook__key_ended_since_the_request_began__nothing_is_done(cast: Cast, act: str, end: str) -> None:
    hook = hook_of(cast, cast.owner)
    key, _text = issue_key("Hooks", ["webhooks:write"], organization=cast.labs, issued_by=cast.admin)
    actor = Actor.from_key(key)
    ApiKey.objects.filter(pk=key.pk).update(**{end: timezone.now()})
    with pytest.raises(Forbidden), changes_nothing():
        ACTS[act](hook, actor)


def test_test__webhook_read_before_it_was_suspended__is_refused(cast: Cast) -> None:
    hook = hook_of(cast, cast.admin)
    leaves(cast, cast.admin)
    with refusal(Refused, "suspended"), changes_nothing():
        webhooks.request_test(endpoint=hook, actor=sure(cast.owner))


@pytest.mark.parametrize("way", ["by a service", "past every service"])
def test_test__asked_for_by_who_left_meanwhile__is_not_sent(cast: Cast, way: str) -> None:
    hook = hook_of(cast, cast.admin)
    webhooks.request_test(endpoint=hook, actor=sure(cast.admin))
    if way == "by a service":
        leaves(cast, cast.admin)
    else:
        Member.objects.filter(user=cast.admin).update(role="member")
    receiver = Receiver()
    send_next_test(receiver)  # type: ignore[arg-type]
    attempt = WebhookAttempt.objects.get()
    assert receiver.got == []
    assert (attempt.delivered, attempt.waiting, attempt.error) == (False, False, "not sent: the webhook is suspended")


def test_delivery__right_lost_during_a_turn__nothing_more_is_sent(cast: Cast) -> None:
    hook = hook_of(cast, cast.admin)
    for plan in ("le_chat_free", "le_chat_pro", "le_chat_free"):
        casting.subscribe(cast.labs, plan, cast.provider)
    ledger.sequence()
    receiver = Receiver(then=lambda: leaves(cast, cast.admin))
    deliver_next(receiver)  # type: ignore[arg-type]
    assert len(receiver.got) == 1
    hook.refresh_from_db()
    assert hook.paused_because == "suspended"


def test_delivery__right_is_back_before_it_is_suspended__left_alone_for_a_while(cast: Cast) -> None:
    """What can't be suspended must not keep a worker busy with nothing else."""
    hook = hook_of(cast, cast.admin)
    casting.subscribe(cast.labs, "le_chat_free", cast.provider)
    ledger.sequence()
    lost = Member.objects.filter(user=cast.admin, organization=cast.labs)
    lost.update(role="member")

    def comes_back(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "issued_by_id" in sql:  # its credentials are looked for, to be suspended
            lost.update(role="admin")
        return execute(sql, params, many, context)

    receiver = Receiver()
    with connection.execute_wrapper(comes_back):
        assert [deliver_next(receiver) for _turn in range(2)] == [False, False]  # type: ignore[arg-type]
    hook.refresh_from_db()
    assert (hook.status, receiver.got) == ("active", [])
    WebhookEndpoint.objects.update(leased_until=None)
    assert deliver_next(receiver) and receiver.got  # type: ignore[arg-type]


# --- In whose name ----------------------------------------------------------------------------------------------------


LE_CHAT = "organizations/{labs}/privacy-settings/le_chat_console/"


def by_key_of(cast: Cast, person: User | None) -> Caller:
    text = issue_key("Sync", ORGANIZATION_SCOPES, organization=cast.labs, issued_by=person)[1]
    return Caller(Client(), {"Authorization": f"Bearer {text}"})


@pytest.mark.parametrize("standing", ["no role there", "auditor there", "member there"])
def test_key_of_a_customer__that_an_operator_answers_for__speaks_as_the_provider(cast: Cast, standing: str) -> None:
    """Else one operator alone could write into the history that the customer had agreed."""
    if standing != "no role there":
        MemberFactory(organization=cast.labs, user=cast.operator, role=standing.partition(" ")[0], actor=cast.provider)
    key, path = by_key_of(cast, cast.operator), LE_CHAT.replace("{labs}", str(cast.labs.pk))
    key.put(path, {"choice": "opted_out"})
    with changes_nothing():
        assert_problem(key.put(path, {"choice": "opted_in"}, if_match='"2"'), 400, "required", "#/reason")
    assert key.put(path, {"choice": "opted_in", "reason": "By letter."}, if_match='"2"').status_code == 200
    event = ConsentEvent.objects.filter(kind="choice.opted_in").get()
    assert (event.actor_type, event.by_operator, event.reason) == ("api_key", True, "By letter.")
    seen = privacy_settings.organization_setting(cast.labs, LE_CHAT_CONSOLE, Actor.from_user(cast.owner))
    assert seen.set_by_operator


@pytest.mark.parametrize("person", ["owner", "admin", "operator who is admin there", "nobody"])
def test_key_of_a_customer__that_its_own_people_answer_for__speaks_for_it(cast: Cast, person: str) -> None:
    if person.startswith("operator"):
        MemberFactory(organization=cast.labs, user=cast.operator, role="admin", actor=cast.provider)
    who = {"nobody": None, "operator who is admin there": cast.operator}.get(person) if person not in (
        "owner", "admin") else getattr(cast, person)  # fmt: skip
    key, path = by_key_of(cast, who), LE_CHAT.replace("{labs}", str(cast.labs.pk))
    key.put(path, {"choice": "opted_out"})
    assert key.put(path, {"choice": "opted_in"}, if_match='"2"').status_code == 200
    assert not ConsentEvent.objects.filter(kind__startswith="choice.", by_operator=True).exists()


def test_key_of_a_customer__that_an_operator_answers_for__invites_like_its_other_keys(cast: Cast) -> None:
    key, path = by_key_of(cast, cast.operator), f"organizations/{cast.labs.pk}/members/"
    assert key.post(path, {"email": "new@kvasir.example", "name": "N", "role": "owner"}).status_code == 202
    actor = Actor.from_key(ApiKey.objects.get(name="Sync"))
    with pytest.raises(Forbidden), changes_nothing():
        members.add_member(organization=cast.labs, email="x@kvasir.example", actor=actor, source="api")
    event = ConsentEvent.objects.get(kind="access.invitation_sent")
    assert (event.actor_type, event.by_operator) == ("api_key", True)


# --- Invitations ------------------------------------------------------------------------------------------------------


def revoked(cast: Cast, key: ApiKey) -> None:
    credentials.revoke_key(key=key, actor=sure(cast.owner), source="console")


def suspended(cast: Cast, key: ApiKey) -> None:
    leaves(cast, cast.admin)
    again = MemberFactory(organization=cast.labs, user=cast.admin, role="admin", actor=cast.provider)
    assert not again.has_left


def expired(_cast: Cast, key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - dt.timedelta(seconds=1))


def bereft_of_scopes(_cast: Cast, key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(scopes=["decisions:read"])


@pytest.mark.parametrize("end", [revoked, suspended, expired, bereft_of_scopes])
@pytest.mark.parametrize("responsible", ["admin", "nobody"])
def test_invitation__by_a_key_that_ended__lets_nobody_in(cast: Cast, end: Any, responsible: str) -> None:
    """A key that was stolen and revoked has invited nobody, though whoever answers for it still may."""
    if responsible == "nobody" and end is suspended:
        return  # nobody's leaving suspends a key of the machine's
    person = cast.admin if responsible == "admin" else None
    key, _text = issue_key("Sync", ["organizations:write"], organization=cast.labs, issued_by=person)
    links: list[str] = []
    invitations.invite(
        organization=cast.labs, email="new@kvasir.example", role="owner", actor=Actor.from_key(key), source="api",
        link=lambda secret: links.append(secret) or "a link",  # type: ignore[func-returns-value]
    )  # fmt: skip
    end(cast, key)
    found = invitations.find(links[0])
    assert found is not None
    with refusal(Refused, "ended"), changes_nothing():
        invitations.accept(invitation=found, name="N", password=PASSWORD)
