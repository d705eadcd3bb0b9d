"""Two organizations that are alike, and the histories that they go through.

Every step happens to both, except the hidden ones: choices by a member of only one of the two. So two worlds have the
same events at the same positions, and differ only in the organization whose member made the hidden choices.
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from django.test import Client

from accounts.access import Actor
from accounts.models import Member, Organization, User
from consent import ledger
from consent.delivery.endpoints import deliver_next
from consent.delivery.sending import ReceiverResponse, Sender
from consent.errors import ServiceError
from consent.models import OpenRemoval, PrivacySetting, WebhookEndpoint
from consent.projections import honour, runner
from consent.services import asked, choices, consumers, locks, members, organizations, plans, removals, webhooks
from consent.services.consumers import Registered
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE, Surface
from tests.consent.faces.worlds.stopped import Stopped
from tests.support.callers import ORGANIZATION_SCOPES
from tests.support.consumers import say
from tests.support.factories import MemberFactory, UserFactory
from tests.support.keys import issue_key
from tests.support.training import register

SIDES = ("ours", "theirs")
ROLES = ("owner", "admin", "auditor", "member")
Step = tuple[str, str]


class Recorder(Sender):
    """A webhook receiver that answers at once with `status`; `got` are the requests that it received."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200

    def post(self, url: str, headers: dict[str, str], body: bytes) -> ReceiverResponse:  # type: ignore[override]
        self.got.append((url, headers, body))
        return ReceiverResponse(self.status, "", 0, "thanks")


@dataclasses.dataclass
class Side:
    organization: Organization
    people: dict[str, Member]
    chooser: Member
    keys: dict[str, str]
    hooks: list[WebhookEndpoint]


@dataclasses.dataclass
class World:
    clock: Stopped
    provider: Actor
    ours: Side
    theirs: Side
    hidden: str  # the one of SIDES whose member makes the hidden choices
    receiver: Recorder
    consumer: Registered

    def side(self, name: str) -> Side:
        side: Side = getattr(self, name)
        return side


def make(clock: Stopped, hidden: str, role: str) -> World:
    """Create both organizations; `role` is that of the member who makes the hidden choices."""
    operator = UserFactory(email="odin@provider.example", name="Odin Eriksen", operator=True)
    provider = Actor.from_user(operator, confirmed=True)
    first = [plans.get_plan(key) for key in ("le_chat_pro", "ai_studio_experiment")]
    made = organizations.create_organizations(
        [OrganizationDraft(name=name, external_id=name, subscriptions=first) for name in SIDES],
        actor=provider,
        source="admin",
    )
    sides = {name: _side(each, name, role, provider) for name, each in zip(SIDES, made, strict=True)}
    everybody = webhooks.create_endpoint(
        organization=None, url="https://everybody.invalid/", actor=provider, source="admin"
    )
    consumer = consumers.register(
        name="builder", purpose="Builds", contact="data@provider.example", expected_lag_minutes=1, webhook=everybody,
        actor=provider, source="admin",
    )  # fmt: skip
    register(actor=provider)
    return World(clock, provider, sides["ours"], sides["theirs"], hidden, Recorder(), consumer)


def _side(organization: Organization, name: str, role: str, provider: Actor) -> Side:
    def join(who: str, as_role: str) -> Member:
        person = UserFactory(email=f"{who}@{name}.example", name=f"{who.title()} of {name}")
        return MemberFactory(organization=organization, user=person, role=as_role, actor=provider)

    people = {each: join(each, each) for each in ROLES}
    chooser = join("chooser", role)
    owner = people["owner"].user
    keys = {scope: (scope,) for scope in ORGANIZATION_SCOPES} | {"all": ORGANIZATION_SCOPES}
    issued = {title: _key(organization, title, scopes, owner) for title, scopes in keys.items()}
    # A key of the chooser, if they may manage keys: a key may not see its owner's choices as the signed-in person does.
    manager = chooser if role in ("owner", "admin") else people["admin"]
    issued["another"] = _key(organization, "another", ORGANIZATION_SCOPES, manager.user)
    hooks = [
        webhooks.create_endpoint(
            organization=organization, url=f"https://{name}.invalid/{n}", actor=provider, kinds=kinds, source="admin"
        )
        for n, kinds in enumerate([(), ("choice.opted_out", "member.left", "member.role_changed")])
    ]
    return Side(organization, people, chooser, issued, hooks)


def _key(organization: Organization, title: str, scopes: Any, person: User) -> str:
    return issue_key(title, scopes, organization=organization, issued_by=person)[1]


# --- What happens -----------------------------------------------------------------------------------------------------


def _version(organization: Organization, surface: Surface, member: Member | None = None) -> int:
    rows = PrivacySetting.objects.filter(organization=organization, member=member, product=surface.product)
    return rows.values_list("version", flat=True).first() or 0


def _choose_own(world: World, side: Side, choice: str, actor: Actor | None = None) -> None:
    choices.choose(
        surface=LE_CHAT_MOBILE,
        organization=side.organization,
        member=side.chooser,
        choice=choice,
        actor=actor or Actor.from_user(side.chooser.user, confirmed=True),
        source="admin" if actor else "data_controls",
        expected_version=_version(side.organization, LE_CHAT_MOBILE, side.chooser),
    )


def _choose(world: World, side: Side, choice: str) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=side.organization,
        choice=choice,
        actor=Actor.from_user(side.people["owner"].user, confirmed=True),
        source="console",
        reason="Because",
        expected_version=_version(side.organization, LE_CHAT_CONSOLE),
    )


def _plan(world: World, side: Side, plan: str) -> None:
    by: dict[str, Any] = {"organization": side.organization, "actor": world.provider, "source": "admin"}
    if plan:
        plans.subscribe(plan=plans.get_plan(plan), **by)
    else:
        plans.end_subscription(product="le_chat", reason="Over", **by)


def _lock(world: World, side: Side, wanted: str) -> None:
    by: dict[str, Any] = {"organization": side.organization, "actor": world.provider, "source": "admin"}
    if wanted == "on":
        locks.place_lock(product="le_chat", reason="Contract", reference="C-1", **by)
    else:
        locks.lift_lock(product="le_chat", reason="Over", **by)


def _account(world: World, side: Side, wanted: str) -> None:
    change = organizations.close_organization if wanted == "closed" else organizations.reopen_organization
    change(organization=side.organization, actor=world.provider, source="admin", reason="Asked for")


def _role(world: World, side: Side, role: str) -> None:
    members.update_member(member=side.chooser, role=role, actor=world.provider, source="admin")


def _membership(world: World, side: Side, wanted: str) -> None:
    if wanted == "leaves":
        members.remove_member(member=side.chooser, actor=world.provider, source="admin")
    else:
        email, role = side.chooser.user.email, side.chooser.role
        members.add_member(organization=side.organization, email=email, role=role, actor=world.provider, source="admin")


def _name(world: World, side: Side, country: str) -> None:
    organizations.update_organization(
        organization=side.organization, country=country, actor=world.provider, source="admin"
    )


# Steps of both sides. They include the member's own choice, which after a hidden one may be new on one side only.
SHARED: dict[str, Callable[[World, Side, str], None]] = {
    "member": _choose_own,
    "organization": _choose,
    "plan": _plan,
    "lock": _lock,
    "account": _account,
    "role": _role,
    "membership": _membership,
    "country": _name,
}
HIDDEN: list[Step] = [
    ("hidden", "opted_out"),
    ("hidden", "opted_in"),
    ("hidden by the provider", "opted_out"),
]
STEPS: list[Step] = [
    ("member", "opted_out"),
    ("member", "opted_in"),
    ("organization", "opted_out"),
    ("organization", "opted_in"),
    ("plan", "le_chat_teams"),
    ("plan", "le_chat_pro"),
    ("plan", ""),
    ("lock", "on"),
    ("lock", "off"),
    ("account", "closed"),
    ("account", "open"),
    ("role", "member"),
    ("role", "admin"),
    ("membership", "leaves"),
    ("membership", "joins"),
    ("country", "FR"),
    ("country", "SE"),
    ("deliver", ""),
    ("applied", ""),
    ("removed", ""),
    ("receiver", "200"),
    ("receiver", "500"),
    ("time", "1"),
    ("time", "90000"),
]


def play(world: World, steps: list[Step]) -> None:
    """Play the steps in order; a step that the services refuse is skipped on that side."""
    for n, (what, value) in enumerate(steps):
        world.clock.repeat(f"step {n}")
        if what == "time":
            world.clock.advance(float(value))
        elif what == "deliver":
            deliver(world)
        elif what == "applied":
            say(world.consumer)
        elif what == "removed":
            for each in OpenRemoval.objects.order_by("pk"):
                removals.acknowledge(batch=each.batch, removed=1, actor=world.provider, source="api")
        elif what == "receiver":
            world.receiver.status = int(value)
        elif what.startswith("hidden"):
            actor = world.provider if what.endswith("provider") else None
            with contextlib.suppress(ServiceError):
                _choose_own(world, world.side(world.hidden), value, actor)
        else:
            for name in SIDES:
                with contextlib.suppress(ServiceError):
                    SHARED[what](world, world.side(name), value)
    world.clock.advance(60)
    ask(world)
    deliver(world)


def ask(world: World) -> None:
    """Ask about everybody of both organizations, by the provider and by each of its keys, and store the numbers."""
    asked.forget()
    who = [issue_key("the provider's", ["decisions:read"])[1], *(world.side(each).keys["all"] for each in SIDES)]
    items = [
        {"organization": str(side.organization.pk), "product": product, "member": str(member.pk)}
        for side in (world.ours, world.theirs)
        for member in (side.chooser, *side.people.values())
        for product in ("le_chat", "ai_studio")
    ]
    for key in who:
        headers = {"Authorization": f"Bearer {key}"}
        body = json.dumps({"items": items})
        Client().post("/api/v1/decisions/batch/", body, content_type="application/json", headers=headers)
    asked.flush()


def deliver(world: World) -> None:
    """Do what the worker does: assign positions, send webhooks and messages."""
    ledger.sequence()
    for _turn in range(20):
        if not deliver_next(world.receiver):
            break
    while runner.follow_all() or honour.count_honoured():
        pass
    honour.tell_overdue()
    while removals.issue_next() or removals.tell_next_overdue():
        pass
