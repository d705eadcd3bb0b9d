"""Lists and their filters: organizations by the criteria of a bulk job, settings of many, members, keys."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.access import Actor
from accounts.models import ApiKey, Organization
from consent.api import filters
from consent.jobs.selection import Selection
from consent.models import ConsentEvent
from consent.services import choices, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.callers import World, assert_problem, by_key, make_world
from tests.support.factories import MemberFactory
from tests.support.keys import issue_key
from tests.support.recordings import Recorded

pytestmark = pytest.mark.django_db
BOTH = {"Kvasir Labs", "Brage Skaldskap"}


def make_busy_world() -> World:
    """Beside the cast's two a personal organization in Norway that opted out, and one that nobody subscribes."""
    made = make_world()
    by: dict[str, Any] = {"actor": made.cast.provider, "source": "admin"}
    owner = ("gro@nordavind.example", "Gro Vik")
    draft = OrganizationDraft(
        name="Gro", kind="personal", country="NO", owner=owner, subscriptions=[plans.get_plan("le_chat_free")]
    )
    gro, _empty = organizations.create_organizations([draft, OrganizationDraft(name="Void", country="SE")], **by)
    choices.choose(surface=LE_CHAT_CONSOLE, organization=gro, choice="opted_out", **by)
    organizations.update_organization(organization=made.cast.labs, external_id="labs", **by)
    members.update_member(member=made.cast.labs_member, external_id="m-1", **by)
    return made


@pytest.fixture
def world(db: None, recorded: Recorded[World]) -> World:
    return recorded(make_busy_world).load()


def names(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.content
    return {row["name"] for row in answer.json()["results"]}


# --- Organizations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind=personal", {"Gro"}),
        ("kind=personal&kind=team", {"Gro", "Void", "Kvasir Labs", "Brage Skaldskap"}),
        ("country=no&country=SE", {"Gro", "Void"}),
        ("plan=le_chat_free&plan=le_chat_teams", {"Gro", "Brage Skaldskap"}),
        ("choice=opted_out&product=le_chat", {"Gro"}),
        ("choice=opted_out&product=ai_studio", set()),
        ("reason=plan_default&product=le_chat", {"Kvasir Labs", "Brage Skaldskap"}),
        ("reason=no_subscription&product=le_chat&status=active", {"Void"}),
        ("organizations=external:labs&organizations={brage}&organizations=external:x", BOTH),
        ("created_from=2020-01-01T00:00:00Z&search=v", {"Void"}),
        ("created_until=2020-01-01T00:00:00Z", set()),
        ("kind=team&country=NO", set()),
    ],
)  # fmt: skip
def test_organizations__by_the_words_of_a_bulk_job(query: str, expected: set[str], world: World) -> None:
    path = "organizations/?" + query.format(brage=world.cast.brage.pk)
    assert names(world.operator_key.get(path)) == names(world.operator.get(path)) == expected


@pytest.mark.parametrize(
    "parts",
    [
        {"kind": ["team"]},
        {"country": ["SE", "NO"]},
        {"choice": ["opted_out", "default"]},
        {"reason": ["plan_default", "organization_opted_out"]},
        {"plan": ["le_chat_free", "le_chat_pro"]},
        {"status": ["active"], "choice": ["default"]},
    ],
)
def test_organizations__listed__are_those_that_a_bulk_job_selects(parts: dict[str, list[str]], world: World) -> None:
    query = "&".join(f"{name}={value}" for name, values in parts.items() for value in values)
    selected = Selection.from_json(parts).organizations_for("le_chat")
    assert names(world.operator_key.get(f"organizations/?product=le_chat&{query}")) == {each.name for each in selected}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("choice=opted_out", "?product"),
        ("kind=team&kind=x", "?kind"),
        ("plan=x", "?plan"),
        ("choice=x&product=le_chat", "?choice"),
        ("changed_since=yesterday", "?changed_since"),
        ("changed_since=2026-01-01T00:00:00Z&changed_since=2026-01-02T00:00:00Z", "?changed_since"),
        ("kind=" + "&kind=".join(["team"] * 51), "?kind"),
        ("everything=true", "?everything"),
    ],
)
def test_organizations__bad_parameter__400_naming_it(query: str, pointer: str, world: World) -> None:
    for path in ("organizations/", "privacy-settings/"):
        assert_problem(world.operator_key.get(f"{path}?{query}"), 400, "invalid", pointer)


def test_organizations__by_choice__only_for_who_may_see_choices(world: World) -> None:
    query = "?product=le_chat&choice=default"
    assert names(world.auditor.get(f"organizations/{query}")) == {"Kvasir Labs"}
    assert_problem(world.member.get(f"organizations/{query}"), 403, "forbidden")
    assert_problem(by_key("organizations:read").get(f"organizations/{query}"), 403, "forbidden")
    assert names(by_key("organizations:read", "consent:read").get(f"organizations/{query}")) >= {"Kvasir Labs", "Void"}


def later(world: World) -> str:
    """An instant after all that has happened."""
    last = ConsentEvent.objects.order_by("-recorded_at").values_list("recorded_at", flat=True)[0]
    return (last + dt.timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")


CHANGES: dict[str, Callable[[Organization, dict[str, Any]], object]] = {
    "name": lambda labs, by: organizations.update_organization(organization=labs, name="Kvasir", **by),
    "external id": lambda labs, by: organizations.update_organization(organization=labs, external_id="l-2", **by),
    "status": lambda labs, by: organizations.close_organization(organization=labs, reason="x", **by),
    "plan": lambda labs, by: plans.subscribe(organization=labs, plan=plans.get_plan("le_chat_teams"), **by),
    "end": lambda labs, by: plans.end_subscription(organization=labs, product="ai_studio", **by),
}


@pytest.mark.parametrize("few", [filters._FEW, 0])  # named one by one, and looked for among all
@pytest.mark.parametrize("change", CHANGES)
def test_organizations__changed_since__are_those_whose_row_is_another(
    change: str, few: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "_FEW", few)
    path = f"organizations/?changed_since={later(world)}"
    assert names(world.operator_key.get(path)) == set()
    CHANGES[change](world.cast.labs, {"actor": world.cast.provider, "source": "admin"})
    assert [row["id"] for row in world.operator_key.get(path).json()["results"]] == [str(world.cast.labs.pk)]


# --- Settings of many -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["operator_key", "operator", "key", "owner"])
def test_settings_of_many__the_same_as_one_by_one(role: str, world: World) -> None:
    caller = world.callers[role]
    rows = caller.get("privacy-settings/").json()["results"]
    assert len(rows) == (4 if role.startswith("operator") else 1)
    for row in rows:
        alone = caller.get(f"organizations/{row['organization']}/privacy-settings/").json()
        assert row["settings"] == alone["results"]
    one = caller.get("privacy-settings/?surface=ai_studio_console&limit=1").json()["results"]
    assert [each["surface"] for each in one[0]["settings"]] == ["ai_studio_console"]


def test_settings_of_many__selected_and_paged(world: World) -> None:
    chosen = world.operator_key.get("privacy-settings/?product=le_chat&choice=opted_out").json()
    assert [row["settings"][0]["choice"] for row in chosen["results"]] == ["opted_out"] and chosen["next"] is None
    first = world.operator_key.get("privacy-settings/?limit=3").json()
    rest = world.operator_key.get(first["next"]).json()
    assert len({row["organization"] for row in [*first["results"], *rest["results"]]}) == 4


@pytest.mark.parametrize("role", ["operator_key", "operator"])
def test_settings_of_many__queries_do_not_grow(role: str, world: World) -> None:
    counted = []
    world.callers[role].get("privacy-settings/")  # the first use of a key is noted
    for limit in (2, 4):  # with a personal one among them
        with CaptureQueriesContext(connection) as queries:
            assert len(world.callers[role].get(f"privacy-settings/?limit={limit}").json()["results"]) == limit
        counted.append(len(queries))
    assert counted[0] == counted[1]


def test_settings_of_many__changed_since__without_what_members_chose(world: World) -> None:
    path = f"privacy-settings/?changed_since={later(world)}"
    by: dict[str, Any] = {"actor": Actor.from_user(world.cast.member, confirmed=True), "source": "api"}
    member = world.cast.labs_member
    choices.choose(surface=LE_CHAT_MOBILE, organization=world.cast.labs, member=member, choice="opted_out", **by)
    assert world.key.get(path).json()["results"] == world.operator_key.get(path).json()["results"] == []
    world.key.put(f"{world.labs}privacy-settings/le_chat_console/", {"choice": "opted_out"})
    assert [row["external_id"] for row in world.key.get(path).json()["results"]] == ["labs"]


# --- Members ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["email=DAG%40Kvasir.example", "external_id=m-1", "email=dag%40kvasir.example&status=active"]
)
def test_members__looked_up_by_an_operator__with_their_organization(query: str, world: World) -> None:
    for caller in (world.operator, world.operator_key):
        (found,) = caller.get(f"members/?{query}").json()["results"]
        assert (found["id"], found["organization"]) == (str(world.cast.labs_member.pk), str(world.cast.labs.pk))
    assert world.operator_key.get(f"members/?{query}&role=owner").json()["results"] == []


def test_members__of_two_organizations_and_left__all_are_found(world: World) -> None:
    MemberFactory(organization=world.cast.brage, user=world.cast.member, role="auditor", actor=world.cast.provider)
    members.remove_member(member=world.cast.labs_member, actor=world.cast.provider, source="admin")
    found = world.operator_key.get("members/?email=dag%40kvasir.example").json()["results"]
    assert [(row["organization"], row["status"]) for row in found] == [
        (str(world.cast.brage.pk), "active"), (str(world.cast.labs.pk), "left")
    ]  # fmt: skip
    assert names(world.auditor.get(f"{world.labs}members/?status=left")) == {"Dag Sund"}


def test_members__nobody_named__400_and_nobody_listed(world: World) -> None:
    assert_problem(world.operator_key.get("members/?role=owner"), 400, "invalid", "?email", "?external_id")
    for nobody in ("email=x", "external_id=nobody", "email=%00"):
        answer = world.operator_key.get(f"members/?{nobody}")
        assert answer.status_code == 400 or answer.json()["results"] == []


@pytest.mark.parametrize("role", ["owner", "member", "outsider", "key", "foreign_key", "narrow_key"])
def test_members__looked_up_by_anybody_else__403(role: str, world: World) -> None:
    assert_problem(world.callers[role].get("members/?email=dag%40kvasir.example"), 403, "forbidden")


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_keys__audited__by_state_use_and_end(world: World) -> None:
    now = timezone.now()
    kept = ApiKey.objects.filter(organization=world.cast.labs)
    kept.update(last_used_at=now)
    issue_key("Old", ["consent:read"], organization=world.cast.labs, issued_by=world.cast.owner)
    issue_key("Gone", ["consent:read"], organization=world.cast.labs, issued_by=world.cast.owner)
    issue_key("Short", ["consent:read"], organization=world.cast.labs, expires_at=now + dt.timedelta(days=9))
    kept.filter(name="Gone").update(revoked_at=now)
    kept.filter(name="Old").update(last_used_at=now - dt.timedelta(days=90))
    hour = (now - dt.timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    month = (now + dt.timedelta(days=30)).isoformat().replace("+00:00", "Z")
    assert names(world.owner.get("api-keys/?status=revoked")) == {"Gone"}
    assert names(world.owner.get("api-keys/?status=active")) == {"a service", "Old", "Short"}
    assert (
        names(world.owner.get("api-keys/?status=suspended"))
        == names(world.owner.get("api-keys/?status=expired"))
        == set()
    )
    assert names(world.owner.get(f"api-keys/?unused_since={hour}&status=active")) == {"Old", "Short"}
    assert names(world.owner.get(f"api-keys/?expires_before={month}")) == {"Short"}
    for status in ("active", "revoked"):
        assert {row["status"] for row in world.owner.get(f"api-keys/?status={status}").json()["results"]} == {status}


def test_keys__who_answers__is_said_and_of_the_provider_only_that_it_is(world: World) -> None:
    issue_key("Ours", ["consent:read"], organization=world.cast.labs, issued_by=world.cast.owner)
    issue_key("Theirs", ["consent:read"], organization=world.cast.labs, issued_by=world.cast.operator)

    def told(role: str) -> dict[str, Any]:
        rows = world.callers[role].get(f"api-keys/?organization={world.cast.labs.pk}").json()["results"]
        return {row["name"]: row["responsible"] and row["responsible"]["label"] for row in rows}

    assert told("owner") == {"a service": None, "Ours": "Ada Lindqvist", "Theirs": "The provider"}
    assert told("operator") == {"a service": None, "Ours": "Ada Lindqvist", "Theirs": "Odin Eriksen"}


def test_events__about_one_key__are_its_trail(world: World) -> None:
    key, _text = issue_key("Ours", ["consent:read"], organization=world.cast.labs, issued_by=world.cast.owner)
    world.owner.delete(f"api-keys/{key.pk}/")
    issue_key("Another", ["consent:read"], organization=world.cast.labs, issued_by=world.cast.owner)
    for caller, path in ((world.operator_key, "events/"), (world.key, f"{world.labs}events/")):
        found = caller.get(f"{path}?target={key.pk}").json()["results"]
        assert [event["kind"] for event in found] == ["access.key_created", "access.key_revoked"]
