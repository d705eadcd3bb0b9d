"""A real server that does not see the witness file, and a real worker that does."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import databases
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


def test_server__does_not_see_the_file__answers_only_after_somebody_vouched(tmp_path: Path) -> None:
    with served(WITNESS="/nowhere/witness", WITNESS_CHECK_SECONDS="0.2") as server:
        assert ask(server) == (False, "restored")
        with working(server, WITNESS=str(tmp_path / "witness")):
            until(lambda: ask(server) == (True, "plan_default"))
