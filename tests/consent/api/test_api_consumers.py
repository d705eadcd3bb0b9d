"""Consumers by the API: their own word about positions, and what operators see of them."""

from typing import Any

import pytest
from django.test import Client

from consent import ledger
from consent.models import ConsumerDataset
from consent.services.consumers import Registered
from tests.support.callers import Caller, World, assert_problem, by_key
from tests.support.consumers import registered
from tests.support.ledger_guards import everything

pytestmark = pytest.mark.django_db


def caller(made: Registered) -> Caller:
    return Caller(Client(), {"Authorization": f"Bearer {made.text}"})


def path(made: Registered, rest: str = "position/") -> str:
    return f"consumers/{made.consumer.pk}/{rest}"


def head() -> int:
    ledger.sequence()
    return ledger.head()


def test_position__said__kept_shown_and_harmless_to_repeat(world: World) -> None:
    made = registered(world.cast)
    at = head()
    answer = caller(made).put(path(made), {"position": at})
    assert answer.status_code == 200
    (dataset,) = answer.json()["datasets"]
    assert (dataset["name"], dataset["position"]) == ("", at) and dataset["said_at"]
    before = everything()
    again = caller(made).put(path(made), {"position": at})
    assert (again.status_code, again.json()) == (200, answer.json())
    assert everything() == before
    assert caller(made).get(path(made, "")).json() == answer.json()


def test_position__by_dataset__or_of_all(world: World) -> None:
    made = registered(world.cast, datasets=["chat", "code"])
    at = head()
    answer = caller(made).put(path(made), {"position": 2, "dataset": "code"})
    assert {each["name"]: each["position"] for each in answer.json()["datasets"]} == {"chat": 0, "code": 2}
    answer = caller(made).put(path(made), {"position": at})
    assert {each["position"] for each in answer.json()["datasets"]} == {at}


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"position": 2}, 409, "#/position"),
        ({"position": 10**12}, 422, "#/position"),
        ({"position": -1}, 400, "#/position"),
        ({"position": "many"}, 400, "#/position"),
        ({"position": 2**63}, 400, "#/position"),
        ({}, 400, "#/position"),
        ({"position": 3, "dataset": "voice"}, 400, "#/dataset"),
        ({"position": 3, "dataset": 7}, 400, "#/dataset"),
        ({"position": 3, "colour": "red"}, 400, "#/colour"),
    ],
)
def test_position__backwards_beyond_or_malformed__refused_and_nothing_changes(
    world: World, body: Any, status: int, pointer: str
) -> None:
    made = registered(world.cast)
    caller(made).put(path(made), {"position": 3})
    ledger.sequence()
    before = everything()
    answer = caller(made).put(path(made), body)
    assert answer.status_code == status
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    assert everything() == before
    assert ConsumerDataset.objects.get().position == 3


def test_position__of_another_consumer_and_of_none__not_found(world: World) -> None:
    made, other = registered(world.cast, "one"), registered(world.cast, "two")
    for there in (path(other), "consumers/0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f/position/", "consumers/x/position/"):
        assert_problem(caller(made).put(there, {"position": 1}), 404, "not_found")
    assert set(ConsumerDataset.objects.values_list("position", flat=True)) == {0}


def test_position__by_operators_and_their_other_keys__forbidden(world: World) -> None:
    made = registered(world.cast)
    for other in (world.operator, world.operator_key):
        assert_problem(other.put(path(made), {"position": 1}), 403, "forbidden")
    # A key with the scope that is bound to no consumer finds none.
    assert_problem(by_key("consumer:write").put(path(made), {"position": 1}), 404, "not_found")
    assert ConsumerDataset.objects.get().position == 0


def test_consumers__listed__all_for_operators_itself_for_a_consumer(world: World) -> None:
    made, other = registered(world.cast, "one"), registered(world.cast, "two")
    names = [each["name"] for each in world.operator_key.get("consumers/").json()["results"]]
    assert names == ["two", "one"]
    assert [each["name"] for each in by_key("events:read").get("consumers/").json()["results"]] == names
    assert [each["name"] for each in caller(made).get("consumers/").json()["results"]] == ["one"]
    assert_problem(caller(made).get(path(other, "")), 404, "not_found")
    for stranger in (world.owner, world.key, world.member, by_key("decisions:read")):
        assert_problem(stranger.get("consumers/"), 403, "forbidden")
        assert_problem(stranger.get(path(made, "")), 403, "forbidden")
