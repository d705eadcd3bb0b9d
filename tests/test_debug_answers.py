"""Programs get the same answers with DEBUG as without it: no HTML debug page where JSON is expected."""

import json
from typing import Any

import pytest
from django.test import Client

from tests.support.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["application/json", "text/html,*/*;q=0.1"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(raise_request_exception=False, headers={"Accept": request.param, "X-Request-ID": "the-same"})


def told(client: Client, settings: Any, method: str, path: str, **extra: str) -> dict[str, Any]:
    """The answer, which is the same problem in either mode."""
    answers = []
    for debug in (False, True):
        settings.DEBUG = debug
        answer = client.generic(method, path, b"{}", "application/json", **extra)  # type: ignore[arg-type]
        assert answer["Content-Type"] == "application/problem+json", (debug, answer.content[:80])
        assert answer["X-Request-ID"] == "the-same"
        answers.append((answer.status_code, answer.get("Allow"), answer.content))
    assert answers[0] == answers[1]
    return dict(json.loads(answers[0][2]))


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/", "/api/v1/nowhere/", "/api/v1/organizations", "/access", "/access/", "/access/v1/evaluation/",
     "/access/v1/nowhere", "/.well-known/nothing", "/.well-known/authzen-configuration/", "/healthzz", "/metrics/x"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_path__that_is_none__the_same_problem(method: str, path: str, client: Client, settings: Any) -> None:
    assert told(client, settings, method, path)["status"] == 404


@pytest.mark.parametrize("path", ["/api/v1/products/", "/api/v1/decisions/", "/access/v1/evaluation", "/api/nowhere/"])
def test_host__that_is_not_ours__the_same_problem(path: str, client: Client, settings: Any) -> None:
    assert told(client, settings, "POST", path, HTTP_HOST="evil.example")["code"] == "bad_request"


def test_view__that_fails__the_same_problem(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, cast: Cast
) -> None:
    def fails(_actor: object) -> None:
        raise TypeError("unhashable type: 'dict'")

    monkeypatch.setattr("consent.api.base.session_actor", fails)
    client.force_login(cast.owner)
    problem = told(client, settings, "GET", "/api/v1/products/")
    assert (problem["status"], problem["code"]) == (500, "error") and "dict" not in problem["detail"]


def test_page_for_people__keeps_its_own_error_pages(settings: Any) -> None:
    for debug, words in ((False, b"base.css"), (True, b"DEBUG = True")):
        settings.DEBUG = debug
        answer = Client().get("/nowhere/")
        assert answer.status_code == 404 and answer["Content-Type"].startswith("text/html")
        assert debug == (words in answer.content and debug)
