"""A filter's value that can't match anything is refused with its name: an empty list would look like an answer."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from consent.services import organizations
from tests.support.callers import World, assert_problem
from tests.support.ledger_guards import everything
from tests.support.training import register

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
# What has a form that no schema says.
FORMS = {
    "country": ["France", "F", "F1", "ÉÉ", "12"],
    "external_id": ["a\u200bb", "\ufe0f", "x" * 201],
    "organization": ["acme", "external:", "external:a\u200bb", "{0}"],
    "organizations": ["acme", "external:", "external:a\u200bb", "01a21720"],
    "member": ["ada", "external:", "external:\ue000", "01a21720"],
    "email": ["ada", "ada@", "a b@x.example", "ada@x.example, bo@x.example", "a\u200bda@x.example"],
    "plan": ["le_chat", "LE_CHAT_FREE"],
    "search": ["a\u202eb", "x" * 201],
    "cursor": ["%%%", "abc", "MTI", "ð"],
}  # fmt: skip


def listing(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and parameter, of every operation that answers a list or a stream."""
    for path, methods in described["paths"].items():
        for parameter in methods.get("get", {}).get("parameters", ()):
            if parameter["in"] == "query" and path.startswith("/api/v1/"):
                yield path, parameter


def resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = schema.get("items", schema)
    for each in (schema, *schema.get("allOf", ()), *schema.get("anyOf", ())):
        if "$ref" in each:
            return resolved(schemas[each["$ref"].rpartition("/")[2]], schemas)
    return schema


def bad_values(name: str, schema: dict[str, Any]) -> list[str]:
    """Percent-encoded."""
    bad = ["%FF", "%C3", "a%ED%A0%80b", "%00", ""]
    if "enum" in schema:
        bad += ["nonsense", schema["enum"][0].upper(), f"{schema['enum'][0]}%20x"]
    if schema.get("format") == "date-time":
        bad += ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-02-31T00:00:00Z"]
    if schema.get("type") == "integer":
        bad += ["x", "-1", "1.5", "1e3", "%D9%A1", str(2**63), "9" * 40]
    if schema.get("type") == "boolean":
        bad += ["perhaps", "2"]
    if schema.get("type") == "string" and "maxLength" in schema:
        bad += ["x" * (schema["maxLength"] + 1), "x%1Fy", "x%C2%85y"]
    return bad + [quote(value) for value in FORMS.get(name, ())]


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: ids.get(found[1], found[0]), path)


def test_list__parameter_that_can_match_nothing__400_by_name(world: World) -> None:
    described = Client().get("/api/schema/").json()
    schemas, asked, wrong = described["components"]["schemas"], 0, []
    hook = world.operator_key.post("webhooks/", {"url": "https://hooks.example/"}).json()["id"]
    wish = {"surface": "le_chat_console", "choice": "opted_out", "select": {"everything": True}, "dry_run": True}
    job = world.operator_key.post("bulk-jobs/", wish).json()["id"]
    ids = {"organization": str(world.cast.labs.pk), "member": str(world.cast.labs_member.pk)}
    ids |= {"webhook": hook, "job": job, "run": str(register().pk)}
    for path, parameter in listing(described):
        name, where = parameter["name"], filled(path, ids)
        for value in bad_values(name, resolved(parameter["schema"], schemas)):
            caller = world.operator if path.startswith("/api/v1/api-keys/") else world.operator_key
            needed = "email=x@x.example&" if path == "/api/v1/members/" and name not in ("email", "external_id") else ""
            answer = caller.get(f"{where}?{needed}{name}={value}")
            asked += 1
            told = [each["pointer"] for each in answer.json().get("errors", ())] if answer.status_code == 400 else []
            if f"?{name}" not in told:
                wrong.append(f"{answer.status_code} {path}?{name}={value[:40]} {told}")
    assert not wrong, "\n".join(wrong)
    assert asked > 500


@pytest.mark.parametrize("query", ["%FF=x", "search=a&%FFb", "kind=team&search=%E2%82"])
def test_query__bytes_that_are_no_utf_8__400_wherever_they_stand(query: str, world: World) -> None:
    answer = world.operator_key.get(f"organizations/?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_delete__reason_that_is_no_utf_8__400_and_nothing_written(world: World) -> None:
    before = everything()
    answer = world.operator_key.delete(f"{world.labs}subscriptions/le_chat/?reason=%FF")
    assert_problem(answer, 400, "invalid", "?reason")
    assert everything() == before


def test_search__decomposed__finds_the_one_spelling(world: World) -> None:
    organizations.update_organization(
        organization=world.cast.labs, name="Café", actor=world.cast.provider, source="admin"
    )
    query = quote("Cafe\u0301")
    found = world.operator_key.get(f"organizations/?search={query}").json()["results"]
    assert [each["name"] for each in found] == ["Café"]
