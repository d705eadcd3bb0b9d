"""Cooling-off as every face tells it: decisions, AuthZEN, the command, the catalogue, metrics, and the cards."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.access import Actor
from accounts.fields import rfc3339
from accounts.models import Organization
from consent import ledger
from consent.services import choices, cooling_off
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.callers import World
from tests.support.cast import Cast, signed_in
from tests.support.clocks import clock_at
from tests.support.commands import run
from tests.support.factories import OrganizationFactory

pytestmark = pytest.mark.django_db
TOLD = "at the earliest. If you opt out before then, it is never used."


@pytest.fixture
def cooling(world: World) -> dt.datetime:
    """Both products have 30 days. Returns an instant after everybody has joined."""
    for product in ("le_chat", "ai_studio"):
        cooling_off.lengthen(product=product, days=30, actor=world.cast.provider, source="admin")
    return ledger.clock()


def question(world: World, collected_at: dt.datetime) -> dict[str, Any]:
    member = str(world.cast.labs_member.pk)
    about = {"organization": str(world.cast.labs.pk), "member": member, "product": "le_chat"}
    return about | {"collected_at": rfc3339(collected_at)}


def test_decisions__cooling_off__say_from_when_on(world: World, cooling: dt.datetime) -> None:
    asked, until = question(world, cooling), rfc3339(cooling + dt.timedelta(30))
    one = world.operator_key.post("decisions/?explain=true", asked).json()
    assert (one["allowed"], one["reason"], one["usable_from"]) == (False, "cooling_off", until)
    assert [(layer["layer"], layer["allowed"]) for layer in one["layers"]] == [("organization", True), ("member", True)]
    many = world.operator_key.post("decisions/batch/", {"items": [asked, {**asked, "collected_at": None}]}).json()
    assert [(each["allowed"], each["reason"]) for each in many["decisions"]] == [
        (False, "cooling_off"), (True, "plan_default"),
    ]  # fmt: skip
    about_setting = world.operator_key.post("decisions/", {**asked, "collected_at": None}).json()
    assert about_setting["allowed"] and "usable_from" not in about_setting


def test_authzen__cooling_off__is_the_reason(world: World, cooling: dt.datetime) -> None:
    resource = {"type": "product", "id": "le_chat", "properties": {"collected_at": rfc3339(cooling)}}
    subject = {"type": "member", "id": str(world.cast.labs_member.pk)}
    asked = {"subject": subject, "action": {"name": "train"}, "resource": resource}
    answer = world.operator_key.post("/access/v1/evaluation", asked).json()
    assert answer == {"decision": False, "context": {"reason": "cooling_off"}}


def test_explain__cooling_off__says_from_when_on(world: World, cooling: dt.datetime) -> None:
    asked = question(world, cooling)
    words = ["--member", asked["member"], "--collected-at", asked["collected_at"]]
    until = rfc3339(cooling + dt.timedelta(30))
    result = run("explain", asked["organization"], "le_chat", *words, "--format", "json")
    assert (result.json["reason"], result.json["usable_from"]) == ("cooling_off", until)
    assert f"usable from  {until}" in run("explain", asked["organization"], "le_chat", *words).out


def test_organizations_key__member_first__then_cooling_off_of_data_without_members(
    world: World, cooling: dt.datetime
) -> None:
    """What a member chose is not told (R4), so neither is whether only the cooling-off stands against use."""
    asked = question(world, cooling)
    private = world.key.post("decisions/", asked).json()
    assert private["reason"] == "member_private" and "usable_from" not in private
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=world.cast.labs, member=world.cast.labs_member, choice="opted_out",
        actor=Actor.from_user(world.cast.member, confirmed=True), source="data_controls",
    )  # fmt: skip
    assert world.key.post("decisions/", asked).json() | {"decided_at": 0} == private | {"decided_at": 0}


def test_catalogue_and_metrics__have_the_days_of_now(world: World, cooling: dt.datetime) -> None:
    products = world.key.get("products/").json()["results"]
    assert {each["key"]: each["cooling_off_days"] for each in products} == {"le_chat": 30, "ai_studio": 30}
    assert 'consent_cooling_off_days{product="le_chat"} 30.0' in Client().get("/metrics").content.decode()


# --- Cards -----------------------------------------------------------------------------------------------------------


def text_of(client: Client, name: str, organization: Organization | None = None) -> str:
    return client.get(reverse(f"console:{name}", args=[organization.pk] if organization else [])).content.decode()


def lengthen(cast: Cast, *products: str) -> None:
    for product in products:
        cooling_off.lengthen(product=product, days=30, actor=cast.provider, source="admin")


def test_cards__nothing_cooling_off__say_nothing(cast: Cast) -> None:
    assert TOLD not in text_of(signed_in(cast.owner.email), "le-chat", cast.labs)
    assert TOLD not in text_of(signed_in(cast.member.email), "data-controls")


def test_cards__data_is_used__say_from_when_on_in_each_ones_words(cast: Cast) -> None:
    frida = OrganizationFactory(
        kind="personal", owner=("frida@mail.example", "Frida"), plan="ai_studio_experiment", actor=cast.provider
    )
    lengthen(cast, "le_chat", "ai_studio")
    team, member = signed_in(cast.owner.email), signed_in(cast.member.email)
    assert "what people say today is used on" in text_of(team, "le-chat", cast.labs)
    assert "what you say today is used on" in text_of(member, "data-controls")
    assert "what comes in today is used on" in text_of(signed_in("frida@mail.example"), "privacy", frida)
    assert TOLD in text_of(team, "le-chat", cast.labs)


def test_cards__data_is_not_used__say_nothing(cast: Cast) -> None:
    lengthen(cast, "le_chat", "ai_studio")
    # AI Studio Scale is opted out by default.
    assert TOLD not in text_of(signed_in(cast.owner.email), "privacy", cast.labs)
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )
    assert TOLD not in text_of(signed_in(cast.owner.email), "le-chat", cast.labs)
    assert TOLD not in text_of(signed_in(cast.member.email), "data-controls")


def test_cards__date__is_so_many_days_from_today(cast: Cast) -> None:
    with clock_at(ledger.clock() - dt.timedelta(40)):  # set long ago
        lengthen(cast, "le_chat")
    before = dt.datetime.now(dt.UTC)
    text = text_of(signed_in(cast.member.email), "data-controls")
    days = {(now + dt.timedelta(30)).strftime("%-d %b %Y") for now in (before, dt.datetime.now(dt.UTC))}
    assert any(f"used on {day} {TOLD}" in text for day in days)
