"""The fast path of decisions: the same answers as the normal one, by index look-ups, also after a lost connection."""

import gzip
import json
import logging
import random
from typing import Any

import pytest
from django.db import connection
from django.test import Client, RequestFactory

from accounts.models import ApiKey
from config import fast_path
from consent import ledger, lookups
from consent.lookup_sql import STATEMENTS
from consent.lookups import Question
from consent.services import choices, members, organizations
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.callers import ServedClient, World, assert_problem, by_key, served

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


# What pages need and answers for programs don't.
_OF_PAGES = ("Content-Security-Policy", "X-Frame-Options", "Content-Language", "Vary")


def told(response: Any) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body, but for what differs from one answer to the next."""
    headers = {name: value for name, value in response.items() if name not in _OF_PAGES}
    content = response.content
    if headers.get("Content-Encoding") == "gzip":
        content = gzip.decompress(content)
        headers.pop("Content-Length")  # which is random
    given = headers.pop("X-Request-ID")
    body = json.loads(content) if "json" in headers.get("Content-Type", "") else content
    if isinstance(body, dict):
        assert body.pop("request_id", given) == given
        body.pop("decided_at", None)
    return response.status_code, headers, body


# Header, or part of a request → what it may be; None: it is missing. Half of the requests are as the first.
SHORT: dict[str, list[Any]] = {
    "path": [
        *PATHS,
        "/access/v1/evaluation",
        "/access/v1/evaluations",
        f"{PATHS[0]}?explain=true",
        f"{PATHS[1]}?%E9=b",
    ],
    "content_type": [
        "application/json",
        *(f"application/json; charset={c}" for c in ("utf-8", "cp037")),
        "text/plain",
        "",
    ],
    "authorization": ["{key}", "{operator_key}", "{narrow_key}", "Bearer no", "Basic {key}", " "],
    "accept-encoding": [None, "gzip", "gzip;q=0"],
    "x-request-id": [None, "mine", "\x01"],
}
# What takes Django's path: the language matters, or something is refused before the question is read.
LONG: dict[str, list[Any]] = {
    "method": ["GET", "PUT", "OPTIONS"],
    "authorization": ["", None],
    "host": ["evil.example", "testserver:x"],
    "accept-language": ["fr", ""],
    "cookie": ["django_language=fr", "{session}"],
    "content-encoding": ["gzip", ""],
    "transfer-encoding": ["chunked"],
}


def drawn(world: World, dice: random.Random, *, long: bool) -> dict[str, Any]:
    """A request, as `generic` of a test client takes it."""
    request = {name: dice.choice([values[0], dice.choice(values)]) for name, values in SHORT.items()}
    if long:
        name = dice.choice(list(LONG))
        request[name] = dice.choice(LONG[name])
    asked = questions(world)
    subject = {"type": "member", "id": str(world.cast.labs_member.pk)}
    evaluation = {"subject": subject, "action": {"name": "train"}, "resource": {"type": "product", "id": "le_chat"}}
    many = [{"items": dice.choices(asked, k=40)}, {"items": 1}, {"evaluations": [evaluation] * 20}, [], "text"]
    body = dice.choice([*asked, evaluation, *many * 3])
    method, path, content_type = request.pop("method", "POST"), request.pop("path"), request.pop("content_type")
    keys = {name: world.callers[name].headers["Authorization"] for name in ("key", "operator_key", "narrow_key")}
    if request["authorization"] is not None:
        request["authorization"] = request["authorization"].format(**keys)
    if "cookie" in request:
        request["cookie"] = request["cookie"].format(session=world.owner.client.cookies.output([], "", "; "))
    return {
        "method": method, "path": path, "content_type": content_type, "secure": dice.random() < 0.2,
        "data": dice.choice([*[json.dumps(body).encode()] * 5, b"{", b"\xff", b""]),
        "headers": {name: value for name, value in request.items() if value is not None},
    }  # fmt: skip


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("redirect", [False, True])
def test_fast_path__any_request__answered_and_logged_as_by_django(
    world: World, long: bool, redirect: bool, settings: Any, caplog: Any
) -> None:
    settings.KEY_RATE = 0
    settings.SECURE_SSL_REDIRECT = redirect
    caplog.set_level("WARNING")
    for caller in (world.key, world.operator_key, world.narrow_key):
        caller.post(PATHS[0], {})  # the key's use is noted
    seed = random.randrange(10**6)  # noqa: S311  chance, no secret
    dice, statuses = random.Random(seed), set()  # noqa: S311
    for n in range(200):
        request = drawn(world, dice, long=long)
        found = []
        for client in (ServedClient(), Client(HTTP_HOST="testserver")):
            caplog.clear()
            response = client.generic(**request)
            logged = [(each.levelname, each.getMessage().partition("\n")[0]) for each in caplog.records]
            found.append((told(response), logged))
            short = fast_path.takes(response.wsgi_request.environ)
            statuses.add(response.status_code)
            if client.__class__ is ServedClient and not redirect:
                assert short is not long, f"seed {seed}, request {n}: {request}"
        assert found[0] == found[1], f"seed {seed}, request {n}: {request}"
    assert statuses >= ({301, 400} if redirect else {200, 400, 401})


@pytest.mark.parametrize(("caller", "status"), [("key", 200), ("operator_key", 200), ("narrow_key", 403)])
def test_fast_path__any_key__answered_as_by_django(world: World, caller: str, status: int, settings: Any) -> None:
    settings.KEY_RATE = 0
    ask = world.callers[caller]
    ask.post(PATHS[0], {})  # the key's use is noted
    for body in questions(world)[:8]:
        short, long = ask.post(PATHS[0], body), ask.post(PATHS[0], body, accept_language="en")
        assert short.status_code == status and told(short) == told(long), body


def test_fast_path__wrong_host__400(world: World) -> None:
    assert_problem(world.key.post(PATHS[0], questions(world)[0], host="evil.example"), 400, "bad_request")


def test_fast_path__rate_limit__told_and_kept(world: World, settings: Any) -> None:
    settings.KEY_RATE = 3
    caller = by_key("decisions:read", organization=world.cast.labs)
    found = [caller.post(PATHS[0], questions(world)[0]) for _ in range(5)]
    assert [each.status_code for each in found] == [200, 200, 200, 429, 429]
    assert [each["RateLimit"].split(";")[1] for each in found] == ["r=2", "r=1", "r=0", "r=0", "r=0"]


def test_fast_path__after_a_page_in_french__answers_in_english(world: World) -> None:
    said = [world.key.post(PATHS[0], questions(world)[0]).json()["detail"]]
    Client().get("/sign-in/", headers={"accept-language": "fr"})
    said.append(world.key.post(PATHS[0], questions(world)[0]).json()["detail"])
    assert said[0] == said[1]


def called(environ: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and body, as a server gets them."""
    status, headers, body = served(environ)
    assert len(dict(headers)) == len(headers) and all(isinstance(text, str) for pair in headers for text in pair)
    return status, dict(headers), body


def environ(world: World, body: Any, **headers: str) -> dict[str, Any]:
    sent = {"Authorization": world.key.headers["Authorization"], "host": "testserver", **headers}
    factory = RequestFactory(headers=sent)
    return factory.post(PATHS[0], body, content_type="application/json").environ  # type: ignore[attr-defined, no-any-return]


@pytest.mark.django_db(transaction=True)
def test_handler__called_by_a_server__sends_what_the_client_gets(world: World, settings: Any) -> None:
    settings.KEY_RATE = 0
    for body in [*questions(world), {"items": questions(world)[:8] * 20}]:
        status, headers, content = called(environ(world, body))
        answer = world.key.post(PATHS[0], body)
        assert status == f"{answer.status_code} {answer.reason_phrase}"
        assert headers.keys() == answer.headers.keys() and headers["Content-Length"] == str(len(content))
        assert json.loads(content).keys() == answer.json().keys()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("length", ["", "x", "9" * 5000, "+2", None])
def test_handler__length_that_is_none__body_is_not_read(world: World, length: str | None) -> None:
    given = environ(world, {})
    given.pop("CONTENT_LENGTH")
    status, _headers, content = called(given if length is None else {**given, "CONTENT_LENGTH": length})
    assert status == "400 Bad Request" and b'"allowed"' not in content


class _Broken(logging.Filter):
    def filter(self, _record: logging.LogRecord) -> bool:
        raise RuntimeError("the disk is full")


def test_handler__fails_itself__says_no(world: World) -> None:
    broken = _Broken()
    logging.getLogger("django.request").addFilter(broken)
    try:
        response = world.key.post(PATHS[0], {"colour": "red"})
    finally:
        logging.getLogger("django.request").removeFilter(broken)
    assert_problem(response, 503, "unavailable")
    assert response.json()["allowed"] is False and response["Retry-After"] == "1"


def test_fast_path__session__takes_djangos(world: World) -> None:
    response = world.owner.post(PATHS[0], questions(world)[0])
    assert response.status_code == 200 and not fast_path.takes(response.wsgi_request.environ)


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
