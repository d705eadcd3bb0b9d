"""The description of the API: whole, valid, with examples that fit; and the page that shows it."""

from typing import Any

import jsonschema
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver
from django.utils import translation

from consent.api import openapi
from consent.api.examples import EXAMPLES
from tests.test_permission_matrix import routes

pytestmark = pytest.mark.django_db
# Not for programs that ask about consent.
APART = {"api/schema/", "api/docs/"}


@pytest.fixture(scope="module")
def described(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    with django_db_blocker.unblock():
        return Client().get("/api/schema/").json()  # type: ignore[no-any-return]


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, each) for path, methods in described["paths"].items() for method, each in methods.items()]


def test_description__made_without_a_warning_and_valid(tmp_path: Any) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yaml"))


def test_description__is_openapi_3_1(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")


def test_description__every_url_of_the_api__is_in_it(described: dict[str, Any]) -> None:
    there = {path.replace("{", "<str:").replace("}", ">").lstrip("/") for path in described["paths"]}
    ours = {route for route in routes(get_resolver().url_patterns) if route.startswith("api/v1/")} - APART
    assert ours - there == set()
    assert {"access/v1/evaluation", "access/v1/evaluations"} <= there


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


# Bodies of DELETE are described where they are sent; an empty one is not described at all.
@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"LiftInput", "WithdrawalInput", "NothingInput"}))
def test_examples__each__fits_its_schema(described: dict[str, Any], name: str) -> None:
    schemas = described["components"]["schemas"]
    known = name if name in schemas else f"Patched{name}"
    if known not in schemas:
        pytest.fail(f"nothing of the name {name} is described")
    document = {"$ref": f"#/components/schemas/{known}", "components": {"schemas": schemas}}
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


def test_schema__asked_often__made_once_in_each_language(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = openapi.SchemaGenerator.get_schema

    def counted(*arguments: Any, **named: Any) -> Any:
        made.append(str(translation.get_language()))
        return original(*arguments, **named)

    monkeypatch.setattr(openapi.SchemaGenerator, "get_schema", counted)
    openapi._description.cache_clear()
    for query in ("", "?lang=de", "?x=1", "?version=2"):
        for language in ("en", "fr", "en-GB", "de", "", "xx-nonsense"):
            response = Client().get(f"/api/schema/{query}", headers={"Accept-Language": language})
            assert response.status_code == 200
    assert sorted(made) == ["en", "fr"]


def test_schema__unchanged__304_and_may_be_kept() -> None:
    first = Client().get("/api/schema/")
    assert first["Cache-Control"] == "public, max-age=300" and "Accept-Language" in first["Vary"]
    again = Client().get("/api/schema/", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert Client().get("/api/schema/", headers={"If-None-Match": '"another"'}).status_code == 200
    assert Client().head("/api/schema/").status_code == 200
    french = Client().get("/api/schema/", headers={"Accept-Language": "fr"})
    assert french.json()["paths"].keys() == first.json()["paths"].keys()
