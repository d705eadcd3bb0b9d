"""Members through the API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Member, User
from consent.models import EventKind
from tests.support.callers import World, assert_problem, last_event, state

pytestmark = pytest.mark.django_db
NEW = {"email": "Eir@Kvasir.example", "name": "Eir Moe", "role": "member"}


def members() -> list[dict[str, object]]:
    return list(Member.objects.order_by("pk").values())


def test_list__paged__meets_each_once(world: World) -> None:
    met, address = [], f"{world.labs}members/?limit=3"
    while address:
        page = world.auditor.get(address).json()
        met += [each["email"] for each in page["results"]]
        address = page["next"]
    assert sorted(met) == [f"{name}@kvasir.example" for name in ("ada", "bo", "cia", "dag")]


def test_list__queries_do_not_grow_with_the_members(world: World) -> None:
    counts = []
    for size in range(2):
        for n in range(5):
            world.admin.post(f"{world.labs}members/", {**NEW, "email": f"n{size}{n}@kvasir.example"})
        with CaptureQueriesContext(connection) as queries:
            world.key.get(f"{world.labs}members/")
        counts.append(len([each for each in queries.captured_queries if 'last_used_at" =' not in each["sql"]]))
    assert counts == [3, 3]  # key, organization, members


def test_add__new_person__201_with_their_address(world: World) -> None:
    answer = world.operator_key.post(f"{world.labs}members/", {**NEW, "external_id": "u-9"})
    assert answer.status_code == 201
    made = answer.json()
    assert answer["Location"] == f"http://testserver/api/v1/{world.labs}members/{made['id']}/"
    assert world.key.get(answer["Location"]).json() == made
    assert world.key.get(f"{world.labs}members/external:u-9/").json() == made
    assert made == {
        "id": made["id"],
        "external_id": "u-9",
        "email": "eir@kvasir.example",
        "name": "Eir Moe",
        "role": "member",
        "status": "active",
    }


def test_leave_and_join_again__is_the_same_member(world: World) -> None:
    assert world.admin.delete(world.dag).status_code == 204
    assert world.admin.get(world.dag).json()["status"] == "left"
    before = state()
    assert world.admin.delete(world.dag).status_code == 204
    assert state() == before
    again = world.operator.post(f"{world.labs}members/", {"email": "dag@kvasir.example", "name": "", "role": "auditor"})
    assert again.json() == {**world.admin.get(world.dag).json(), "role": "auditor", "status": "active"}
    assert again.json()["id"] == str(world.cast.labs_member.pk)


def test_patch__role_and_external_id__both_are_done(world: World) -> None:
    answer = world.operator_key.patch(world.dag, {"role": "admin", "external_id": "u-4"})
    assert (answer.json()["role"], answer.json()["external_id"]) == ("admin", "u-4")
    assert (last_event().kind, last_event().before, last_event().after) == (
        EventKind.MEMBER_ROLE_CHANGED, "member", "admin",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code", "pointers"),
    [
        ({}, 400, "invalid", ["#/email", "#/role"]),
        ({**NEW, "email": "nobody"}, 400, "invalid", ["#/email"]),
        ({**NEW, "email": 3}, 400, "invalid", ["#/email"]),
        ({**NEW, "role": "king"}, 400, "invalid", ["#/role"]),
        ({**NEW, "name": "\udfff"}, 400, "invalid", ["#/name"]),
        ({**NEW, "external_id": "u-1"}, 403, "forbidden", []),
        ({**NEW, "phone": "1"}, 400, "invalid", ["#/phone"]),
        ({**NEW, "email": "ada@kvasir.example"}, 409, "exists", ["#/email"]),
    ],
)
def test_add__refused__changes_nothing(body, status: int, code: str, pointers: list[str], world: World) -> None:
    before = members(), state(), User.objects.count()
    assert_problem(world.admin.post(f"{world.labs}members/", body), status, code, *pointers)
    assert (members(), state(), User.objects.count()) == before


@pytest.mark.parametrize(
    ("body", "status", "code", "pointers"),
    [
        ({"role": "member"}, 409, "last_owner", []),
        ({"external_id": "u-1"}, 403, "forbidden", []),
        ({"email": "ada@example.org"}, 400, "invalid", ["#/email"]),
        ({"status": "left"}, 400, "invalid", ["#/status"]),
        ({"external_id": 5}, 400, "invalid", ["#/external_id"]),
    ],
)
def test_patch__refused__changes_nothing_of_it(body, status: int, code: str, pointers: list[str], world: World) -> None:
    owner = Member.objects.get(user=world.cast.owner)
    before = members(), state()
    assert_problem(world.admin.patch(f"{world.labs}members/{owner.pk}/", body), status, code, *pointers)
    assert (members(), state()) == before


def test_delete__last_owner__409(world: World) -> None:
    owner = Member.objects.get(user=world.cast.owner)
    before = members(), state()
    assert_problem(world.admin.delete(f"{world.labs}members/{owner.pk}/"), 409, "last_owner")
    assert (members(), state()) == before


def test_get__member_of_another_organization__404_like_an_absent_one(world: World) -> None:
    foreign = Member.objects.get(user=world.cast.outsider)
    for ident in (foreign.pk, "external:x", "0"):
        assert_problem(world.admin.get(f"{world.labs}members/{ident}/"), 404, "not_found")


def test_add__to_a_personal_organization__409(world: World) -> None:
    owner = {"email": "solo@example.org", "name": "Solo"}
    made = world.operator_key.post("organizations/", {"name": "S", "kind": "personal", "owner": owner}).json()
    before = members(), state()
    assert_problem(world.operator_key.post(f"organizations/{made['id']}/members/", NEW), 409, "personal")
    assert (members(), state()) == before
