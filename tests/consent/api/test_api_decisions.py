"""Decisions through the API: 200 with an answer, 400 if malformed, 503 on failure, and no in doubt."""

import datetime as dt
import logging
from collections.abc import Iterator

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiKey
from consent.api import decisions
from consent.models import ConsentEvent
from tests.support.callers import Caller, World, assert_problem, by_key, by_session, state

pytestmark = pytest.mark.django_db


def question(world: World, **changes: object) -> dict[str, object]:
    asked = {"organization": str(world.cast.labs.pk), "member": str(world.cast.labs_member.pk), "product": "le_chat"}
    return {**asked, **changes}


def ask(caller: Caller, body: object, query: str = "") -> HttpResponse:
    return caller.post(f"decisions/{query}", body)


def test_decide__allowed__says_why(world: World) -> None:
    answer = ask(world.operator_key, question(world))
    body = answer.json()
    assert (answer.status_code, answer["Cache-Control"], answer["Content-Type"]) == (
        200,
        "no-store",
        "application/json",
    )
    assert body == {
        "allowed": True,
        "reason": "plan_default",
        "detail": "Kvasir Labs follows the default of its plan: opted in.",
        "decided_at": body["decided_at"],
    }
    assert dt.datetime.fromisoformat(body["decided_at"]).tzinfo


def test_decide__explained__names_every_layer_with_its_event(world: World) -> None:
    path = f"{world.dag}privacy-settings/le_chat_mobile/"
    chosen = world.member.put(path, {"choice": "opted_out"}).json()
    body = ask(world.operator_key, question(world), "?explain=true").json()
    started = ConsentEvent.objects.get(organization=world.cast.labs, product="le_chat", kind="subscription.started")
    assert (body["allowed"], body["reason"]) == (False, "member_opted_out")
    assert body["layers"] == [
        {
            "layer": "organization",
            "allowed": True,
            "reason": "plan_default",
            "since": body["layers"][0]["since"],
            "event": str(started.pk),
        },
        {
            "layer": "member",
            "allowed": False,
            "reason": "member_opted_out",
            "since": chosen["since"],
            "event": chosen["event"],
        },
    ]
    assert "layers" not in ask(world.operator_key, question(world), "?explain=false").json()


def test_decide__after_an_opt_out_was_answered__sees_it(world: World) -> None:
    world.admin.put(f"{world.labs}privacy-settings/le_chat_console/", {"choice": "opted_out"})
    assert ask(world.key, question(world)).json()["reason"] == "organization_opted_out"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"organization": "external:nobody"}, "unknown_organization"),
        ({"organization": ""}, "unknown_organization"),
        ({"product": "le_dog"}, "unknown_product"),
        ({"data_kind": "api_input"}, "unknown_data_kind"),
        ({"at": "2999-01-01T00:00:00Z"}, "not_yet_known"),
        ({"at": "0001-01-01T00:00:00Z"}, "not_yet_known"),
        ({"collected_at": "9999-12-31T23:59:59.999999999Z"}, "not_yet_known"),
        ({"member": None}, "member_required"),
        ({"member": "external:nobody"}, "unknown_member"),
        ({"member": ""}, "unknown_member"),
        ({"collected_at": "2001-01-01t00:00:00+01:00"}, "collected_before_allowed"),
        ({"product": "ai_studio"}, "plan_default"),
    ],
)
def test_decide__well_formed_but_unknown_or_denied__200_and_no(changes, reason: str, world: World) -> None:
    answer = ask(world.operator_key, question(world, **changes))
    assert (answer.status_code, answer.json()["allowed"], answer.json()["reason"]) == (200, False, reason)
    assert answer.json()["detail"]


def test_decide__foreign_and_absent__answer_alike(world: World) -> None:
    foreign = ask(world.foreign_key, question(world), "?explain=true").json()
    absent = ask(world.foreign_key, question(world, organization="external:nobody"), "?explain=true").json()
    assert {**foreign, "decided_at": ""} == {**absent, "decided_at": ""}
    assert (foreign["reason"], foreign["layers"]) == ("unknown_organization", [])


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"organization": None}, ["#/organization"]),
        ({"organization": 7, "product": True}, ["#/organization", "#/product"]),
        ({"organization": "\x00"}, ["#/organization"]),
        ({"member": "\ud800"}, ["#/member"]),
        ({"member": ["x"]}, ["#/member"]),
        ({"data_kind": 0}, ["#/data_kind"]),
        ({"subject": "x", "a/b~": 1}, ["#/subject", "#/a~1b~0"]),
        ({"at": "2026-11-20"}, ["#/at"]),
        ({"at": "2026-11-20T10:00:00"}, ["#/at"]),
        ({"at": "2026-11-20 10:00:00Z"}, ["#/at"]),
        ({"at": "2026-11-20T10:00Z"}, ["#/at"]),
        ({"at": "2026-02-30T10:00:00Z"}, ["#/at"]),
        ({"at": "0001-01-01T00:00:00+23:59"}, ["#/at"]),
        ({"at": 1790000000, "collected_at": False}, ["#/at", "#/collected_at"]),
        ({"at": ""}, ["#/at"]),
        ({"organization": None, "product": 7, "subject": "x"}, ["#/product", "#/subject", "#/organization"]),
    ],
)
def test_decide__malformed__400_naming_it(changes, pointers: list[str], world: World) -> None:
    assert_problem(ask(world.key, question(world, **changes)), 400, "invalid", *pointers)


@pytest.mark.parametrize(
    ("body", "status", "code", "pointers"),
    [
        (b" ", 400, "malformed", ["#"]),
        (b"{", 400, "malformed", ["#"]),
        (b"\xff", 400, "malformed", ["#"]),
        (b'{"organization": NaN}', 400, "malformed", ["#"]),
        (b"[" * 19_000, 400, "malformed", ["#"]),
        (b"1" * 6_000, 400, "malformed", ["#"]),
        (b"[]", 400, "invalid", ["#"]),
        (b"null", 400, "invalid", ["#"]),
        (b" " * 20_001, 413, "too_large", []),
    ],
)
def test_decide__body_that_is_no_question__says_why(body, status, code, pointers, world: World) -> None:
    assert_problem(ask(world.key, body), status, code, *pointers)


@pytest.mark.parametrize("caller", ["key", "auditor"])
def test_decide__organization_asks_about_a_member__is_not_told_what_they_chose(caller: str, world: World) -> None:
    organization = getattr(world, caller)
    path = f"{world.dag}privacy-settings/le_chat_mobile/"
    answers = []
    for choice in ("opted_out", "opted_in"):
        assert world.member.put(path, {"choice": choice}, If_Match='"1"').status_code == 200
        answers.append(ask(organization, question(world), "?explain=true").json())
    assert [(each["allowed"], each["reason"], len(each["layers"])) for each in answers] == [
        (False, "member_private", 1)
    ] * 2


@pytest.mark.parametrize(("query", "pointers"), [("?explain=1", ["?explain"]), ("?explain=true&why=x", ["?why"])])
def test_decide__bad_parameter__400_naming_it(query: str, pointers: list[str], world: World) -> None:
    assert_problem(ask(world.key, question(world), query), 400, "invalid", *pointers)


def test_decide__not_json__415(world: World) -> None:
    answer = world.key("POST", "decisions/", b"a=1", content_type="application/x-www-form-urlencoded")
    assert_problem(answer, 415, "unsupported_media_type")


# --- Who asks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer nonsense", "Basic YTpi", "Bearer tck_AAAAAAAA_" + "x" * 43, "Token"]
)
def test_decide__bad_credentials__401_with_a_challenge(header: str, world: World) -> None:
    for caller in (world.anonymous, world.owner):  # a session does not help a bad key
        answer = caller.post("decisions/", question(world), authorization=header)
        assert_problem(answer, 401, "authentication_failed")
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("fields", [{"expires_at": 0}, {"revoked_at": 0}])
def test_decide__expired_or_revoked_key__401(fields: dict[str, int], world: World) -> None:
    caller = by_key("decisions:read")
    assert ask(caller, question(world)).status_code == 200
    ApiKey.objects.filter(scopes=["decisions:read"]).update(**dict.fromkeys(fields, timezone.now()))
    assert_problem(ask(caller, question(world)), 401, "authentication_failed")


def test_decide__session_without_csrf_token__403_with_it_200(world: World) -> None:
    caller = by_session(world.cast.owner, enforce_csrf_checks=True)
    assert_problem(ask(caller, question(world)), 403, "csrf")
    caller.client.cookies["csrftoken"] = "a" * 32
    assert caller.post("decisions/", question(world), x_csrftoken="a" * 32).status_code == 200


def test_decide__deactivated_person__401(world: World) -> None:
    world.cast.owner.is_active = False
    world.cast.owner.save(update_fields=["is_active"])
    assert_problem(ask(world.owner, question(world)), 401, "not_authenticated")


# --- Cost and trouble -----------------------------------------------------------------------------------------------


def queries_of(caller: Caller, path: str, body: object) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert caller.post(path, body).status_code == 200
    return [query["sql"] for query in queries.captured_queries]


def test_decide__by_key__one_query_and_a_note_of_its_use_once_a_minute(world: World) -> None:
    first, second = (queries_of(world.key, "decisions/?explain=true", question(world)) for _ in range(2))
    assert len(first) == 2 and first[1].startswith("UPDATE") and "last_used_at" in first[1]
    assert len(second) == 1


def test_batch__any_number_of_items__two_queries(world: World) -> None:
    ask(world.key, question(world))
    for size in (1, 500):
        assert len(queries_of(world.key, "decisions/batch/", {"items": [question(world)] * size})) == 2


@pytest.fixture
def broken_database(world: World) -> Iterator[None]:
    """A table is missing: found out inside the one statement that answers."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE consent_privacysetting RENAME TO elsewhere")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE elsewhere RENAME TO consent_privacysetting")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["decisions/", "decisions/batch/"])
def test_decide__database_in_trouble__503_which_means_no(
    path: str, world: World, broken_database: None, caplog: pytest.LogCaptureFixture
) -> None:
    body = question(world) if path == "decisions/" else {"items": [question(world)]}
    with caplog.at_level(logging.ERROR):
        answer = world.key.post(path, body)
    assert_problem(answer, 503, "unavailable")
    assert answer.json()["allowed"] is False and answer["Retry-After"] == "1"
    assert "could not be answered" in caplog.text


# --- Batches --------------------------------------------------------------------------------------------------------


def test_batch__answers_in_order_and_malformed_items_are_not_allowed(world: World) -> None:
    items = [
        question(world),
        question(world, product="ai_studio"),
        {"organization": 1, "product": "le_chat", "subject": "x"},
        "nonsense",
        question(world, at="2026-11-20T10:00:00"),
        question(world, organization="external:nobody"),
        question(world),
    ]
    answer = world.operator_key.post("decisions/batch/", {"items": items})
    body = answer.json()
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert [(each["allowed"], each["reason"]) for each in body["decisions"]] == [
        (True, "plan_default"),
        (False, "plan_default"),
        (False, None),
        (False, None),
        (False, None),
        (False, "unknown_organization"),
        (True, "plan_default"),
    ]
    pointers = [each.get("error", {}).get("pointer") for each in body["decisions"]]
    assert pointers == [None, None, "#/items/2/organization", "#/items/3", "#/items/4/at", None, None]
    assert dt.datetime.fromisoformat(body["decided_at"]).tzinfo


@pytest.mark.parametrize("items", [[], ["nonsense"]])
def test_batch__without_a_question__still_checks_who_asks(items: list[str], world: World) -> None:
    assert len(world.key.post("decisions/batch/", {"items": items}).json()["decisions"]) == len(items)
    assert_problem(world.narrow_key.post("decisions/batch/", {"items": items}), 403, "forbidden")


def test_batch__ten_thousand_items__200_one_more_400(world: World) -> None:
    items = [question(world)] * decisions.MAX_ITEMS
    assert len(world.key.post("decisions/batch/", {"items": items}).json()["decisions"]) == 10_000
    assert_problem(world.key.post("decisions/batch/", {"items": [*items, {}]}), 400, "invalid", "#/items")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [([], ["#"]), ({}, ["#/items"]), ({"items": {}}, ["#/items"]), ({"items": [], "explain": 1}, ["#/explain"])],
)
def test_batch__body_that_is_none__400(body: object, pointers: list[str], world: World) -> None:
    assert_problem(world.key.post("decisions/batch/", body), 400, "invalid", *pointers)


def test_batch__explain__400(world: World) -> None:
    assert_problem(world.key.post("decisions/batch/?explain=true", {"items": []}), 400, "invalid", "?explain")


def test_decide__answers__agree_with_the_batch_and_write_nothing(world: World) -> None:
    kinds = [question(world, data_kind=kind) for kind in ("conversation", "document", "output", "related")]
    before = state()
    batch = world.operator_key.post("decisions/batch/", {"items": kinds}).json()["decisions"]
    single = [ask(world.operator_key, each).json() for each in kinds]
    assert [(each["allowed"], each["reason"]) for each in batch] == [(e["allowed"], e["reason"]) for e in single]
    assert [each["reason"] for each in batch] == ["plan_default"] * 3 + ["unknown_data_kind"]
    assert state() == before
