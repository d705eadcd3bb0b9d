"""Questions asked are stored by real servers: when they are told to end, and every few seconds."""

import json
import sqlite3
import time

import psycopg

from tests.serving.servers import Server, body, served, status

STATEMENT = "SELECT allowed, reason_code, SUM(questions) FROM consent_askedcount GROUP BY 1, 2"


def ask(server: Server, number: int) -> None:
    question = json.dumps({"organization": server.labs, "product": "ai_studio"}).encode()
    batch = json.dumps({"items": [json.loads(question)] * number}).encode()
    for path, sent in (("/api/v1/decisions/", question), ("/api/v1/decisions/batch/", batch)):
        head = server.head("POST", path, f"Content-Length: {len(sent)}", "Connection: close")
        answer = server.exchange(head, sent)
        assert status(answer) == 200, body(answer)


def stored(server: Server) -> list[tuple[bool, str, int]]:
    if server.database.startswith("postgres"):
        with psycopg.connect(server.database) as connection:
            rows = connection.execute(STATEMENT).fetchall()
    else:
        with sqlite3.connect(server.database.removeprefix("sqlite:///")) as file:
            rows = file.execute(STATEMENT).fetchall()
    return [(bool(allowed), reason, int(number)) for allowed, reason, number in rows]


def test_asked__server_told_to_end__stores_what_it_has_counted() -> None:
    with served(ASKED_FLUSH_SECONDS="3600") as server:
        ask(server, 5)
        assert stored(server) == []
        server.process.terminate()
        server.process.wait()
        assert stored(server) == [(False, "plan_default", 6)]


def test_asked__in_development__stored_after_some_time() -> None:
    with served(development=True, ASKED_FLUSH_SECONDS="0.2") as server:
        ask(server, 2)
        while stored(server) != [(False, "plan_default", 3)]:
            assert server.process.poll() is None
            time.sleep(0.1)
