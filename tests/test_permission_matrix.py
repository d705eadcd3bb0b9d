"""Role × URL × method, each with its exact status; a refusal leaves the database unchanged.

The URLs come from the URLconf: one that no table below lists fails a test. A new part of the site needs a table like
API, with its prefixes in COVERED.
"""

import uuid

import pytest
from django.db import transaction

from tests.support.callers import World
from tests.support.ledger_guards import everything
from tests.support.permission_matrix import METHODS, NOWHERE, ROLES, ROWS, Row, call, covered_routes, make_busy_world
from tests.support.recordings import Recorded

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def test_matrix__every_covered_url__stands_in_a_table_and_nothing_else_does() -> None:
    assert {row.route for row in ROWS} == covered_routes()


@pytest.fixture
def world(db: None, recorded: Recorded[World]) -> World:
    return recorded(make_busy_world).load()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_matrix__each_role__gets_its_status_and_a_refusal_changes_nothing(row: Row, world: World) -> None:
    before = everything()
    found = {}
    for role in ROLES:
        with transaction.atomic():
            status = found[role] = call(world, row, role).status_code
            if row.method == "GET" or status >= 400:
                assert everything() == before, f"{role} changed something"
            transaction.set_rollback(True)
    assert found == dict(zip(ROLES, map(int, row.statuses.split()), strict=True))


@pytest.mark.parametrize("row", [row for row in ROWS if "<str:organization>" in row.route], ids=str)
@pytest.mark.parametrize("role", ["outsider", "foreign_key"])
def test_matrix__absent_and_foreign__are_indistinguishable(row: Row, role: str, world: World) -> None:
    absent = str(uuid.uuid4())
    answers = [
        call(world, row, role),
        call(world, row, role, organization=absent),
        call(world, row, role, organization="external:nobody"),
        call(world, row, role, organization="not an id"),
        call(world, row, role, organization=absent, member=absent),
    ]
    for answer in answers:
        assert answer.status_code == 404
        assert {**answer.json(), "request_id": ""} == {**answers[0].json(), "request_id": ""}


@pytest.mark.parametrize("route", sorted({row.route for row in ROWS if row.statuses != NOWHERE}))
def test_matrix__method_that_no_table_lists__405(route: str, world: World) -> None:
    listed = {row.method for row in ROWS if row.route == route}
    before = everything()
    for method in (*METHODS, "OPTIONS"):
        if method not in listed:
            answer = call(world, Row(method, route, "", {}), "operator_key")
            assert (method, answer.status_code) == (method, 405)
            assert answer["Content-Type"] == "application/problem+json"
    assert everything() == before
