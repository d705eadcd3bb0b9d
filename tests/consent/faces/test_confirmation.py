"""Reauthentication: the services require it, by one list of actions, so that API, pages and admin can't differ."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.access import Act, Actor, Forbidden
from accounts.models import ApiKey, Invitation, Member, User
from consent.errors import ConfirmationRequired
from consent.imports import reading
from consent.imports.fields import ImportPlan
from consent.jobs import actions
from consent.jobs.selection import Selection
from consent.models import BulkJob, PrivacySetting, WebhookEndpoint
from consent.services import addresses, choices, credentials, invitations, locks, members, organizations, webhooks
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE
from tests.support import cast as casting
from tests.support.callers import Caller, by_session
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.factories import PASSWORD, UserFactory, long_standing
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing
from tests.support.recordings import Recorded

pytestmark = pytest.mark.django_db
HOOK = "https://hooks.example.com/"


@dataclasses.dataclass
class World:
    """Kvasir Labs: Le Chat on a plan that is in by default, opted out; the API on one that is out by default."""

    cast: Cast
    key: ApiKey
    hook: WebhookEndpoint
    job: BulkJob

    @property
    def labs(self) -> str:
        return str(self.cast.labs.pk)

    def setting(self, product: str) -> PrivacySetting:
        found: PrivacySetting = PrivacySetting.objects.get(
            organization=self.cast.labs, product=product, member__isnull=True
        )
        return found


def make_busy_world() -> World:
    cast = casting.make()
    long_standing(cast.operator)
    second = UserFactory(email="second@provider.example", name="Second", operator=True, old=True)
    owner, author = Actor.from_user(cast.owner, confirmed=True), Actor.from_user(second, confirmed=True)
    choices.choose(surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=owner, source="console")
    locks.place_lock(
        organization=cast.brage, product="le_chat", reason="x", reference="y", actor=author, source="admin"
    )
    job = actions.preview_choice(
        surface=LE_CHAT_CONSOLE, selection=Selection(everything=True), choice="opted_in", reason="Agreed.",
        actor=author, source="admin",
    )  # fmt: skip
    job = actions.submit(job=job, actor=author, digest=job.digest, accept_drift=True)
    key = issue_key("Sync", ["decisions:read"], organization=cast.labs)[0]
    hook = webhooks.create_endpoint(organization=cast.labs, url=HOOK, actor=owner, source="console")
    return World(cast, key, hook, job)


@pytest.fixture
def world(db: None, recorded: Recorded[World], settings: Any) -> World:
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = True
    return recorded(make_busy_world).load()


# --- By session: console, admin site, API -----------------------------------------------------------------------------

Send = Callable[[Client, World], Any]


def console(page: str, /, **sent: Any) -> Send:
    def send(client: Client, world: World) -> Any:
        values = {name: str(value(world) if callable(value) else value) if not isinstance(value, list) else value
                  for name, value in sent.items()}  # fmt: skip
        return client.post(reverse(f"console:{page}", args=[world.cast.labs.pk]), values)

    return send


def admin(name: str, /, *args: Any, **sent: Any) -> Send:
    def send(client: Client, world: World) -> Any:
        path = reverse(f"admin:{name}", args=[arg(world) if callable(arg) else arg for arg in args])
        return client.post(path, {key: value(world) if callable(value) else value for key, value in sent.items()})

    return send


def api(method: str, path: str, body: Any = None, product: str = "") -> Send:
    def send(client: Client, world: World) -> Any:
        ids = {
            "{labs}": world.labs, "{brage}": str(world.cast.brage.pk), "{key}": str(world.key.pk),
            "{hook}": str(world.hook.pk), "{job}": str(world.job.pk), "{dag}": str(world.cast.labs_member.pk),
        }  # fmt: skip
        filled = path
        for name, value in ids.items():
            filled = filled.replace(name, value)
        sent = {k: world.labs if v == "{labs}" else v for k, v in body.items()} if isinstance(body, dict) else body
        headers = {"if_match": f'"{world.setting(product).version}"'} if product else {}
        return Caller(client)(method, filled, sent, **headers)

    return send


def labs(world: World) -> Any:
    return world.cast.labs.pk


def brage(world: World) -> Any:
    return world.cast.brage.pk


def opt_in(product: str) -> dict[str, Any]:
    return {
        "choice": "opted_in", "confirmed": "true", "reason": "By letter.",
        "version": lambda world: world.setting(product).version,
    }  # fmt: skip


LE_CHAT, STUDIO = LE_CHAT_CONSOLE.key, AI_STUDIO_CONSOLE.key
SETTINGS = "organizations/{labs}/privacy-settings/"
IN = {"choice": "opted_in", "reason": "By letter."}
NEW_KEY = {"name": "New", "scopes": ["decisions:read"]}
NEW_HOOK = {"url": "https://new.example.com/"}
PERSONAL = {"name": "P", "kind": "personal", "owner_email": "p@p.example", "owner_name": "P"}
INVITED = {"email": "new@kvasir.example"}
USER = "accounts_user_"
# (who, what, how it is sent, whether it is asked)
CASES: list[tuple[str, str, Send, bool]] = [
    ("owner", "console: opt in, plan out by default", console("privacy", **opt_in("ai_studio")), True),
    ("owner", "console: opt in, plan in by default", console("le-chat", **opt_in("le_chat")), False),
    ("owner", "console: opt out", console("le-chat", choice="opted_out"), False),
    ("operator", "console: opt in, plan out by default", console("privacy", **opt_in("ai_studio")), True),
    ("operator", "console: opt in, plan in by default", console("le-chat", **opt_in("le_chat")), True),
    ("operator", "admin: opt in, plan in",
     admin("accounts_organization_setting", labs, LE_CHAT, **opt_in("le_chat")), True),
    ("operator", "admin: opt in, plan out",
     admin("accounts_organization_setting", labs, STUDIO, **opt_in("ai_studio")), True),
    ("owner", "API: opt in, plan out by default", api("PUT", f"{SETTINGS}{STUDIO}/", IN, "ai_studio"), True),
    ("owner", "API: opt in, plan in by default", api("PUT", f"{SETTINGS}{LE_CHAT}/", IN, "le_chat"), False),
    ("owner", "API: opt out", api("PUT", f"{SETTINGS}{LE_CHAT}/", {"choice": "opted_out"}), False),
    ("operator", "API: opt in, plan in by default", api("PUT", f"{SETTINGS}{LE_CHAT}/", IN, "le_chat"), True),
    ("operator", "API: opt in, plan out by default", api("PUT", f"{SETTINGS}{STUDIO}/", IN, "ai_studio"), True),
    ("operator", "admin: lift a lock", admin("accounts_organization_lift", brage, "le_chat", reason="over"), True),
    ("operator", "API: lift a lock", api("DELETE", "organizations/{brage}/locks/le_chat/", {"reason": "over"}), True),
    ("operator", "API: place a lock",
     api("PUT", "organizations/{labs}/locks/le_chat/", {"reason": "x", "reference": "y"}), False),
    ("operator", "admin: approve", admin("consent_bulkjob_verb", lambda w: w.job.pk, "approve"), True),
    ("operator", "API: approve", api("POST", "bulk-jobs/{job}/approve/", {}), True),
    ("owner", "console: make a key", console("settings", do="create", **NEW_KEY), True),
    ("owner", "console: take a key over", console("settings", do="take-over", key=lambda w: w.key.pk), True),
    ("owner", "console: revoke a key", console("settings", do="revoke", key=lambda w: w.key.pk), False),
    ("operator", "admin: make a key", admin("accounts_apikey_add", **NEW_KEY), True),
    ("operator", "admin: take a key over", admin("accounts_apikey_take_over", lambda w: w.key.pk), True),
    ("operator", "admin: revoke a key", admin("accounts_apikey_revoke", lambda w: w.key.pk), False),
    ("owner", "API: make a key", api("POST", "api-keys/", NEW_KEY), True),
    ("operator", "API: make a key", api("POST", "api-keys/", NEW_KEY), True),
    ("owner", "API: take a key over", api("POST", "api-keys/{key}/take-over", {}), True),
    ("owner", "API: revoke a key", api("DELETE", "api-keys/{key}/"), False),
    ("owner", "console: make a webhook", console("webhooks", do="create", **NEW_HOOK), True),
    ("owner", "console: rotate a secret", console("webhooks", do="rotate", webhook=lambda w: w.hook.pk), True),
    ("owner", "console: take a webhook over", console("webhooks", do="take-over", webhook=lambda w: w.hook.pk), True),
    ("owner", "console: pause a webhook", console("webhooks", do="pause", webhook=lambda w: w.hook.pk), False),
    ("operator", "admin: make a webhook", admin("consent_webhookendpoint_add", **NEW_HOOK), True),
    ("operator", "admin: rotate", admin("consent_webhookendpoint_verb", lambda w: w.hook.pk, "rotate"), True),
    ("operator", "admin: take over", admin("consent_webhookendpoint_verb", lambda w: w.hook.pk, "take-over"), True),
    ("owner", "API: make a webhook", api("POST", "webhooks/", NEW_HOOK), True),
    ("owner", "API: rotate a secret", api("POST", "webhooks/{hook}/rotate-secret/", {}), True),
    ("owner", "API: take a webhook over", api("POST", "webhooks/{hook}/take-over/", {}), True),
    ("owner", "console: invite an owner", console("members", do="invite", role="owner", **INVITED), True),
    ("owner", "console: invite an admin", console("members", do="invite", role="admin", **INVITED), True),
    ("owner", "console: invite a member", console("members", do="invite", role="member", **INVITED), False),
    ("owner", "console: make somebody admin",
     console("members", do="role", role="admin", member=lambda w: w.cast.labs_member.pk), True),
    ("owner", "console: make somebody auditor",
     console("members", do="role", role="auditor", member=lambda w: w.cast.labs_member.pk), False),
    ("operator", "admin: add an owner",
     admin("accounts_organization_members", labs, role="owner", name="", **INVITED), True),
    ("operator", "admin: add a member",
     admin("accounts_organization_members", labs, role="member", name="", **INVITED), False),
    ("operator", "admin: make somebody admin",
     admin("accounts_member_change", lambda w: w.cast.labs_member.pk, role="admin", external_id=""), True),
    ("operator", "admin: personal organization", admin("accounts_organization_add", **PERSONAL), True),
    ("operator", "admin: team", admin("accounts_organization_add", name="T", kind="team"), False),
    ("operator", "API: personal organization",
     api("POST", "organizations/", {"name": "P", "kind": "personal", "owner": {"email": "p@p.example", "name": "P"}}),
     True),
    ("operator", "API: team", api("POST", "organizations/", {"name": "T", "kind": "team"}), False),
    ("owner", "API: invite an admin", api("POST", "organizations/{labs}/members/", {"role": "admin", **INVITED}), True),
    ("owner", "API: invite an auditor",
     api("POST", "organizations/{labs}/members/", {"role": "auditor", **INVITED}), False),
    ("owner", "API: make somebody owner", api("PATCH", "organizations/{labs}/members/{dag}/", {"role": "owner"}), True),
    ("owner", "API: make somebody auditor",
     api("PATCH", "organizations/{labs}/members/{dag}/", {"role": "auditor"}), False),
]  # fmt: skip


@pytest.mark.parametrize(("who", "what", "send", "asked"), CASES, ids=[f"{who} {what}" for who, what, *_ in CASES])
def test_face__signed_in_long_ago__asked_and_nothing_changed_then_done(
    world: World, who: str, what: str, send: Send, asked: bool
) -> None:
    """Asked: 403 in the API, elsewhere the page that asks. Having confirmed, the same goes through."""
    client = by_session(getattr(world.cast, who)).client
    if asked:
        with changes_nothing():
            answer = send(client, world)
        if what.startswith("API"):
            assert (answer.status_code, answer.json()["code"]) == (403, "reauthentication_required")
        else:
            assert answer.status_code == 302 and answer["Location"].startswith("/account/confirm/")
        client.post("/account/confirm/", {"password": PASSWORD})
    answer = send(client, world)
    assert answer.status_code in (200, 201, 202, 204, 302), answer.content
    assert not answer.headers.get("Location", "").startswith("/account/confirm/")


# --- Imports: what a file gives, not which page it comes by ---

PEOPLE = ImportPlan("members", {"organization": "org", "email": "email", "role": "role"})
PERSONS = ImportPlan(
    "organizations", {"name": "name", "external_id": "id", "owner_email": "email"}, ("le_chat_free",), "personal"
)
IMPORTS = [
    (PEOPLE, "org,email,role\n{labs},new@kvasir.example,owner\n", True),
    (PEOPLE, "org,email,role\n{labs},new@kvasir.example,admin\n", True),
    (PEOPLE, "org,email,role\n{labs},new@kvasir.example,auditor\n{labs},x@kvasir.example,\n", False),
    (PEOPLE, "org,email,role\n{labs},ada@kvasir.example,owner\n{labs},x@kvasir.example,\n", False),
    (PERSONS, "name,id,email\nIda,i-1,ida@ida.example\n", True),
]


@pytest.mark.parametrize(("plan", "text", "asked"), IMPORTS, ids=range(len(IMPORTS)))
def test_import__that_makes_owners_or_admins__asks_whoever_runs_it(
    world: World, plan: ImportPlan, text: str, asked: bool, tmp_path: Path
) -> None:
    author = Actor.from_user(User.objects.get(email="second@provider.example"))
    job = reading.prepare(plan=plan, actor=author, source="admin", name="file.csv")
    reading.take(job)
    file = tmp_path / "file.csv"
    file.write_text(text.replace("{labs}", world.labs))
    job = reading.read(job, str(file))
    client, path = by_session(world.cast.operator).client, reverse("admin:consent_bulkjob_run", args=[job.pk])
    if asked:
        with changes_nothing():
            assert client.post(path, {"digest": job.digest})["Location"].startswith("/account/confirm/")
        with changes_nothing(), pytest.raises(ConfirmationRequired):
            actions.submit(job=job, actor=Actor.from_user(world.cast.operator), digest=job.digest)
        assert BulkJob.objects.get(pk=job.pk).status == "previewed"
        client.post("/account/confirm/", {"password": PASSWORD})
    client.post(path, {"digest": job.digest})
    assert BulkJob.objects.get(pk=job.pk).status == "queued"


# --- Services, keys and commands --------------------------------------------------------------------------------------


def acts(world: World, actor: Actor) -> dict[str, Callable[[], Any]]:
    """Every act of the list, by its service."""
    cast, by = world.cast, {"actor": actor, "source": "console"}
    wanted: dict[str, Any] = {"organization": cast.labs, "choice": "opted_in", "reason": "x", "version_required": False}
    return {
        "opt in, default out": lambda: choices.choose(surface=AI_STUDIO_CONSOLE, **wanted, **by),
        "key": lambda: credentials.issue_key(name="x", scopes=["events:read"], organization=cast.labs, **by),
        "take a key over": lambda: credentials.take_over_key(key=world.key, **by),
        "webhook": lambda: webhooks.create_endpoint(organization=cast.labs, url=HOOK, **by),
        "rotate": lambda: webhooks.rotate_secret(endpoint=world.hook, **by),
        "take a webhook over": lambda: webhooks.take_over(endpoint=world.hook, **by),
        "role": lambda: members.update_member(member=cast.labs_member, role="owner", **by),
        "invitation": lambda: invitations.invite(
            organization=cast.labs, email="n@kvasir.example", role="admin", link=str, **by
        ),
    }


def operators_acts(world: World, actor: Actor) -> dict[str, Callable[[], Any]]:
    cast, by = world.cast, {"actor": actor, "source": "admin"}
    wanted: dict[str, Any] = {"organization": cast.labs, "choice": "opted_in", "reason": "x", "version_required": False}
    draft = organizations.OrganizationDraft(name="P", kind="personal", owner=("p@p.example", "P"))
    return acts(world, actor) | {
        "opt in for a customer": lambda: choices.choose(surface=LE_CHAT_CONSOLE, **wanted, **by),
        "lift": lambda: locks.lift_lock(organization=cast.brage, product="le_chat", reason="x", **by),
        "approve": lambda: actions.approve(job=world.job, actor=actor),
        "create for an owner": lambda: organizations.create_organization(draft=draft, **by),
        "add": lambda: members.add_member(organization=cast.labs, email="n@kvasir.example", role="owner", **by),
    }


@pytest.mark.parametrize("who", ["owner", "admin", "operator"])
def test_service__person_not_confirmed__refused_and_nothing_changed(world: World, who: str) -> None:
    """Strict unless told otherwise: a face that says nothing is asked."""
    of = operators_acts if who == "operator" else acts
    for act in of(world, Actor.from_user(getattr(world.cast, who))).values():
        with changes_nothing(), pytest.raises(ConfirmationRequired) as refused:
            act()
        assert isinstance(refused.value.act, Act) and refused.value.http_status == 403
    for act in of(world, Actor.from_user(getattr(world.cast, who), confirmed=True)).values():
        act()


def test_own_address__person_not_confirmed__refused_and_nothing_changed(world: World) -> None:
    def ask(actor: Actor) -> Any:
        return addresses.ask(actor=actor, email="bea@elsewhere.example", link=str)

    with changes_nothing(), pytest.raises(ConfirmationRequired) as refused:
        ask(Actor.from_user(world.cast.owner))
    assert refused.value.act is Act.OWN_ADDRESS
    for nobody in (Actor.from_key(world.key), Actor.from_command(world.cast.operator)):
        with changes_nothing(), pytest.raises(Forbidden):
            ask(nobody)
    assert ask(Actor.from_user(world.cast.owner, confirmed=True)).user == world.cast.owner


def test_command__names_who_runs_it__is_not_asked(world: World) -> None:
    for act in operators_acts(world, Actor.from_command(world.cast.operator)).values():
        act()
    done = run(
        "set_consent", "--organization", world.labs, "--surface", STUDIO, "--state", "in", "--reason-code", "x",
        "--actor", world.cast.operator.email, "--yes",
    )  # fmt: skip
    assert done.code in (0, 2), done.err


def test_key__was_made_under_it__is_not_asked(world: World) -> None:
    key, _text = issue_key(
        "Owner's", ["consent:write", "organizations:write", "webhooks:write"],
        organization=world.cast.labs, issued_by=world.cast.owner,
    )  # fmt: skip
    actor = Actor.from_key(key)
    for name in ("opt in, default out", "webhook", "rotate", "role", "invitation"):
        acts(world, actor)[name]()
    assert Invitation.objects.get(email="n@kvasir.example").invited_by == world.cast.owner
    assert Member.objects.get(pk=world.cast.labs_member.pk).role == "owner"
