"""The fast path of decisions: the same answers as the normal one, by index look-ups, also after a lost connection."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import ApiKey
from config import fast_path
from consent import ledger, lookups
from consent.lookup_sql import STATEMENTS
from consent.lookups import Question
from consent.services import choices, members, organizations
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.callers import Caller, World, assert_problem, by_key

pytestmark = pytest.mark.django_db
PATHS = ("/api/v1/decisions/", "/api/v1/decisions/batch/")


def questions(world: World) -> list[dict[str, Any]]:
    """Answered in all ways that there are, and malformed in some."""
    labs, member = str(world.cast.labs.pk), str(world.cast.labs_member.pk)
    asked = [
        {"organization": labs, "member": member, "product": "le_chat"},
        {"organization": labs, "product": "le_chat"},
        {"organization": labs, "product": "ai_studio"},
        {"organization": "external:nobody", "product": "ai_studio"},
        {"organization": labs.upper(), "member": member.upper(), "product": "le_chat", "data_kind": "document"},
        {"organization": labs, "member": member, "product": "le_chat", "collected_at": "2020-01-01T00:00:00Z"},
        {"organization": labs, "member": member, "product": "le_chat", "at": "2020-01-01T00:00:00Z"},
        {"organization": labs, "product": "gold"},
    ]
    return [*asked, {"organization": labs}, {"organization": 7, "product": "le_chat"}, {"colour": "red"}]


def told(response: Any) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body, but for what differs from one answer to the next."""
    headers = {name: value for name, value in response.items() if name not in ("X-Request-ID", *_LONG)}
    body = response.json()
    for name in ("decided_at", "request_id"):
        body.pop(name, None)
    return response.status_code, headers, body


# What pages need and answers for programs don't.
_LONG = ("Content-Security-Policy", "X-Frame-Options", "Content-Language", "Vary")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_fast_path__any_question__answered_as_by_the_long_one(world: World, method: str, settings: Any) -> None:
    settings.KEY_RATE = 0
    bodies = [*questions(world), {"items": questions(world)[:8]}, [], "text"]
    for caller in (world.key, world.operator_key, world.narrow_key, Caller(Client(), {"Authorization": "Bearer no"})):
        caller.post("decisions/", {})  # the key's use is noted
        for path in PATHS:
            for body in bodies:
                short = caller(method, path, body)
                assert short.wsgi_request.resolver_match is None
                long = caller(method, path, body, accept_language="en")
                assert long.wsgi_request.resolver_match is not None
                assert told(short) == told(long), (path, body)


def test_fast_path__wrong_host__400(world: World) -> None:
    assert_problem(world.key.post(PATHS[0], questions(world)[0], host="evil.example"), 400, "bad_request")


def test_fast_path__after_a_page_in_french__answers_in_english(world: World) -> None:
    said = [world.key.post(PATHS[0], questions(world)[0]).json()["detail"]]
    Client().get("/sign-in/", headers={"accept-language": "fr"})
    said.append(world.key.post(PATHS[0], questions(world)[0]).json()["detail"])
    assert said[0] == said[1]


def test_fast_path__session__takes_the_long_one(world: World) -> None:
    assert world.owner.post(PATHS[0], questions(world)[0]).wsgi_request.resolver_match is not None


def test_fast_path__its_paths__are_those_of_questions() -> None:
    assert {"api:decisions", "api:decisions-batch"} <= set(fast_path.QUESTIONS)


# --- The statements ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_of", [True, False])
def test_statements__one_and_many__find_the_same(world: World, as_of: bool) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=world.cast.labs, choice="opted_out",
        actor=world.cast.provider, source="admin",
    )  # fmt: skip
    by: dict[str, Any] = {"actor": world.cast.provider, "source": "admin"}
    organizations.update_organization(organization=world.cast.labs, external_id="labs", **by)
    members.update_member(member=world.cast.labs_member, external_id="dag", **by)
    at = ledger.clock() if as_of else None
    asked = [
        Question(organization, product, member, at=at)
        for organization, member in (
            (str(world.cast.labs.pk), str(world.cast.labs_member.pk)),
            (str(world.cast.brage.pk), str(world.cast.labs_member.pk)),
            ("external:labs", "external:dag"),
        )
        for product in ("le_chat", "ai_studio")
    ]
    many, _now = lookups.fetch(asked)
    one = [lookups.fetch_one(question)[0] for question in asked]
    # Which event gave an external id is looked up of one question alone.
    same = {"n": 0, "now": 0, "named_event": None, "member_named_event": None}
    assert [row._replace(**same) for row in many] == [row._replace(**same) for row in one]
    assert {row.organization_id for row in one} == {world.cast.labs.pk, world.cast.brage.pk}
    assert one[0].member_id is not None and one[-1].named() is not None


@pytest.mark.parametrize(
    "statement", [pytest.param(each, marks=pytest.mark.only_on(each[0]), id=str(each)) for each in STATEMENTS]
)
def test_statements__plan__index_lookups_alone(world: World, statement: tuple[str, bool, bool]) -> None:
    vendor, one, _as_of = statement
    question = Question("external:labs", "le_chat", "external:dag")
    item = lookups.asked_of(vendor, 0, question)
    many = [json.dumps([item] * 50)] if vendor == "sqlite" else [[value] * 50 for value in item]
    with connection.cursor() as cursor:
        if vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # tables so small would be read whole
        explain = "EXPLAIN QUERY PLAN " if vendor == "sqlite" else "EXPLAIN "
        cursor.execute(explain + STATEMENTS[statement], [*item, "tck_"] if one else many)
        plan = [str(row[-1]) for row in cursor.fetchall()]
    ours = ("accounts_", "consent_")
    # The external ids, each by the whole of its key.
    looked_up = [line for line in plan if "binding_" in line and "binding_of_" not in line]
    assert len(looked_up) == 2
    if vendor == "sqlite":
        assert "(value=?" in looked_up[0] and "(value=? AND organization_id=?" in looked_up[1]
    scans = [line for line in plan if ("Seq Scan" in line or line.startswith("SCAN ")) and any(o in line for o in ours)]
    assert scans == [] and not any("Hash Join" in line for line in plan)


# --- Trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.only_on("postgresql", reason="SQLite has no connection to lose")
@pytest.mark.django_db(transaction=True)
def test_decide__connection_lost_meanwhile__asked_again_and_answered(world: World) -> None:
    caller = by_key("decisions:read")
    assert caller.post(PATHS[0], questions(world)[0]).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()
    assert caller.post(PATHS[0], questions(world)[0]).status_code == 200
    assert ApiKey.objects.count() > 0
