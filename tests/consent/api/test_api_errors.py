"""Every error has the same form, whichever part of the software answers; and the endpoints for monitors."""

import contextlib
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client, override_settings

from accounts.models import ApiKey
from consent.models import ConsentEvent
from tests.support.callers import Caller, World, assert_problem, by_session, state
from tests.support.ledger_guards import behind_the_guards, sql

pytestmark = pytest.mark.django_db


@contextlib.contextmanager
def ledger_locked_by_another() -> Iterator[None]:
    """Another connection holds what a write needs, and this one waits a moment for it only."""
    other = connection.copy()
    try:
        with other.cursor() as cursor, connection.cursor() as mine:
            if connection.vendor == "sqlite":
                mine.execute("PRAGMA busy_timeout = 50")
                cursor.execute("BEGIN IMMEDIATE")
            else:
                mine.execute("SET lock_timeout = '50ms'")
                cursor.execute("BEGIN")
                cursor.execute("LOCK TABLE consent_privacysetting IN ACCESS EXCLUSIVE MODE")
            yield
            cursor.execute("ROLLBACK")
    finally:
        other.close()
        connection.close()


def nobody() -> Caller:
    return Caller(Client(raise_request_exception=False))


# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1/", "/api/v1/nowhere/", "/api/v1/organizations", "/api/v2/products/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_path__404_without_a_redirect(method: str, path: str) -> None:
    caller = Caller(Client(enforce_csrf_checks=True))
    assert_problem(caller(method, path, {}), 404, "not_found")


def test_no_credentials__401_with_a_challenge() -> None:
    answer = nobody().get("organizations/")
    assert_problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("language", ["en", "fr"])
def test_wrong_key__any_face__same_words(language: str, world: World) -> None:
    wrong = {"Authorization": "Bearer tck_wrong", "accept_language": language}
    asked = [("POST", path) for path in ("decisions/", "decisions/batch/", "/access/v1/evaluation")]
    answers = [
        nobody()(method, path, **wrong) for method, path in [*asked, ("GET", "organizations/"), ("GET", "/metrics")]
    ]
    for answer in answers:
        assert_problem(answer, 401, "authentication_failed")
    (detail,) = {answer.json()["detail"] for answer in answers}
    assert (
        detail
        == {
            "en": "The API key is missing, unknown, expired, revoked or suspended.",
            "fr": "La clé d’API manque, est inconnue, expirée, révoquée ou suspendue.",
        }[language]
    )


def test_accept_without_json__406(world: World) -> None:
    assert_problem(world.key.get("products/", accept="text/html"), 406, "not_acceptable")


def test_body_that_is_not_json__415_and_nothing_changes(world: World) -> None:
    before = state()
    path = f"{world.labs}privacy-settings/le_chat_console/"
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = world.key("PUT", path, b"choice=opted_out", content_type=content_type)
        assert_problem(answer, 415, "unsupported_media_type")
    assert state() == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed"),
        (b'{"choice": "opted_out"} x', 400, "malformed"),
        (b'{"choice": "opted_\xff"}', 400, "malformed"),
        (b'{"choice": Infinity}', 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (b" " * 1_000_001, 413, "too_large"),
    ],
)
def test_malformed_body__says_so_and_nothing_changes(body: bytes, status: int, code: str, world: World) -> None:
    before = state()
    answer = world.key.put(f"{world.labs}privacy-settings/le_chat_console/", body)
    assert_problem(answer, status, code, *(["#"] if status == 400 else []))
    assert state() == before


def test_session_without_csrf_token__403_and_nothing_changes(world: World) -> None:
    before = state()
    caller = by_session(world.cast.owner, enforce_csrf_checks=True)
    path = f"{world.labs}privacy-settings/le_chat_console/"
    assert_problem(caller.put(path, {"choice": "opted_out"}), 403, "csrf")
    assert state() == before
    caller.client.cookies["csrftoken"] = "a" * 32
    assert caller.put(path, {"choice": "opted_out"}, x_csrftoken="a" * 32).status_code == 200


def test_unforeseen_error__500_that_tells_nothing_and_503_for_a_question(world: World) -> None:
    world.key.client.raise_request_exception = False
    ApiKey.objects.update(scopes=["decisions:read", "no such scope"])
    answer = world.key.get("organizations/")
    assert_problem(answer, 500, "error")
    assert b"scope" not in answer.content
    answer = world.key.post("decisions/", {"organization": "x", "product": "le_chat"})
    assert_problem(answer, 503, "unavailable")
    assert answer.json()["allowed"] is False


@pytest.mark.thorough
@pytest.mark.django_db(transaction=True)
def test_database_in_trouble__503(world: World) -> None:
    """A lock that nobody gives back in time."""
    world.key.client.raise_request_exception = False
    with ledger_locked_by_another():
        answer = world.key.put(f"{world.labs}privacy-settings/le_chat_console/", {"choice": "opted_out"})
    assert_problem(answer, 503, "unavailable")
    assert answer["Retry-After"] == "1"
    assert ConsentEvent.objects.filter(kind="choice.opted_out").count() == 0


@override_settings(ALLOWED_HOSTS=["portal.example"])
def test_foreign_host__400() -> None:
    assert_problem(nobody().get("products/"), 400, "bad_request")


def test_page_for_people__keeps_its_html_404() -> None:
    answer = Client().get("/nowhere/")
    assert answer.status_code == 404 and answer["Content-Type"].startswith("text/html")


def test_request_id_of_the_caller__comes_back(world: World) -> None:
    answer = world.key.get("nowhere/", x_request_id="trace-1")
    assert answer["X-Request-ID"] == answer.json()["request_id"] == "trace-1"


def test_language_of_the_caller__changes_no_code(world: World) -> None:
    answer = world.key.get("organizations/external:x/", accept_language="fr")
    assert_problem(answer, 404, "not_found")


# --- Monitors -------------------------------------------------------------------------------------------------------


def test_healthz__needs_no_database(django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        answer = nobody().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_readyz__all_is_well__200() -> None:
    answer = nobody().get("/readyz")
    checks = {"database": "ok", "migrations": "ok", "triggers": "ok", "witness": "off", "log": "off"}
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "checks": checks})


def test_readyz__triggers_missing__503() -> None:
    with behind_the_guards():
        answer = nobody().get("/readyz")
    assert_problem(answer, 503, "not_ready")
    assert answer.json()["checks"] == {"database": "ok", "migrations": "ok", "triggers": "failed"} | dict.fromkeys(
        ("witness", "log"), "off"
    )


def test_readyz__migration_not_applied__503() -> None:
    sql("DELETE FROM django_migrations WHERE app = 'consent'")
    answer = nobody().get("/readyz")
    assert_problem(answer, 503, "not_ready")
    assert answer.json()["checks"]["migrations"] == "failed"
