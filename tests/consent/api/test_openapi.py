"""The OpenAPI description: complete, valid, with examples that match the schemas; and the page that shows it."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver
from django.utils import translation

from consent.api import schema_views
from consent.api.examples import EXAMPLES
from tests.support.permission_matrix import routes

pytestmark = pytest.mark.django_db
# Not for programs that ask about consent.
APART = {"api/schema/", "api/docs/"}


@pytest.fixture(scope="module")
def described(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    with django_db_blocker.unblock():
        return Client().get("/api/schema/").json()  # type: ignore[no-any-return]


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, each) for path, methods in described["paths"].items() for method, each in methods.items()]


@pytest.mark.thorough
def test_description__made_without_a_warning_and_valid(tmp_path: Any) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yaml"))


def test_description__is_openapi_3_1(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")


def test_description__every_url_of_the_api__is_in_it(described: dict[str, Any]) -> None:
    there = {path.replace("{", "<str:").replace("}", ">").lstrip("/") for path in described["paths"]}
    ours = {route for route in routes(get_resolver().url_patterns) if route.startswith("api/v1/")} - APART
    assert ours - there == set()
    assert {"access/v1/evaluation", "access/v1/evaluations"} <= there


def parts(described: Any) -> Iterator[dict[str, Any]]:
    """Every object in the description."""
    if isinstance(described, dict):
        yield described
    for each in described.values() if isinstance(described, dict) else described if isinstance(described, list) else ():
        yield from parts(each)


def test_description__every_schema__is_used(described: dict[str, Any]) -> None:
    used = {str(each["$ref"]).rpartition("/")[2] for each in parts(described) if "$ref" in each}
    assert described["components"]["schemas"].keys() - used == set()


def test_description__one_of_several__none_takes_everything(described: dict[str, Any]) -> None:
    """A value that may be null or anything is anything, which generated clients can't tell apart."""
    several = [each[key] for each in parts(described) for key in ("oneOf", "anyOf") if isinstance(each.get(key), list)]
    assert len(several) > 10 and [each for each in several if {} in each] == []


def test_description__every_operation__says_what_it_is_for_and_how_it_refuses(described: dict[str, Any]) -> None:
    incomplete = []
    for path, method, each in operations(described):
        statuses = set(each["responses"])
        if not (each["summary"] and each["description"] and {"400", "401", "403", "503"} <= statuses):
            incomplete.append(f"{method} {path}")
    assert incomplete == []
    ids = [each["operationId"] for _path, _method, each in operations(described)]
    assert len(ids) == len(set(ids)) >= 47


def test_description__every_operation__has_examples(described: dict[str, Any]) -> None:
    without = []
    for path, method, each in operations(described):
        kinds = [content for answer in each["responses"].values() for content in answer.get("content", {}).values()]
        bodies = list(each.get("requestBody", {}).get("content", {}).values())
        shown = any("examples" in content for content in kinds)
        if not shown or any("examples" not in body for body in bodies):
            without.append(f"{method} {path}")
    assert without == []


# An empty body is not described at all.
@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"NothingInput"}))
def test_examples__each__fits_its_schema(described: dict[str, Any], name: str) -> None:
    schemas = described["components"]["schemas"]
    if name not in schemas:
        pytest.fail(f"nothing of the name {name} is described")
    document = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    jsonschema.Draft202012Validator(document).validate(EXAMPLES[name])


def test_docs__shown_with_our_own_files_and_nothing_inline() -> None:
    page = Client().get("/api/docs/")
    text = page.content.decode()
    assert page.status_code == 200 and "<style" not in text and "//cdn" not in text
    assert "script-src 'self'" in page["Content-Security-Policy"]
    script = Client().get("/api/docs/?script=")
    assert script.status_code == 200 and "/api/schema/" in script.content.decode()


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/"])
def test_description__written_to__405(path: str) -> None:
    assert Client().post(path).status_code == 405


def test_schema__asked_often__made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = schema_views.SchemaGenerator.get_schema

    def counted(*arguments: Any, **named: Any) -> Any:
        made.append(str(translation.get_language()))
        return original(*arguments, **named)

    monkeypatch.setattr(schema_views.SchemaGenerator, "get_schema", counted)
    schema_views._made.cache_clear()
    schema_views._text.cache_clear()
    texts = set()
    for accepted in ("application/json", "application/yaml"):
        for query in ("", "?lang=de", "?x=1", "?version=2"):
            for language in ("en", "fr", "de", "", "xx-nonsense"):
                headers = {"Accept": accepted, "Accept-Language": language}
                texts.add(Client().get(f"/api/schema/{query}", headers=headers).content)
    assert made == ["en"] and len(texts) == 2


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(("accepted", "content_type"), [
    (None, "application/json"), ("*/*", "application/json"), (BROWSER, "application/json"),
    ("application/json", "application/json"), ("application/*", "application/json"),
    ("application/json, */*;q=0.1", "application/json"), ("text/plain;q=0.5, application/json", "application/json"),
    ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
    ("application/vnd.oai.openapi+json;version=3.1", "application/vnd.oai.openapi+json"),
    ("application/openapi+json", "application/openapi+json"),
    ("application/yaml", "application/yaml"), ("application/x-yaml", "application/x-yaml"),
    ("text/yaml", "text/yaml"), ("text/x-yaml", "text/x-yaml"), ("text/*", "text/yaml"),
    ("application/openapi+yaml", "application/openapi+yaml"),
    ("application/vnd.oai.openapi", "application/vnd.oai.openapi"),
    ("application/yaml, application/json;q=0.9", "application/yaml"),
])  # fmt: skip
def test_schema__accept__served_as_that(accepted: str | None, content_type: str) -> None:
    response = Client().get("/api/schema/", headers={"Accept": accepted} if accepted else {})
    assert (response.status_code, response["Content-Type"]) == (200, content_type), response.content[:200]
    assert "Accept" in response["Vary"]
    as_yaml = "yaml" in content_type or content_type.endswith("openapi")
    other = Client().get("/api/schema/", headers={"Accept": "text/yaml" if as_yaml else "application/json"})
    assert (response.content, response["ETag"]) == (other.content, other["ETag"])


def test_schema__as_yaml__is_the_same_document() -> None:
    text = Client().get("/api/schema/", headers={"Accept": "application/yaml"}).content
    assert yaml.load(text, yaml.CSafeLoader) == Client().get("/api/schema/").json()


def test_schema__accept_what_it_is_not__406() -> None:
    response = Client().get("/api/schema/", headers={"Accept": "image/png"})
    assert (response.status_code, response["Content-Type"]) == (406, "application/problem+json")


@pytest.mark.parametrize("accepted", ["application/json", "application/yaml"])
def test_schema__unchanged__304_and_may_be_kept(accepted: str) -> None:
    first = Client().get("/api/schema/", headers={"Accept": accepted})
    assert first["Cache-Control"] == "public, max-age=300"
    again = Client().get("/api/schema/", headers={"Accept": accepted, "If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    other = {"Accept": accepted, "If-None-Match": '"another"'}
    assert Client().get("/api/schema/", headers=other).status_code == 200
    assert Client().head("/api/schema/", headers={"Accept": accepted}).status_code == 200
