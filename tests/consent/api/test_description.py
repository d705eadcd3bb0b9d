"""The OpenAPI description is complete: every property, parameter, header, schema and enum has a text and limits."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from django.test import Client

from consent.models import EventKind

pytestmark = pytest.mark.django_db
LIMITS = {"maxLength", "format", "pattern", "enum", "const"}
# What is never to be read by strangers: names of ours, in docstrings that were meant for us.
INTERNAL = (
    "Raises ",
    "`presentation.",
    "`reports.",
    "SettingView",
    "Serializer",
    "prefetched",
    " self.",
    "rules.",
    "None",
)


@pytest.fixture(scope="module")
def described(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    with django_db_blocker.unblock():
        return Client().get("/api/schema/").json()  # type: ignore[no-any-return]


def walk(part: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document but examples, with where it is."""
    if isinstance(part, dict):
        yield path, part
        for name, each in part.items():
            if name not in ("example", "examples"):
                yield from walk(each, f"{path}/{name}")
    elif isinstance(part, list):
        for n, each in enumerate(part):
            yield from walk(each, f"{path}/{n}")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for section in ("paths", "webhooks"):
        for path, methods in document[section].items():
            for method, each in methods.items():
                yield f"{method} {path}", each


def properties(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, part in walk(document):
        if isinstance(part.get("properties"), dict) and path.rpartition("/")[2] != "properties":
            for name, each in part["properties"].items():
                yield f"{path}/{name}", each


def sentences(part: dict[str, Any]) -> bool:
    return bool(part.get("description", "").strip())


def types_of(schema: dict[str, Any]) -> set[str]:
    kind = schema.get("type", [])
    return {kind} if isinstance(kind, str) else set(kind)


def taken(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema that a request is held to: of parameters and of bodies."""
    schemas = document["components"]["schemas"]
    seen: set[str] = set()

    def follow(part: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for where, each in walk(part, path):
            if set(each) & {"type", "anyOf", "oneOf", "allOf"} or not each:
                yield where, each
            name = str(each.get("$ref", "")).rpartition("/")[2]
            if name and name not in seen:
                seen.add(name)
                yield from follow(schemas[name], f"#/components/schemas/{name}")

    for name, each in operations({**document, "webhooks": {}}):
        yield from follow([parameter["schema"] for parameter in each.get("parameters", [])], name)
        yield from follow(
            [content["schema"] for content in each.get("requestBody", {}).get("content", {}).values()], name
        )


def missing(document: dict[str, Any]) -> dict[str, list[str]]:
    """What the description leaves out, by what it is."""
    components = document["components"]
    parameters = [(f"{name}?{p['name']}", p) for name, each in operations(document) for p in each.get("parameters", [])]
    answers = [
        (f"{name} {status}", r) for name, each in operations(document) for status, r in each["responses"].items()
    ]
    return {
        "properties": [where for where, each in properties(document) if not sentences(each)],
        "parameters": [where for where, each in parameters if not sentences(each)],
        "schemas": [name for name, each in components["schemas"].items() if not sentences(each)],
        "headers": [name for name, each in components.get("headers", {}).items() if not sentences(each)],
        "security": [name for name, each in components["securitySchemes"].items() if not sentences(each)],
        "operations": [name for name, each in operations(document) if not (sentences(each) and each.get("summary"))],
        "answers": [where for where, each in answers if not sentences(each)],
        "request ids": [where for where, each in answers if where.split()[0] != "post" and not each.get("headers")],
        "tags": sorted({tag for _name, each in operations(document) for tag in each["tags"]}
                       - {tag["name"] for tag in document.get("tags", []) if sentences(tag)}),
        "names of enums": [where for where, each in walk(document)
                           if len(each.get("enum") or []) > 1 and where.count("/") != 3],
        "shapes": [where for where, each in walk(document) if "object" in types_of(each)
                   and not set(each) & {"properties", "additionalProperties", "propertyNames"}],
        "lengths": [where for where, each in taken(document) if "string" in types_of(each) and not set(each) & LIMITS],
        "lists": [where for where, each in taken(document) if "array" in types_of(each) and "maxItems" not in each],
        "anything": [where for where, each in taken(document) if not each],
        "server": [] if document.get("servers") else ["#"],
        "licence": [] if document["info"].get("license", {}).get("name") else ["#/info"],
        "kinds of events": sorted(set(EventKind.values) - set(document.get("webhooks", {}))),
    }  # fmt: skip


def test_description__nothing_in_it__is_without_words_limits_or_a_name(described: dict[str, Any]) -> None:
    assert {what: places for what, places in missing(described).items() if places} == {}


def test_description__internal_words__are_not_published(described: dict[str, Any]) -> None:
    texts = [
        (where, part["description"].replace("If-None-Match", ""))
        for where, part in walk(described)
        if isinstance(part.get("description"), str)
    ]
    assert len(texts) > 500
    assert [(where, text) for where, text in texts if any(word in text for word in INTERNAL)] == []


def test_description__each_schema__is_one_of_json_schema(described: dict[str, Any]) -> None:
    for each in described["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(each)
