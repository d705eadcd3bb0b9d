"""Bodies are read completely or refused: no write succeeds with a lost body, and no error shows Python's own text."""

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.urls import resolve

from tests.support.callers import Caller, World, assert_problem, state
from tests.support.ledger_guards import everything
from tests.support.permission_matrix import ROLES, ROWS, Row, fill, make_busy_world
from tests.support.recordings import Recorded

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

WRITES = [row for row in ROWS if row.method != "GET"]
STATING = [row for row in WRITES if row.method in ("PUT", "PATCH")]
# Verbs that need nothing said, and deletions that need no reason.
NOTHING_NEEDED = [row for row in WRITES if not row.body and row not in STATING]
JSON = "application/json"
PYTHON = re.compile(
    r"\b(dict|dictionary|NoneType|None|True|False|unhashable|Traceback|codec|str|int|bool|float|attribute|Decimal|Expecting"
    r"|sys|utf-8-sig|Errno|django|line \d+ column)\b"
)


@pytest.fixture
def world(db: None, recorded: Recorded[World]) -> World:
    return recorded(make_busy_world).load()


def allowed(row: Row) -> str:
    """Somebody who may do this, by key where a key may."""
    found = dict(zip(ROLES, map(int, row.statuses.split()), strict=True))
    return next(role for role in ("operator_key", "key", "operator", "owner", "member") if found[role] < 300)


def body(row: Row, world: World, role: str) -> dict[str, Any]:
    said = json.loads(fill(json.dumps(row.body or {}), world))
    return {**said, **(row.by_key if role.endswith("key") else {})}


def lost(whole: bytes) -> dict[str, tuple[bytes, dict[str, str]]]:
    """Bodies that never arrived, or that say nothing, or that are not in the form that is read."""
    return {
        "of another type": (whole, {"content-type": "text/plain"}),
        "of any type": (whole, {"content-type": "*/*"}),
        "of two types": (whole, {"content-type": f"{JSON}, text/plain"}),
        "of no type": (whole, {"content-type": ""}),
        "a form": (b"reason=x&role=auditor", {"content-type": "application/x-www-form-urlencoded"}),
        "a form in parts": (b"--x\r\n\r\n--x--", {"content-type": "multipart/form-data; boundary=x"}),
        "packed": (gzip.compress(whole), {"content-encoding": "gzip"}),
        "said to be packed": (whole, {"content-encoding": "br, gzip"}),
        "in another charset": (whole, {"content-type": f"{JSON}; charset=utf-16"}),
        "in UTF-16": (whole.decode().encode("utf-16"), {}),
        "with a mark": (b"\xef\xbb\xbf" + whole, {}),
        "only space": (b" \r\n ", {}),
        "cut off": (whole[:-1], {}),
        "doubled": (whole + whole, {}),
        "null": (b"null", {}),
        "a list": (b"[" + whole + b"]", {}),
        "a text": (b'"x"', {}),
        "with a stranger": (b'{"dry": true}', {}),
    }


def unsaid() -> dict[str, tuple[bytes, dict[str, str]]]:
    return {"nothing": (b"", {}), "nothing of no type": (b"", {"content-type": ""}), "no field": (b"{}", {})}


@pytest.mark.parametrize("row", WRITES, ids=str)
def test_write__body_lost_or_unreadable__refused_and_nothing_changes(row: Row, world: World) -> None:
    role = allowed(row)
    caller, path = world.callers[role], "/" + fill(row.route, world)
    sent = lost(json.dumps(body(row, world, role)).encode())
    if row not in NOTHING_NEEDED:
        sent |= unsaid()
    before = everything()
    for what, (content, headers) in sent.items():
        answer = caller(row.method, path, content, **headers)
        assert 400 <= answer.status_code < 500, (what, answer.content)
        assert answer["Content-Type"] == "application/problem+json"
        assert not PYTHON.search(answer.json()["detail"]), (what, answer.json()["detail"])
    assert everything() == before


@pytest.mark.parametrize("row", [row for row in WRITES if row.method == "PATCH"], ids=str)
def test_patch__without_a_body_or_anything_to_change__400_that_says_so(row: Row, world: World) -> None:
    caller, path = world.callers[allowed(row)], "/" + fill(row.route, world)
    assert_problem(caller("PATCH", path, b""), 400, "empty_body", "#")
    assert_problem(caller("PATCH", path, b"{}"), 400, "invalid", "#")


def test_patch__a_reason_alone__changes_nothing_and_is_400(world: World) -> None:
    assert_problem(world.operator_key.patch(world.labs, {"reason": "Asked for"}), 400, "invalid", "#")


# --- Texts ------------------------------------------------------------------------------------------------------------

ODD: list[Any] = [
    None, True, 10**400, -1.5, "\x00", "\ud800", "x" * 3000, [[]], [None, "\x00"], {"a": None, "\ud800": [True]},
]  # fmt: skip


def odd_bodies(said: dict[str, Any]) -> Iterator[Any]:
    """The body with one part replaced by something odd, at any depth."""
    yield from ODD
    for name, value in said.items():
        yield from ({**said, name: odd} for odd in ODD)
        if isinstance(value, dict):
            yield from ({**said, name: inner} for inner in odd_bodies(value))
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield from ({**said, name: [inner]} for inner in odd_bodies(value[0]))


def texts(answer: Any) -> Iterator[str]:
    """What an answer says in words, wherever it stands."""
    if isinstance(answer, dict):
        for name, part in answer.items():
            if name in ("detail", "message"):
                yield str(part)
            else:
                yield from texts(part)
    elif isinstance(answer, list):
        for part in answer:
            yield from texts(part)


REBIND = Row("POST", "api/v1/bulk-jobs/", "401 403 403 403 403 403 202 403 403 202 403", {
    "rebind": [{"external_id": "m-1", "organization": "{organization}", "member": None}], "reason": "x"})  # fmt: skip
SELECTED = Row("POST", "api/v1/bulk-jobs/", REBIND.statuses, {
    "surface": "le_chat_console", "choice": "opted_out", "dry_run": True,
    "select": {"plan": ["le_chat_free"], "organizations": ["x"], "created_from": "2026-01-01T00:00:00Z"}})  # fmt: skip


@pytest.mark.parametrize("row", [*(row for row in WRITES if row.body), REBIND, SELECTED], ids=str)
def test_write__odd_values__no_fault_of_ours_and_no_word_of_python(row: Row, world: World) -> None:
    role = allowed(row)
    caller, path = world.callers[role], "/" + fill(row.route, world)
    caller.client.raise_request_exception = False
    for odd in odd_bodies(body(row, world, role)):
        with transaction.atomic():
            answer = caller(row.method, path, odd_text(odd))
            transaction.set_rollback(True)
        assert answer.status_code < 500, (odd, answer.content)
        for text in texts(answer.json() if answer.content else {}):
            assert not PYTHON.search(text), (odd, text)


def odd_text(value: Any) -> bytes:
    return json.dumps(value).encode()


READS = [row for row in ROWS if row.method == "GET" and row.route.startswith("api/v1/") and row.statuses[:3] == "401"]
ODD_PARAMETERS = (
    "",
    "%00",
    "%ff",
    "%ED%A0%80",
    "x" * 3000,
    "-1",
    "9" * 30,
    "null",
    "[]",
    "true&{name}=true",
    "2026-13-45",
)


@pytest.mark.parametrize("row", READS, ids=str)
def test_read__odd_parameters__400_or_nothing_found_and_no_word_of_python(row: Row, world: World) -> None:
    path = "/" + fill(row.route, world)
    view = resolve(path).func.view_class  # type: ignore[attr-defined]
    caller = world.operator if row.route.startswith("api/v1/api-keys") else world.operator_key
    caller.client.raise_request_exception = False
    for name in (*view.query_class().fields, *(view.paginator.parameters if view.paginator else ()), "unknown", "%00"):
        for odd in ODD_PARAMETERS:
            answer = caller.get(f"{path}?{name}={odd.format(name=name)}")
            assert answer.status_code in (200, 400, 404), (name, odd, answer.status_code)
            for text in texts(answer.json()) if answer.status_code == 400 else ():
                assert not PYTHON.search(text), (name, odd, text)


@pytest.mark.parametrize("text", ["{", "1e999", "-", "[1,]", '{"a" 1}', "9" * 5000, "'x'", "NaN", '{"a":1,"a":2}'])
def test_no_json__anywhere_it_is_read__400_in_our_words(text: str, world: World) -> None:
    for path in ("organizations/", "decisions/", "decisions/batch/", "/access/v1/evaluation", "/access/v1/evaluations"):
        answer = world.operator_key.post(path, text.encode())
        assert answer.status_code == 400, path
        assert not PYTHON.search(answer.json()["detail"]), answer.json()["detail"]


# --- Why a thing is deleted -------------------------------------------------------------------------------------------

WITH_REASON = [row for row in WRITES if row.method == "DELETE" and (row.body or "subscriptions/" in row.route)]


@pytest.mark.parametrize("row", WITH_REASON, ids=str)
def test_delete__reason_as_a_parameter__is_the_one_that_is_kept(row: Row, world: World) -> None:
    path = "/" + fill(row.route, world)
    if "locks/" in path:
        world.operator_key.put(path, {"reason": "Contract 7", "reference": "CRM-7"})
    for both, sent in (("?reason=As%20asked", {"reason": "Otherwise"}), ("?reason=x&reason=x", None)):
        before = state()
        answer = world.operator_key.delete(path + both, sent)
        assert_problem(answer, 400, "invalid", "?reason")
        assert state() == before
    assert world.operator_key.delete(path + "?reason=As%20asked", {"reason": " As asked "}).status_code == 204
    assert [event["reason"] for event in last_events(world.operator_key)] == ["As asked"]


def last_events(caller: Caller) -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(caller.get("events/stream").streaming_content).splitlines()][-1:]  # type: ignore[attr-defined]


@pytest.mark.parametrize("row", [row for row in WRITES if row.method == "DELETE" and row not in WITH_REASON], ids=str)
def test_delete__takes_no_reason__one_is_refused_not_dropped(row: Row, world: World) -> None:
    caller, path = world.callers[allowed(row)], "/" + fill(row.route, world)
    before = everything()
    assert_problem(caller.delete(path, {"reason": "x"}), 400, "invalid", "#/reason")
    assert_problem(caller.delete(f"{path}?reason=x"), 400, "invalid", "?reason")
    assert everything() == before
