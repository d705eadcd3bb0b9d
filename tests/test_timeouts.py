"""Nothing hangs: if the database is silent, slow or locked, requests get an answer that says so."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings

from accounts import authentication
from accounts.access import Actor
from accounts.models import Plan
from accounts.seldom import Seldom
from config import timeouts
from config.problems import database_failed
from consent.jobs import actions
from consent.models import ConsentEvent, Source
from tests.support.callers import World, served

pytestmark = pytest.mark.django_db(transaction=True)
ON_POSTGRESQL = pytest.mark.only_on("postgresql", "its own statements and processes")
ON_SQLITE = pytest.mark.only_on("sqlite", "its own statements")
QUESTION = {"organization": "external:labs", "product": "le_chat"}


@pytest.fixture
def world(world: World) -> World:
    for each in (world.key, world.owner, world.operator, world.member):
        each.client.raise_request_exception = False
    return world


@pytest.fixture(autouse=True)
def patient(settings: Any) -> Iterator[None]:
    """Where nothing is wrong a busy machine has all the time; `hurry` takes it away."""
    settings.DECISION_SECONDS = settings.PAGE_SECONDS = settings.LOCK_SECONDS = 60
    yield
    connection.close()
    forget_silence()


@contextlib.contextmanager
def hurry() -> Iterator[None]:
    with override_settings(DECISION_SECONDS=0.2, PAGE_SECONDS=0.4, LOCK_SECONDS=0.1):
        yield


def forget_silence() -> None:
    if connection.vendor == "postgresql":
        from config.postgresql.base import _silence

        _silence.end()


# --- Who asks, and what they get -------------------------------------------------------------------------------------


def decision(world: World) -> HttpResponse:
    return world.key.post("decisions/", QUESTION)


def decision_as_served(world: World) -> HttpResponse:
    """As a server asks it: of what the client of tests leaves out, the handler sets the limits."""
    headers = {**world.key.headers, "host": "testserver"}
    factory = RequestFactory(headers=headers)
    environ = factory.post("/api/v1/decisions/", QUESTION, content_type="application/json").environ  # type: ignore[attr-defined]
    status, told, body = served(environ)
    return HttpResponse(body, status=int(status[:3]), headers=dict(told))


def decision_in_french(world: World) -> HttpResponse:
    """By the long way, through all of the middleware."""
    return world.key.post("decisions/", QUESTION, accept_language="fr")


def batch(world: World) -> HttpResponse:
    return world.key.post("decisions/batch/", {"items": [QUESTION] * 2})


def evaluation(world: World) -> HttpResponse:
    body = {"subject": {"type": "organization", "id": "x"}, "action": {"name": "train"}}
    return world.key.post("/access/v1/evaluation", {**body, "resource": {"type": "product", "id": "le_chat"}})


def decision_by_session(world: World) -> HttpResponse:
    return world.operator.post("decisions/", QUESTION)


def read(world: World) -> HttpResponse:
    return world.key.get("organizations/")


def page(world: World) -> HttpResponse:
    return world.owner.client.get("/organizations/")


def admin_page(world: World) -> HttpResponse:
    return world.operator.client.get("/admin/")


def ready(_world: World) -> HttpResponse:
    return Client().get("/readyz")


Ask = Callable[[World], HttpResponse]
QUESTIONS: list[Ask] = [decision, decision_in_french, batch, evaluation, decision_by_session]
PAGES: list[Ask] = [page, admin_page]
ALL = [*QUESTIONS, read, *PAGES, ready]


def assert_unavailable(ask: Ask, answer: HttpResponse) -> None:
    assert answer.status_code == 503, answer.content
    if ask in PAGES:
        assert answer["Content-Type"].startswith("text/html") and b"The database did not answer." in answer.content
    else:
        assert answer["Content-Type"] == "application/problem+json"
    if ask is not ready:
        assert answer["Retry-After"] == "1"
    if ask in (*QUESTIONS, decision_as_served):
        assert json.loads(answer.content)["allowed"] is False


# --- Silence ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stopped() -> Iterator[None]:
    """The server's process of this very connection is stopped, as a machine may stop; then it goes on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Whoever connects is taken and told nothing."""
    settings = dict(connection.settings_dict)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection.close()
        connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": str(listener.getsockname()[1])}
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict.clear()
            connection.settings_dict.update(settings)


@ON_POSTGRESQL
@pytest.mark.parametrize("trouble", [stopped, deaf])
def test_database__silent__503_soon_and_an_answer_once_it_is_back(trouble: Any, world: World) -> None:
    for ask in ALL:
        with trouble(), hurry():
            assert_unavailable(ask, ask(world))
            assert Client().get("/healthz").status_code == 200
        forget_silence()
        connection.close_if_unusable_or_obsolete()  # as each request of a server begins
        assert ask(world).status_code == 200


@ON_POSTGRESQL
def test_database__silent_to_one__others_are_told_without_waiting_themselves(world: World) -> None:
    with deaf(), hurry():
        decision(world)
        with timeouts.limited(timeouts.for_pages()), pytest.raises(OperationalError, match="no answer just now"):
            connection.ensure_connection()


@ON_POSTGRESQL
def test_statement__too_slow__ended_by_the_server_and_the_connection_goes_on() -> None:
    with hurry(), timeouts.limited(timeouts.for_decisions()), connection.cursor() as cursor:
        with pytest.raises(OperationalError, match="statement timeout"):
            cursor.execute("SELECT pg_sleep(60)")
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@ON_POSTGRESQL
def test_transaction__in_which_nothing_happens__ended_and_told_as_the_database_failing(settings: Any) -> None:
    settings.IDLE_TRANSACTION_SECONDS = 0.05

    def forgotten() -> None:
        with timeouts.limited(timeouts.for_pages()), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                (pid,) = cursor.fetchone()
            other = connection.copy()
            with contextlib.closing(other), other.cursor() as cursor:
                there: Any = True
                while there:
                    cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid])
                    there = cursor.fetchone()
            ConsentEvent.objects.count()

    with pytest.raises(Exception) as raised:  # noqa: PT011  which one is for the database to say
        forgotten()
    assert database_failed(raised.value)


# --- Locks -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(*tables: str) -> Iterator[None]:
    """Somebody else holds all that a write needs, and on PostgreSQL a read too."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE" if other.vendor == "sqlite" else "BEGIN")
            for table in tables if other.vendor == "postgresql" else ():
                cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
            cursor.execute("ROLLBACK")
    finally:
        other.close()


def api_write(world: World) -> HttpResponse:
    return world.key.put(f"{world.labs}privacy-settings/le_chat_console/", {"choice": "opted_out"})


def page_write(world: World) -> HttpResponse:
    path = f"/settings/data-controls/{world.cast.labs_member.pk}/"
    return world.member.client.post(path, {"choice": "opted_out"})


def test_lock__not_had_in_time__503_and_nothing_changed(world: World, settings: Any) -> None:
    before = ConsentEvent.objects.count()
    for write, content_type in ((api_write, "application/problem+json"), (page_write, "text/html; charset=utf-8")):
        for settings.DEBUG in (False, True):
            with locked("consent_privacysetting"), hurry():
                answer = write(world)
            assert (answer.status_code, answer["Retry-After"]) == (503, "1")
            assert answer["Content-Type"] == content_type
    assert ConsentEvent.objects.count() == before


@ON_POSTGRESQL
@pytest.mark.parametrize("ask", [decision, decision_as_served])
def test_decision__table_locked__503_without_a_second_try(ask: Ask, world: World) -> None:
    ask(world)
    session = connection.connection
    for table in ("accounts_apikey", "consent_privacysetting"):
        with locked(table), hurry():
            assert_unavailable(ask, ask(world))
        assert connection.connection is session
        assert ask(world).status_code == 200


@ON_POSTGRESQL
def test_session__cannot_be_read__503_though_no_view_was_reached(world: World, settings: Any) -> None:
    for settings.DEBUG in (False, True):
        for ask in PAGES:
            with locked("django_session"), hurry():
                assert_unavailable(ask, ask(world))


# --- Without a limit -------------------------------------------------------------------------------------------------


def statement_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])


@ON_POSTGRESQL
def test_limits__by_what_is_asked__told_to_the_server_and_taken_back(settings: Any) -> None:
    settings.DECISION_SECONDS, settings.PAGE_SECONDS = 20, 40
    assert statement_timeout() == "0"
    with timeouts.limited(timeouts.for_pages()):
        assert statement_timeout() == "40s"
        with timeouts.limited(timeouts.for_decisions()):
            assert statement_timeout() == "20s"
        with timeouts.unlimited():
            assert statement_timeout() == "0"
        with transaction.atomic():
            assert statement_timeout() == "40s"
            with timeouts.unlimited():
                assert statement_timeout() == "0"
        assert statement_timeout() == "40s"
    assert statement_timeout() == "0"


@ON_POSTGRESQL
def test_limits__first_statement_is_of_a_transaction__hold_there_too(settings: Any) -> None:
    settings.PAGE_SECONDS = 40
    connection.close()
    with timeouts.limited(timeouts.for_pages()), transaction.atomic():
        assert statement_timeout() == "40s"


@ON_POSTGRESQL
def test_limits__behind_a_pooler__are_not_told_to_a_session_that_others_get(settings: Any) -> None:
    settings.DATABASE_POOLER = "transaction"
    with timeouts.limited(timeouts.for_pages()):
        assert statement_timeout() == "0"
        settings.PAGE_SECONDS = 0.2
        with (
            timeouts.limited(timeouts.for_pages()),
            pytest.raises(OperationalError, match="gave no answer"),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT pg_sleep(60)")


def test_stream_and_preview__within_a_request__have_no_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = world.operator_key.get("events/stream")
    assert timeouts.current() == timeouts.NONE  # when what follows is written
    assert b"".join(stream.streaming_content)  # type: ignore[attr-defined]
    seen = []
    monkeypatch.setattr(actions.rows, "preview", lambda _job: seen.append(timeouts.current()) or 1 / 0)
    with timeouts.limited(timeouts.for_pages()), pytest.raises(ZeroDivisionError):
        actions.preview_default(
            plan=Plan.objects.get(pk="le_chat_free"), default="opted_out", reason="r",
            actor=Actor.from_user(world.cast.operator, confirmed=True), source=Source.ADMIN,
        )  # fmt: skip
    assert seen == [timeouts.Limits(0, 60)]


# --- Read-only -------------------------------------------------------------------------------------------------------

READ_ONLY = {"sqlite": "PRAGMA query_only = 1", "postgresql": "SET default_transaction_read_only = on"}


def test_readyz__database_takes_no_writes__503_read_only(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute(READ_ONLY[connection.vendor])
    answer = ready(world)
    assert (answer.status_code, answer.json()["code"]) == (503, "read_only")
    checks = answer.json()["checks"]
    assert (checks["database"], checks["migrations"], checks["triggers"]) == ("read_only", "ok", "ok")
    assert decision(world).status_code == 200
    answer = api_write(world)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_decisions__database_takes_no_writes__one_line_a_minute_and_no_traceback(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(READ_ONLY[connection.vendor])
    monkeypatch.setattr(authentication, "_not_noted", Seldom(authentication.logger))

    def told(questions: int) -> list[str]:
        caplog.clear()
        assert {decision(world).status_code for _each in range(questions)} == {200}
        lines = [each for each in caplog.records if each.name == authentication.logger.name]
        assert not [each for each in lines if each.exc_info or "\n" in each.getMessage()]
        return [each.getMessage() for each in lines]

    [line] = told(3)
    assert "could not note the use of key" in line and "more" not in line
    assert told(2) == []
    monkeypatch.setattr(authentication._not_noted, "_next", 0.0)  # a minute later
    [line] = told(1)
    assert line.endswith("(4 more like it since)")


@ON_SQLITE
def test_readyz__somebody_else_writes__200(world: World) -> None:
    with locked():
        assert ready(world).status_code == 200
