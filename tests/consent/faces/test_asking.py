"""Acts that end or loosen something ask once on a page, saying what happens; opting out never asks."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from accounts.access import Actor
from accounts.models import ApiKey, Member, Subscription
from consent.models import Lock, PrivacySetting, WebhookEndpoint
from consent.services import choices, credentials, locks, organizations, plans, webhooks
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support import cast as casting
from tests.support.asking import agreed, asks
from tests.support.cast import Cast, subscribe
from tests.support.factories import MemberFactory, UserFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing
from tests.support.recordings import Recorded

pytestmark = pytest.mark.django_db
HOOK = "https://hooks.example.com/in"


@dataclasses.dataclass
class World:
    """Kvasir Labs with a second admin, who has a key and a webhook; Brage, whose Le Chat is locked."""

    cast: Cast
    second: Member
    key: ApiKey
    hook: WebhookEndpoint

    def hooks(self) -> list[dict[str, Any]]:
        return list(WebhookEndpoint.objects.order_by("pk").values())


def make_world() -> World:
    cast = casting.make()
    person = UserFactory(name="Eir Dahl")
    second = MemberFactory(organization=cast.labs, user=person, role="admin", actor=cast.provider)
    actor = Actor.from_user(person, confirmed=True)
    key = issue_key("Sync", ["decisions:read"], organization=cast.labs, issued_by=person)[0]
    hook = webhooks.create_endpoint(organization=cast.labs, url=HOOK, actor=actor, source="console")
    locks.place_lock(
        organization=cast.brage, product="le_chat", reason="By contract", reference="C-1", actor=cast.provider,
        source="admin",
    )  # fmt: skip
    return World(cast, second, key, hook)


@pytest.fixture
def world(db: None, recorded: Recorded[World]) -> World:
    return recorded(make_world).load()


Path = Callable[[World], str]


def organization(name: str, of: str = "labs", product: str = "") -> Path:
    def path(world: World) -> str:
        args = [getattr(world.cast, of).pk, *([product] if product else [])]
        return reverse(f"admin:accounts_organization_{name}", args=args)

    return path


def admin(name: str, get: Callable[[World], Any], *more: str) -> Path:
    return lambda world: reverse(f"admin:{name}", args=[get(world), *more])


def console(name: str) -> Path:
    return lambda world: reverse(f"console:{name}", args=[world.cast.labs.pk])


def live(product: str) -> Callable[[World], Any]:
    def plan(world: World) -> Any:
        held = Subscription.objects.filter(organization=world.cast.labs, product=product, ended_at=None)
        return held.values_list("plan", flat=True).first()

    return plan


def role(world: World) -> str:
    return str(Member.objects.get(pk=world.second.pk).role)


def status(world: World) -> str:
    return str(Member.objects.get(pk=world.second.pk).status)


def generation(world: World) -> int:
    return WebhookEndpoint.objects.get(pk=world.hook.pk).generation


def revoked(world: World) -> bool:
    return ApiKey.objects.get(pk=world.key.pk).revoked_at is not None


def responsible(world: World) -> Any:
    return ApiKey.objects.get(pk=world.key.pk).issued_by_id


def locked(of: str) -> Callable[[World], bool]:
    return lambda world: Lock.objects.filter(organization=getattr(world.cast, of), lifted_at=None).exists()


def closed(world: World) -> bool:
    world.cast.labs.refresh_from_db()
    return world.cast.labs.is_closed


WHY = {"reason": "By letter"}
KEY, HOOK_ID, SECOND = (lambda w: w.key.pk), (lambda w: w.hook.pk), (lambda w: w.second.pk)
STOPS = "2 keys and webhooks that they are responsible for stop, until somebody takes them over."
SIGNED = f"Messages to {HOOK} are signed with a new secret"
# (who, what, where, what is sent, what the page says, what is changed, and to what)
ACTS: list[tuple[str, str, Path, dict[str, Any], list[str], Callable[[World], Any], Any]] = [
    ("operator", "move to a plan that is out", organization("plan", product="le_chat"),
     {"plan": "le_chat_teams", **WHY},
     ["Move Kvasir Labs to Le Chat Teams?",
      "Following the default of Le Chat Pro: used for training. Nobody has chosen yet.",
      "Following the default of Le Chat Teams: not used for training. Nobody has chosen yet.",
      "From now on this data is not used."], live("le_chat"), "le_chat_teams"),
    ("operator", "move to a plan that is in", organization("plan", product="ai_studio"),
     {"plan": "ai_studio_experiment", **WHY},
     ["Kept from AI Studio Scale, until you opt in.",
      "It is not used, as before.",
      "Nobody opted in, so “not used” is carried over until an owner or admin opts in."],
     live("ai_studio"), "ai_studio_experiment"),
    ("operator", "end a subscription", organization("end", product="le_chat"), WHY,
     ["End the subscription of Kvasir Labs?", "Not used for training. There is no subscription for this product."],
     live("le_chat"), None),
    ("operator", "lock", organization("lock", product="le_chat"), {"reference": "C-2", **WHY},
     ["Lock training off for Kvasir Labs?", "Nobody can opt in until the lock is lifted."], locked("labs"), True),
    ("operator", "lift a lock", organization("lift", "brage", "le_chat"), WHY,
     ["Lift the lock of Brage Skaldskap?", "Not used for training. Locked since",
      "Following the default of Le Chat Teams: not used for training."], locked("brage"), False),
    ("operator", "close", organization("close"), WHY,
     ["Close the account of Kvasir Labs?", "Nothing is deleted, and what was chosen stays.",
      "Not used for training. The account of Kvasir Labs is closed."], closed, True),
    ("operator", "lesser role", admin("accounts_member_change", SECOND), {"role": "auditor", "external_id": ""},
     ["Give Eir Dahl a lesser role?", "Their role was Admin, and will be: Auditor.", STOPS,
      "They can no longer change the organization's choices, members, keys and webhooks."], role, "auditor"),
    ("operator", "let leave", admin("accounts_member_leave", SECOND), {},
     ["Remove Eir Dahl from Kvasir Labs?", STOPS], status, "left"),
    ("operator", "revoke a key", admin("accounts_apikey_revoke", KEY), {},
     ["Revoke Sync", "It was never used."], revoked, True),
    ("operator", "another secret", admin("consent_webhookendpoint_verb", HOOK_ID, "rotate"), {},
     [SIGNED, "For a day the old secret signs too."], generation, 2),
    ("operator", "take a webhook over", admin("consent_webhookendpoint_verb", HOOK_ID, "take-over"), {},
     [SIGNED, "You become responsible for this webhook."], generation, 2),
    ("operator", "delete a webhook", admin("consent_webhookendpoint_verb", HOOK_ID, "remove"), {},
     [f"Nothing more is sent to {HOOK}."], World.hooks, []),
    ("owner", "lesser role", console("members"), {"do": "role", "role": "member", "member": SECOND},
     ["Their role was Admin, and will be: Member.", STOPS,
      "They no longer see the organization's settings, members and history."], role, "member"),
    ("owner", "remove", console("members"), {"do": "remove", "member": SECOND},
     ["Remove Eir Dahl from Kvasir Labs?", STOPS], status, "left"),
    ("owner", "revoke a key", console("settings"), {"do": "revoke", "key": KEY},
     ["From now on, every request with this key is refused."], revoked, True),
    ("owner", "take a key over", console("settings"), {"do": "take-over", "key": KEY},
     ["The old secret stops working at once"], responsible, lambda w: w.cast.owner.pk),
    ("owner", "another secret", console("webhooks"), {"do": "rotate", "webhook": HOOK_ID}, [SIGNED], generation, 2),
    ("owner", "take a webhook over", console("webhooks"), {"do": "take-over", "webhook": HOOK_ID},
     [SIGNED], generation, 2),
    ("owner", "delete a webhook", console("webhooks"), {"do": "delete", "webhook": HOOK_ID},
     ["Its secret and the record of its attempts are deleted."], World.hooks, []),
]  # fmt: skip


def sent_of(world: World, sent: dict[str, Any]) -> dict[str, str]:
    return {name: str(value(world)) if callable(value) else value for name, value in sent.items()}


def signed_in(world: World, who: str) -> Client:
    client = Client()
    client.force_login(getattr(world.cast, who))
    return client


def said(response: HttpResponse) -> str:
    return response.content.decode()


@pytest.mark.parametrize(
    ("who", "what", "where", "sent", "words", "reads", "after"), ACTS, ids=[f"{who} {what}" for who, what, *_ in ACTS]
)
def test_act__not_confirmed__says_what_happens_and_changes_nothing__confirmed__is_done(
    world: World, who: str, what: str, where: Path, sent: dict[str, Any], words: list[str],
    reads: Callable[[World], Any], after: Any,
) -> None:  # fmt: skip
    client, path, values = signed_in(world, who), where(world), sent_of(world, sent)
    hooks = world.hooks()
    with changes_nothing():
        asked = client.post(path, values)
    assert (asked.status_code, world.hooks()) == (200, hooks)
    assert [each for each in ["What happens", *words] if escape(each) not in said(asked)] == []
    done = client.post(path, values | agreed(asked))
    assert done.status_code in (200, 302) and not asks(done)
    assert reads(world) == (after(world) if callable(after) else after)


def test_reopening__not_confirmed__then_confirmed__is_done(world: World) -> None:
    who: dict[str, Any] = {"organization": world.cast.labs, "actor": world.cast.provider, "source": "admin"}
    organizations.close_organization(**who, reason="x")
    client, path = signed_in(world, "operator"), organization("reopen")(world)
    with changes_nothing():
        asked = client.post(path, WHY)
    assert "What comes in from now on may be used; earlier data is not." in said(asked)
    assert client.post(path, WHY | agreed(asked)).status_code == 302
    assert not closed(world)


def test_key_of_an_installation__taken_over_by_a_second_operator__asked_then_shown(world: World) -> None:
    first = Actor.from_user(UserFactory(operator=True, old=True), confirmed=True)
    key = credentials.issue_key(name="App", scopes=["consent:member"], actor=first, source="admin").key
    second = UserFactory(operator=True, old=True)
    client = Client()
    client.force_login(second)
    path = reverse("admin:accounts_apikey_take_over", args=[key.pk])
    with changes_nothing():
        asked = client.post(path)
    assert "You become responsible for this key" in said(asked)
    assert client.post(path, agreed(asked)).status_code == 302
    assert ApiKey.objects.get(pk=key.pk).issued_by_id == second.pk


# --- What has changed since -------------------------------------------------------------------------------------------


def test_move__somebody_chose_meanwhile__asked_again_with_what_happens_now(world: World) -> None:
    client, path = signed_in(world, "operator"), organization("plan", product="le_chat")(world)
    sent = {"plan": "le_chat_teams", **WHY}
    first = client.post(path, sent)
    owner = Actor.from_user(world.cast.owner, confirmed=True)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=world.cast.labs, choice="opted_out", actor=owner, source="console"
    )
    with changes_nothing():
        again = client.post(path, sent | agreed(first))
    assert again.status_code == 409
    assert "something else has changed since you looked" in said(again)
    assert "The choice to opt out stays." in said(again)
    assert client.post(path, sent | agreed(again)).status_code == 302
    assert live("le_chat")(world) == "le_chat_teams"


def test_move__to_another_plan_than_was_confirmed__asked_again(world: World) -> None:
    client, path = signed_in(world, "operator"), organization("plan", product="le_chat")(world)
    first = client.post(path, {"plan": "le_chat_teams", **WHY})
    with changes_nothing():
        again = client.post(path, {"plan": "le_chat_enterprise", **WHY, **agreed(first)})
    assert again.status_code == 409


def test_secret__form_sent_twice__replaced_once(world: World) -> None:
    client, path = signed_in(world, "owner"), console("webhooks")(world)
    sent = sent_of(world, {"do": "rotate", "webhook": HOOK_ID})
    confirmed = sent | agreed(client.post(path, sent))
    assert client.post(path, confirmed).status_code == 302
    assert client.post(path, confirmed).status_code == 409
    assert generation(world) == 2


def test_confirmed__nonsense__asked(world: World) -> None:
    client, path = signed_in(world, "operator"), organization("close")(world)
    with changes_nothing():
        assert client.post(path, {**WHY, "confirmed": "yes"}).status_code == 409


# --- What asks nothing ------------------------------------------------------------------------------------------------


def test_opting_out__never_asks(world: World) -> None:
    for who, path in (
        ("owner", reverse("console:le-chat", args=[world.cast.labs.pk])),
        ("operator", reverse("admin:accounts_organization_setting", args=[world.cast.labs.pk, LE_CHAT_CONSOLE.key])),
        ("operator", reverse("admin:accounts_member_opt_out", args=[world.cast.labs_member.pk])),
        ("member", reverse("console:data-sharing", args=[world.cast.labs_member.pk])),
    ):
        done = signed_in(world, who).post(path, {"choice": "opted_out"})
        assert done.status_code == 302 and not asks(done)
    assert set(PrivacySetting.objects.exclude(choice="default").values_list("choice", flat=True)) == {"opted_out"}


def test_act__that_changes_nothing__is_not_asked_about(world: World) -> None:
    operator = signed_in(world, "operator")
    with changes_nothing():
        done = operator.post(organization("plan", product="le_chat")(world), {"plan": "le_chat_pro", **WHY})
    assert done.status_code == 302


def test_greater_role__is_not_asked_about(world: World) -> None:
    sent = {"do": "role", "role": "owner", "member": str(world.second.pk)}
    assert signed_in(world, "owner").post(console("members")(world), sent).status_code == 302
    assert role(world) == "owner"


@pytest.mark.parametrize("sent", [{"plan": "le_chat_teams"}, {"plan": "ai_studio_scale", **WHY}, WHY])
def test_move__without_a_reason_or_plan__refused_before_it_is_asked(world: World, sent: dict[str, str]) -> None:
    operator = signed_in(world, "operator")
    with changes_nothing():
        refused = operator.post(organization("plan", product="le_chat")(world), sent)
    assert refused.status_code == 400 and not asks(refused)


def test_last_owner__removed__refused_before_it_is_asked(world: World) -> None:
    owner = Member.objects.get(organization=world.cast.labs, user=world.cast.owner)
    client = signed_in(world, "owner")
    with changes_nothing():
        refused = client.post(console("members")(world), {"do": "remove", "member": str(owner.pk)})
    assert refused.status_code == 409 and not asks(refused)


# --- What becomes of the choice ---------------------------------------------------------------------------------------


def test_move__opted_in__says_that_the_opt_in_is_dropped(world: World) -> None:
    owner = Actor.from_user(world.cast.owner, confirmed=True)
    version = PrivacySetting.objects.of_organizations().get(organization=world.cast.labs, product="le_chat").version
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=world.cast.labs, choice="opted_in", actor=owner, source="console",
        expected_version=version,
    )  # fmt: skip
    client, path = signed_in(world, "operator"), organization("plan", product="le_chat")(world)
    asked = client.post(path, {"plan": "le_chat_teams", **WHY})
    assert "The opt-in is dropped: under this plan an owner or admin has to opt in again." in said(asked)
    client.post(path, {"plan": "le_chat_teams", **WHY, **agreed(asked)})
    kept = PrivacySetting.objects.of_organizations().get(organization=world.cast.labs, product="le_chat")
    assert (kept.choice, kept.allowed) == ("default", False)


def test_personal_account__opted_out_by_its_person__says_that_nothing_changes_in_use(world: World) -> None:
    """What the page says is what decisions answer: of both layers (R17)."""
    draft = organizations.OrganizationDraft(name="Ida", kind="personal", owner=("ida@ida.example", "Ida"))
    ida = organizations.create_organization(draft=draft, actor=world.cast.provider, source="admin")
    subscribe(ida, "le_chat_pro", world.cast.provider)
    person = ida.members.get()
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=ida, member=person, choice="opted_out",
        actor=Actor.from_user(person.user, confirmed=True), source="data_controls",
    )  # fmt: skip
    path = reverse("admin:accounts_organization_plan", args=[ida.pk, "le_chat"])
    asked = signed_in(world, "operator").post(path, {"plan": "le_chat_free", **WHY})
    assert "It is not used, as before." in said(asked)
    assert plans.get_plan("le_chat_free").training_default == "opted_in"
