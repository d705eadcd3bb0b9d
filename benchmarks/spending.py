"""Asks one process about decisions, for `benchmarks.spent`: python -m benchmarks.spending N. Prints one line of JSON.

The questions come from standard input, as `benchmarks.asked` prints them; DATABASE_URL is their database.
"""

import cProfile
import io
import json
import pstats
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import django

django.setup()

from config.wsgi import application  # noqa: E402

ROUNDS = 5
# Part → what the paths of its modules contain; the first that does counts.
PARTS = {
    "the statement: psycopg and Django's connection": (
        "/psycopg", "/django/db/", "/accounts/prepared_sql", "/config/postgresql/", "/config/private_sqlite3/",
    ),
    "JSON and the body": ("/json/", "/config/strict_json", "/consent/api/body"),
    "who asks: the key and what it may": ("/accounts/",),
    "the question, the rules and the answer's words": ("/consent/",),
    "the fast path": ("/config/",),
    "Django's request, response, handler, signals and translations": ("/django/", "/asgiref/"),
}  # fmt: skip
OTHER = "other"
Function = tuple[str, int, str]


def main(count: str) -> None:
    """`wall` and `cpu` are the median seconds of a question, `parts` the share of each part in the CPU time."""
    made = json.load(sys.stdin)
    questions = [json.dumps(each).encode() for each in made["questions"][: int(count)]]
    ask = _asking(questions, made["key"])
    ask()  # what is made once
    wall, cpu = (
        statistics.median(each) / len(questions) for each in zip(*(_timed(ask) for _ in range(ROUNDS)), strict=True)
    )
    profile = cProfile.Profile(time.process_time)
    profile.runcall(ask)
    print(json.dumps({"wall": wall, "cpu": cpu, "parts": _shares(pstats.Stats(profile))}))


def _timed(ask: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    ask()
    return time.perf_counter() - wall, time.process_time() - cpu


def _asking(questions: list[bytes], key: str) -> Callable[[], None]:
    """Asks each question once, as a server would. Raises RuntimeError for any status but 200."""
    environ = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/api/v1/decisions/", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost", "HTTP_AUTHORIZATION": f"Bearer {key}", "CONTENT_TYPE": "application/json",
        "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
    }  # fmt: skip

    def respond(status: str, _headers: list[tuple[str, str]], _error: Any = None) -> None:
        if not status.startswith("200"):
            raise RuntimeError(f"a question was answered with {status}")

    def ask() -> None:
        for body in questions:
            more = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
            b"".join(application(environ | more, respond))

    return ask


def _shares(stats: pstats.Stats) -> dict[str, float]:
    """Part → its share of the time, as a fraction. What is written in C counts for whoever called it."""
    spent: Counter[str] = Counter()
    for function, (_calls, _direct, own, _whole, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if function[0] != "~":
            spent[_part(function)] += own
            continue
        for caller, (_calls, _direct, here, _whole) in callers.items():
            spent[_part(caller)] += here
    return {name: spent[name] / spent.total() for name in (*PARTS, OTHER)}


def _part(function: Function) -> str:
    path = function[0]
    return next((name for name, places in PARTS.items() if any(each in path for each in places)), OTHER)


if __name__ == "__main__":
    main(*sys.argv[1:])
