"""Organizations, subscriptions and the catalogue through the API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organization, User
from consent.models import EventKind
from consent.services import organizations as services
from consent.services.organizations import OrganizationDraft
from consent.services.plans import get_plan
from tests.support.callers import World, assert_problem, by_key, last_event, state
from tests.support.concurrency import race

pytestmark = pytest.mark.django_db


def create(world: World, *names: str, plan: str = "le_chat_free") -> None:
    drafts = [OrganizationDraft(name=name, subscriptions=[get_plan(plan)]) for name in names]
    services.create_organizations(drafts, actor=world.cast.provider, source="admin")


def names(answer) -> list[str]:
    return [each["name"] for each in answer.json()["results"]]


def organizations(world: World) -> list[dict[str, object]]:
    return list(Organization.objects.order_by("pk").values())


# --- Catalogue ------------------------------------------------------------------------------------------------------


def test_products__lists_data_kinds(world: World) -> None:
    assert world.key.get("products/").json() == {
        "results": [
            {
                "key": "le_chat",
                "name": "Le Chat",
                "cooling_off_days": 0,
                "data_kinds": ["conversation", "document", "output", "other"],
            },
            {
                "key": "ai_studio",
                "name": "AI Studio and API",
                "cooling_off_days": 0,
                "data_kinds": ["api_input", "api_output", "document", "related"],
            },
        ],
        "next": None,
    }


def test_plans__list_the_defaults_of_the_help_article(world: World) -> None:
    defaults = {each["key"]: each["training_default"] for each in world.key.get("plans/").json()["results"]}
    assert defaults == {
        "le_chat_free": "opted_in",
        "le_chat_pro": "opted_in",
        "le_chat_student": "opted_in",
        "le_chat_teams": "opted_out",
        "le_chat_enterprise": "opted_out",
        "ai_studio_experiment": "opted_in",
        "ai_studio_scale": "opted_out",
    }


def test_surfaces__one_page_at_a_time__come_to_an_end(world: World) -> None:
    keys, address = [], "surfaces/?limit=2"
    while address:
        page = world.key.get(address).json()
        keys.append([each["key"] for each in page["results"]])
        address = page["next"]
    assert keys == [["le_chat_console", "le_chat_mobile"], ["ai_studio_console"]]


# --- Lists ----------------------------------------------------------------------------------------------------------


def test_list__paged__meets_each_once_and_ends(world: World) -> None:
    create(world, *(f"Org {n}" for n in range(7)))
    met, address = [], "organizations/?limit=4"
    while address:
        answer = world.operator_key.get(address)
        met.append(names(answer))
        address = answer.json()["next"]
    assert [len(page) for page in met] == [4, 4, 1]
    assert sorted(name for page in met for name in page) == sorted(Organization.objects.values_list("name", flat=True))


def test_list__page_exactly_full__has_no_next(world: World) -> None:
    assert world.operator_key.get("organizations/?limit=2").json()["next"] is None


def test_list__of_one_organizations_key__has_that_one_alone(world: World) -> None:
    assert names(world.key.get("organizations/")) == ["Kvasir Labs"]
    assert names(world.outsider.get("organizations/")) == ["Brage Skaldskap"]
    assert len(names(world.operator.get("organizations/"))) == 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("plan=le_chat_teams", ["Brage Skaldskap"]),
        ("kind=personal", []),
        ("status=active&plan=le_chat_pro", ["Kvasir Labs"]),
        ("status=closed", []),
        ("external_id=acme-1", ["100% Acme_"]),
        ("search=KVA", ["Kvasir Labs"]),
        ("search=asir", []),
        ("search=100%25%20a", ["100% Acme_"]),
        ("search=100_", []),
        ("search=%25", []),
    ],
)
def test_list__filtered(query: str, expected: list[str], world: World) -> None:
    draft = OrganizationDraft(name="100% Acme_", external_id="acme-1")
    services.create_organization(draft=draft, actor=world.cast.provider, source="admin")
    assert names(world.operator_key.get(f"organizations/?{query}")) == expected


def test_list__filtered_by_a_plan_that_ended__is_left_out(world: World) -> None:
    world.operator_key.put(f"{world.labs}subscriptions/le_chat/", {"plan": "le_chat_teams"})
    assert names(world.operator_key.get("organizations/?plan=le_chat_pro")) == []
    assert len(names(world.operator_key.get("organizations/?plan=le_chat_teams"))) == 2


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("colour=red", ["?colour"]),
        ("format=xml", ["?format"]),
        ("plan=le_chat_gold", ["?plan"]),
        ("kind=guild&status=open", ["?kind", "?status"]),
        ("limit=0", ["?limit"]),
        ("limit=201", ["?limit"]),
        ("limit=-1", ["?limit"]),
        ("limit=1e2", ["?limit"]),
        ("limit=%D9%A1", ["?limit"]),
        ("limit=1&limit=2", ["?limit"]),
        ("cursor=nonsense", ["?cursor"]),
        ("cursor=%FF", ["?cursor"]),
        ("search=%00", ["?search"]),
        ("search=", ["?search"]),
    ],
)
def test_list__bad_parameter__400_naming_it(query: str, pointers: list[str], world: World) -> None:
    assert_problem(world.operator_key.get(f"organizations/?{query}"), 400, "invalid", *pointers)


def test_write__with_a_query_parameter__400_and_nothing_changes(world: World) -> None:
    before = organizations(world)
    answer = world.operator_key.post("organizations/?dry_run=true", {"name": "N", "kind": "team"})
    assert_problem(answer, 400, "invalid", "?dry_run")
    assert organizations(world) == before


def test_list__queries_do_not_grow_with_the_rows(world: World) -> None:
    counts = []
    for _ in range(2):
        create(world, *(f"Org {n}" for n in range(20)))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            world.operator_key.get("organizations/?limit=200")
        counts.append(len([q for q in queries.captured_queries if 'last_used_at" =' not in q["sql"]]))
    assert counts == [3, 3]  # key, organizations, subscriptions


# --- One ------------------------------------------------------------------------------------------------------------


def test_get__by_external_id__is_the_same_object(world: World) -> None:
    world.operator_key.patch(world.labs, {"external_id": "acct 7:ü"})
    by_id = world.key.get(world.labs)
    assert world.key.get("organizations/external:acct%207:%C3%BC/").json() == by_id.json()
    assert by_id.json() == {
        "id": str(world.cast.labs.pk),
        "external_id": "acct 7:ü",
        "name": "Kvasir Labs",
        "kind": "team",
        "country": None,
        "status": "active",
        "subscriptions": {"le_chat": "le_chat_pro", "ai_studio": "ai_studio_scale"},
        "created_at": by_id.json()["created_at"],
    }
    assert by_id.json()["created_at"].endswith("Z")


def test_create__team_with_subscriptions__201_with_its_address(world: World) -> None:
    body = {
        "name": " Mímir ",
        "kind": "team",
        "external_id": "m-1",
        "country": "is",
        "subscriptions": {"le_chat": "le_chat_enterprise", "ai_studio": None},
    }
    answer = world.operator_key.post("organizations/", body)
    assert answer.status_code == 201
    made = answer.json()
    assert answer["Location"] == f"http://testserver/api/v1/organizations/{made['id']}/"
    assert world.operator_key.get(answer["Location"]).json() == made
    assert (made["name"], made["country"]) == ("Mímir", "IS")
    assert made["subscriptions"] == {"le_chat": "le_chat_enterprise", "ai_studio": None}


def test_create__personal__has_its_owner_as_a_member(world: World) -> None:
    owner = {"email": "Solo@Example.org", "name": "Solo"}
    answer = world.operator_key.post("organizations/", {"name": "Solo", "kind": "personal", "owner": owner})
    found = world.operator_key.get(f"organizations/{answer.json()['id']}/members/").json()["results"]
    assert [(each["email"], each["name"], each["role"]) for each in found] == [("solo@example.org", "Solo", "owner")]


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"name": None}, ["#/name"]),
        ({"name": "  "}, ["#/name"]),
        ({"name": 7}, ["#/name"]),
        ({"name": True}, ["#/name"]),
        ({"name": "a\x00b"}, ["#/name"]),
        ({"name": "a\ud800"}, ["#/name"]),
        ({"name": "x" * 201}, ["#/name"]),
        ({"kind": "guild"}, ["#/kind"]),
        ({"kind": ["team"]}, ["#/kind"]),
        ({"country": "Sweden"}, ["#/country"]),
        ({"external_id": 12}, ["#/external_id"]),
        ({"external_id": "x" * 201}, ["#/external_id"]),
        ({"kind": "personal"}, ["#/owner"]),
        ({"owner": {"email": "a@example.org", "name": "A"}}, ["#/owner"]),
        ({"kind": "personal", "owner": {"email": "x", "nick": "A"}}, ["#/owner/nick", "#/owner/email", "#/owner/name"]),
        ({"subscriptions": {"le_chat": "x", "a/b": "x"}}, ["#/subscriptions/le_chat", "#/subscriptions/a~1b"]),
        ({"subscriptions": ["le_chat_free"]}, ["#/subscriptions"]),
        ({"plan": "le_chat_free", "status": "closed"}, ["#/plan", "#/status"]),
    ],
)  # fmt: skip
def test_create__bad_value__400_naming_it_and_nothing_is_made(changes, pointers: list[str], world: World) -> None:
    before, people = (organizations(world), state()), User.objects.count()
    answer = world.operator_key.post("organizations/", {"name": "N", "kind": "team", **changes})
    assert answer.status_code == 400
    assert_problem(answer, 400, answer.json()["code"], *pointers)
    assert (organizations(world), state()) == before and User.objects.count() == people


def test_create__external_id_taken__409_and_nothing_is_made(world: World) -> None:
    body = {"name": "N", "kind": "team", "external_id": "n-1"}
    assert world.operator_key.post("organizations/", body).status_code == 201
    before = organizations(world), state()
    assert_problem(world.operator_key.post("organizations/", body), 409, "exists", "#/external_id")
    assert (organizations(world), state()) == before


@pytest.mark.django_db(transaction=True)
def test_create__same_external_id_at_the_same_time__one_201_one_409(world: World) -> None:
    body = {"name": "N", "kind": "team", "external_id": "n-1"}
    answers = []

    def create_one() -> None:
        answers.append(by_key("organizations:write").post("organizations/", body))

    assert race(create_one, create_one) or connection.vendor == "sqlite"
    assert answers[0].status_code == 201
    assert_problem(answers[1], 409, "exists", "#/external_id")
    assert Organization.objects.filter(external_id="n-1").count() == 1


def test_patch__several_things_with_status__all_are_done(world: World) -> None:
    body = {"name": "Kvasir", "country": "NO", "status": "closed", "reason": "Contract ended"}
    changed = world.operator_key.patch(world.labs, body).json()
    assert (changed["name"], changed["country"], changed["status"]) == ("Kvasir", "NO", "closed")
    assert (last_event().kind, last_event().reason) == (EventKind.ORGANIZATION_CLOSED, "Contract ended")
    assert world.operator_key.patch(world.labs, {"status": "active", "reason": "Signed"}).json()["status"] == "active"


@pytest.mark.parametrize(
    ("role", "body", "status", "code", "pointers"),
    [
        ("owner", {"name": "Mine", "status": "closed", "reason": "Bye"}, 403, "forbidden", []),
        ("key", {"name": "Mine", "status": "closed", "reason": "Bye"}, 403, "forbidden", []),
        ("operator_key", {"name": "Mine", "status": "closed"}, 400, "required", ["#/reason"]),
        ("operator_key", {"name": "Mine", "kind": "personal"}, 409, "personal", ["#/kind"]),
        ("operator_key", {"name": "Mine", "external_id": "taken"}, 409, "exists", ["#/external_id"]),
        ("operator_key", {"name": "Mine", "subscriptions": {}}, 400, "invalid", ["#/subscriptions"]),
        ("operator_key", {"name": "Mine", "owner": None}, 400, "invalid", ["#/owner"]),
        ("operator_key", ["name"], 400, "invalid", ["#"]),
    ],
)
def test_patch__one_part_refused__changes_nothing_of_the_rest(
    role: str, body, status: int, code: str, pointers: list[str], world: World
) -> None:
    draft = OrganizationDraft(name="Other", external_id="taken")
    services.create_organization(draft=draft, actor=world.cast.provider, source="admin")
    before = organizations(world), state()
    assert_problem(world.callers[role].patch(world.labs, body), status, code, *pointers)
    assert (organizations(world), state()) == before


def test_patch__same_values_again__writes_no_event(world: World) -> None:
    world.admin.patch(world.labs, {"country": "SE"})
    before = state()
    assert world.admin.patch(world.labs, {"country": "se", "name": "Kvasir Labs"}).status_code == 200
    assert state() == before


# --- Subscriptions --------------------------------------------------------------------------------------------------


def test_subscription__moved_and_ended__shows_in_the_organization(world: World) -> None:
    path = f"{world.labs}subscriptions/le_chat/"
    moved = world.operator_key.put(path, {"plan": "le_chat_teams", "reason": "Upgrade"})
    assert (moved.status_code, moved.json()["subscriptions"]["le_chat"]) == (200, "le_chat_teams")
    assert (last_event().kind, last_event().reason) == (EventKind.PLAN_CHANGED, "Upgrade")
    ended = world.operator_key.delete(path, {"reason": "Left us"})
    assert (ended.status_code, ended.content) == (204, b"")
    assert world.operator_key.get(world.labs).json()["subscriptions"]["le_chat"] is None
    before = state()
    assert world.operator_key.delete(path).status_code == 204
    assert state() == before


@pytest.mark.parametrize(
    ("product", "body", "status", "code", "pointers"),
    [
        ("le_chat", {"plan": "le_chat_gold"}, 400, "unknown_plan", ["#/plan"]),
        ("le_chat", {"plan": "ai_studio_scale"}, 400, "wrong_product", ["#/plan"]),
        ("le_chat", {}, 400, "invalid", ["#/plan"]),
        ("le_chat", {"plan": "le_chat_free", "reason": "x" * 501}, 400, "too_long", ["#/reason"]),
        ("le_dog", {"plan": "le_chat_free"}, 404, "not_found", []),
    ],
)
def test_subscription__bad_request__changes_nothing(product, body, status, code, pointers, world: World) -> None:
    before = state()
    answer = world.operator_key.put(f"{world.labs}subscriptions/{product}/", body)
    assert_problem(answer, status, code, *pointers)
    assert state() == before


def test_subscription__on_a_closed_account__409(world: World) -> None:
    world.operator_key.patch(world.labs, {"status": "closed", "reason": "Bye"})
    before = state()
    answer = world.operator_key.put(f"{world.labs}subscriptions/le_chat/", {"plan": "le_chat_free"})
    assert_problem(answer, 409, "organization_closed")
    assert state() == before
