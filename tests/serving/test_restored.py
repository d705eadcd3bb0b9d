"""A real server and a real worker whose database is replaced by an older copy: never a "yes" that was taken back."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import databases
from consent.proofs.witness_files import Witness
from tests.serving.servers import ROOT, Server, body, served, status


@contextlib.contextmanager
def working(server: Server, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = databases.environment(server.database, DEBUG="true", LOG_LEVEL="ERROR", **settings)
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "worker"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait()


def until(met: Callable[[], Any]) -> Any:
    """What it returns, once that is true; the longest that the test's own limit allows."""
    ends = time.monotonic() + 60
    while not (found := met()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return found


def send(server: Server, method: str, path: str, content: Any = None, *headers: str) -> tuple[int, Any]:
    sent = b"" if content is None else json.dumps(content).encode()
    head = server.head(method, path, f"Content-Length: {len(sent)}", "Connection: close", *headers)
    answer = server.exchange(head, sent)
    return status(answer), json.loads(body(answer))


def ask(server: Server) -> tuple[bool, str]:
    question = {"organization": server.labs, "member": server.member, "product": "le_chat"}
    code, answer = send(server, "POST", "/api/v1/decisions/", question)
    assert code == 200, answer
    return answer["allowed"], answer["reason"]


def choose(server: Server, choice: str, *headers: str) -> int:
    path = f"/api/v1/organizations/{server.labs}/privacy-settings/le_chat_console/"
    return send(server, "PUT", path, {"choice": choice, "reason": "Asked for"}, *headers)[0]


def stored(database: Path, statement: str) -> Any:
    with contextlib.closing(sqlite3.connect(database)) as file:
        return file.execute(statement).fetchone()[0]


def quarantine(server: Server) -> str:
    return str(send(server, "GET", "/readyz")[1]["checks"]["witness"])


@pytest.mark.only_on("sqlite", reason="`make restore-drill` does it with a server of PostgreSQL")
def test_server__database_replaced_by_an_older_copy__never_says_yes(tmp_path: Path) -> None:
    path, old = tmp_path / "witness", tmp_path / "old.sqlite3"
    settings = {"WITNESS": str(path), "WITNESS_CHECK_SECONDS": "0.2"}
    with served(**settings) as server:
        database = Path(server.database.removeprefix("sqlite:///"))
        with working(server, **settings):
            until(lambda: ask(server) == (True, "plan_default"))
            with (
                contextlib.closing(sqlite3.connect(database)) as live,
                contextlib.closing(sqlite3.connect(old)) as copy,
            ):
                live.backup(copy)
            assert choose(server, "opted_out") == 200
            until(lambda: any(each.kind == "choice.opted_out" for each in Witness((path,)).changes()))
            assert ask(server) == (False, "organization_opted_out")
        old.replace(database)

        # Without a worker: the server sees the file itself.
        assert {ask(server) for _ in range(100)} == {(False, "restored")}
        assert quarantine(server) == "quarantine"
        before = path.read_bytes()
        with working(server, **settings):
            assert choose(server, "opted_in", 'If-Match: "1"') in (409, 412)
            assert choose(server, "opted_out") == 200
            until(lambda: stored(database, "SELECT quarantine FROM consent_installation"))
            assert {ask(server) for _ in range(20)} == {(False, "restored")}
        assert path.read_bytes() == before
        assert stored(database, "SELECT COUNT(*) FROM consent_pendingevent"), "nothing got a position"


def test_server__does_not_see_the_file__answers_only_after_somebody_vouched(tmp_path: Path) -> None:
    with served(WITNESS="/nowhere/witness", WITNESS_CHECK_SECONDS="0.2") as server:
        assert ask(server) == (False, "restored")
        with working(server, WITNESS=str(tmp_path / "witness")):
            until(lambda: ask(server) == (True, "plan_default"))
