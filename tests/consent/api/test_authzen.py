"""The OpenID Authorization API 1.0 (AuthZEN): the specification's examples, with the product's vocabulary."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from consent.models import ConsentEvent
from consent.services import choices, members, organizations
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.callers import World, assert_problem

pytestmark = pytest.mark.django_db
ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"
TRAIN = {"name": "train"}
UNKNOWN = "01890000-0000-7000-8000-000000000000"


def asked(world: World, product: str = "le_chat", **changes: Any) -> dict[str, Any]:
    subject = {"type": "member", "id": str(world.cast.labs_member.pk)}
    return {"subject": subject, "action": TRAIN, "resource": {"type": "product", "id": product}} | changes


def resource(product: str = "le_chat", **properties: Any) -> dict[str, Any]:
    return {"type": "product", "id": product, "properties": properties}


# --- One --------------------------------------------------------------------------------------------------------------


def test_evaluation__member__decided_like_any_question(world: World) -> None:
    answer = world.operator_key.post(ONE, asked(world), x_request_id="req-1")
    assert (answer.status_code, answer.json()) == (200, {"decision": True, "context": {"reason": "plan_default"}})
    assert answer["X-Request-ID"] == "req-1"
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=world.cast.labs, choice="opted_out",
        actor=world.cast.provider, source="admin",
    )  # fmt: skip
    assert world.operator_key.post(ONE, asked(world)).json() == {
        "decision": False, "context": {"reason": "organization_opted_out"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subject": {"type": "user", "id": "alice"}}, "unknown_subject_type"),
        ({"subject": {"type": "member", "id": "alice"}}, "unknown_member"),
        ({"subject": {"type": "member", "id": UNKNOWN}}, "unknown_member"),
        ({"subject": {"type": "organization", "id": UNKNOWN}}, "unknown_organization"),
        ({"subject": {"type": "organization", "id": "external:nobody"}}, "unknown_organization"),
        ({"action": {"name": "read"}}, "unknown_action"),
        ({"resource": {"type": "book", "id": "le_chat"}}, "unknown_resource_type"),
        ({"resource": {"type": "product", "id": "gold"}}, "unknown_product"),
        ({"resource": resource(collectedAt="2026-11-20T00:00:00Z")}, "unknown_property"),
        ({"resource": resource(data_kind="mood")}, "unknown_data_kind"),
        ({"resource": resource(collected_at="2020-01-01T00:00:00Z")}, "collected_before_allowed"),
        ({"resource": resource(collected_at="2999-01-01T00:00:00Z")}, "not_yet_known"),
    ],
)
def test_evaluation__unknown_or_not_so__false_with_the_reason(world: World, changes: Any, reason: str) -> None:
    answer = world.operator_key.post(ONE, asked(world, **changes))
    assert (answer.status_code, answer.json()) == (200, {"decision": False, "context": {"reason": reason}})


@pytest.mark.parametrize(
    "name",
    [
        "collectedAt", "collected-at", "Collected_At", "COLLECTED_AT", "collected at", " collected_at", "collected_at ",
        "collected.at", "collectedat", "collected__at", "collected_ats", "colected_at", "collected_ta",
        "col\u200blected_at", "\uff43ollected_at", "cöllected_at", "\u0441ollected_at", "dataKind", "data-kind",
        "DataKind", "data kind", "datakind", "DATA_KIND", "data_kinds", "dataKinds", "data_knd", "data_kind\u200d",
        "d\u0430ta_kind", "data/kind", "$data_kind",
    ],
)  # fmt: skip
def test_evaluation__property_of_ours_misspelt__false(world: World, name: str) -> None:
    properties = {"colour": "red", name: "2026-11-20T00:00:00Z"}
    answer = world.operator_key.post(ONE, asked(world, resource=resource(**properties)))
    assert (answer.status_code, answer.json()) == (200, {"decision": False, "context": {"reason": "unknown_property"}})


UNKNOWN_PROPERTIES: dict[str, Any] = {
    "colour": "red", "library_record": {"isbn": [1]}, "created_at": "x", "collected_by": 7, "corrected_at": None,
    "data": {}, "kind": "book", "data_id": "4", "metadata": [], "": 0, "x" * 1000: 1,
}  # fmt: skip


def test_evaluation__properties_that_are_none_of_ours__ignored(world: World) -> None:
    body = asked(world, resource=resource(**UNKNOWN_PROPERTIES))
    body["subject"]["properties"] = {"collectedAt": "now", "organization": 7}
    answer = world.operator_key.post(ONE, body)
    assert (answer.status_code, answer.json()["decision"]) == (200, True)


def test_evaluation__member_by_external_id__with_the_organization(world: World) -> None:
    cast = world.cast
    by: dict[str, Any] = {"actor": cast.provider, "source": "admin"}
    organizations.update_organization(organization=cast.labs, external_id="kvasir", **by)
    members.update_member(member=cast.labs_member, external_id="ada", **by)

    def reason(**properties: Any) -> str:
        subject = {"type": "member", "id": "external:ada", "properties": properties}
        return str(world.operator_key.post(ONE, asked(world, subject=subject)).json()["context"]["reason"])

    assert [reason(organization=each) for each in ("external:kvasir", str(cast.labs.pk))] == ["plan_default"] * 2
    for other in ({}, {"organization": str(cast.brage.pk)}, {"organization": "external:nobody"}, {"organization": ""}):
        assert reason(**other) == "unknown_member"
    subject = {"type": "member", "id": "external:ada", "properties": {"organization": 7}}
    refused = world.operator_key.post(ONE, asked(world, subject=subject))
    assert_problem(refused, 400, "invalid", "#/subject/properties/organization")
    subject["properties"] = {"organization": "external:kvasir"}
    items = [{"resource": {"type": "product", "id": each}} for each in ("le_chat", "gold")]
    answer = world.operator_key.post(MANY, asked(world, subject=subject) | {"evaluations": items}).json()
    assert [each["context"]["reason"] for each in answer["evaluations"]] == ["plan_default", "unknown_product"]
    assert world.foreign_key.post(ONE, asked(world, subject=subject)).json()["context"] == {"reason": "unknown_member"}


def test_evaluation__organization__asked_about_as_a_whole(world: World) -> None:
    subject = {"type": "organization", "id": str(world.cast.labs.pk)}
    answers = [
        world.operator_key.post(ONE, asked(world, product, subject=subject)).json()
        for product in ("le_chat", "ai_studio")
    ]
    assert [answer["context"]["reason"] for answer in answers] == ["member_required", "plan_default"]


def test_evaluation__somebody_elses_member__as_if_there_were_none(world: World) -> None:
    assert world.foreign_key.post(ONE, asked(world)).json()["context"] == {"reason": "unknown_member"}
    subject = {"type": "organization", "id": str(world.cast.labs.pk)}
    assert world.foreign_key.post(ONE, asked(world, subject=subject)).json()["context"] == {
        "reason": "unknown_organization"
    }


def test_evaluation__context_and_properties_of_subject_and_action__not_looked_at(world: World) -> None:
    body = asked(world, context={"time": [1]})
    body["subject"] |= {"properties": {"department": "Sales"}}
    body["action"] = TRAIN | {"properties": {"method": "GET"}}
    assert world.operator_key.post(ONE, body).json()["decision"] is True


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"subject": None}, "#/subject"),
        ({"action": "train"}, "#/action"),
        ({"resource": {"type": "product"}}, "#/resource/id"),
        ({"subject": {"type": 7, "id": "x"}}, "#/subject/type"),
        ({"subject": {"type": "member", "id": ""}}, "#/subject/id"),
        ({"resource": resource(collected_at="yesterday")}, "#/resource/properties/collected_at"),
        ({"resource": resource(collected_at="2020-01-01T00:00:00")}, "#/resource/properties/collected_at"),
        ({"resource": resource(data_kind=7)}, "#/resource/properties/data_kind"),
        ({"resource": {"type": "product", "id": "x", "properties": []}}, "#/resource/properties"),
        ({"resource": {"type": "product", "id": "x", "properties": None}}, "#/resource/properties"),
        ({"subject": {"type": "member", "id": "x", "properties": "y"}}, "#/subject/properties"),
        ({"action": {"name": "train", "properties": 7}}, "#/action/properties"),
        ({"context": None}, "#/context"),
        ({"context": []}, "#/context"),
        ({"context": "x"}, "#/context"),
    ],
)
def test_evaluation__malformed__400_names_it(world: World, changes: Any, pointer: str) -> None:
    assert_problem(world.operator_key.post(ONE, asked(world, **changes)), 400, "invalid", pointer)


def test_evaluation__without_a_key_or_the_right__401_403_405(world: World) -> None:
    assert_problem(world.anonymous.post(ONE, asked(world)), 401, "not_authenticated")
    assert_problem(world.narrow_key.post(ONE, asked(world)), 403, "forbidden")
    assert_problem(world.operator_key.get(ONE), 405, "method_not_allowed")
    assert_problem(world.operator_key.post(ONE, b"{"), 400, "malformed", "#")


# --- Many -------------------------------------------------------------------------------------------------------------


def many(world: World, *products: str, **more: Any) -> Any:
    body = asked(world) | {"evaluations": [{"resource": {"type": "product", "id": each}} for each in products]} | more
    return world.operator_key.post(MANY, body)


def test_evaluations__defaults_from_the_top__in_order(world: World) -> None:
    answer = many(world, "le_chat", "gold", "ai_studio")
    assert [each["decision"] for each in answer.json()["evaluations"]] == [True, False, False]


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        ("execute_all", [False, True, False, True]),
        ("deny_on_first_deny", [False]),
        ("permit_on_first_permit", [False, True]),
    ],
)
def test_evaluations__semantics__end_where_it_is_settled(world: World, semantic: str, expected: list[bool]) -> None:
    answer = many(world, "gold", "le_chat", "gold", "le_chat", options={"evaluations_semantic": semantic})
    assert [each["decision"] for each in answer.json()["evaluations"]] == expected


def test_evaluations__one_malformed__its_own_error_and_the_others_answered(world: World) -> None:
    items: list[Any] = [
        {},
        {"resource": {"type": "product"}},
        7,
        {"context": None},
        {"action": TRAIN | {"properties": 1}},
    ]
    answers = world.operator_key.post(MANY, asked(world) | {"evaluations": items}).json()["evaluations"]
    assert [each["decision"] for each in answers] == [True, False, False, False, False]
    assert answers[3]["context"]["error"]["errors"][0]["pointer"] == "#/evaluations/3/context"
    assert answers[4]["context"]["error"]["errors"][0]["pointer"] == "#/evaluations/4/action/properties"
    assert answers[1]["context"]["error"]["status"] == 400
    assert answers[1]["context"]["error"]["errors"][0]["pointer"] == "#/evaluations/1/resource/id"


@pytest.mark.parametrize("items", [{}, {"evaluations": []}])
def test_evaluations__none__one_evaluation(world: World, items: Any) -> None:
    assert (
        world.operator_key.post(MANY, asked(world) | items).json() == world.operator_key.post(ONE, asked(world)).json()
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"evaluations": {}}, "#/evaluations"),
        ({"evaluations": None}, "#/evaluations"),
        ({"evaluations": [{}], "context": []}, "#/context"),
        ({"evaluations": [{}], "options": None}, "#/options/evaluations_semantic"),
        ({"evaluations": [{}], "options": {"evaluations_semantic": "any"}}, "#/options/evaluations_semantic"),
        ({"evaluations": [{}], "options": 7}, "#/options/evaluations_semantic"),
        ({"evaluations": [{}] * 10_001}, "#/evaluations"),
    ],
)
def test_evaluations__malformed__400_names_it(world: World, body: Any, pointer: str) -> None:
    assert_problem(world.operator_key.post(MANY, asked(world) | body), 400, "invalid", pointer)


def test_evaluations__any_number__three_queries(world: World) -> None:
    many(world, "le_chat")
    for number in (2, 200):
        with CaptureQueriesContext(connection) as queries:
            assert many(world, *["le_chat"] * number).status_code == 200
        assert len(queries) == 3


def test_configuration__names_the_endpoints_to_anybody() -> None:
    answer = Client().get("/.well-known/authzen-configuration")
    assert answer.json() == {
        "policy_decision_point": "http://testserver",
        "access_evaluation_endpoint": f"http://testserver{ONE}",
        "access_evaluations_endpoint": f"http://testserver{MANY}",
    }
    assert_problem(Client().post("/.well-known/authzen-configuration"), 405, "method_not_allowed")


def test_configuration__unchanged__304_and_may_be_kept() -> None:
    address = "/.well-known/authzen-configuration"
    first = Client().get(address)
    assert first["Cache-Control"] == "public, max-age=3600"
    for tags in (first["ETag"], "*", f'"another", {first["ETag"]}', f"W/{first['ETag']}"):
        again = Client().get(address, headers={"If-None-Match": tags})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert Client().get(address, headers={"If-None-Match": '"another"'}).status_code == 200
    elsewhere = Client().get(address, headers={"Host": "localhost"})
    assert elsewhere["ETag"] != first["ETag"] and Client().head(address)["ETag"] == first["ETag"]


# --- The caller's request identifier ----------------------------------------------------------------------------------

PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


@pytest.mark.parametrize(
    "given", ["req-1", PRINTABLE, "Root=1-67891233-abcdef; Sampled=1", "a b", "x" * 200, "<script>", "%0d%0a", '"q"']
)
def test_request_identifier__any_printable_one__comes_back_as_it_is_and_is_kept_tamed(world: World, given: str) -> None:
    assert world.operator_key.post(ONE, asked(world), x_request_id=given)["X-Request-ID"] == given
    assert_problem(
        world.operator_key.post(ONE, asked(world, context=[]), x_request_id=given), 400, "invalid", "#/context"
    )
    assert_problem(world.anonymous.get("/api/v1/me/", x_request_id=given), 401, "not_authenticated")
    made = world.operator_key.post("organizations/", {"name": "New", "kind": "team"}, x_request_id=given)
    assert (made.status_code, made["X-Request-ID"]) == (201, given)
    kept = ConsentEvent.objects.latest("pk").request_id
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", kept) and (kept == given or given != "req-1")


@pytest.mark.parametrize("given", ["", "x" * 201, "é", "\u200b", "a\x00b", "a\tb", "a\x7fb"])
def test_request_identifier__that_no_header_should_hold__another_is_given(world: World, given: str) -> None:
    came = world.operator_key.post(ONE, asked(world), x_request_id=given)["X-Request-ID"]
    assert came != given and re.fullmatch(r"[0-9a-f]{32}", came)
