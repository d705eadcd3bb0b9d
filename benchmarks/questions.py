"""Decisions over HTTP, compared with the least that the framework and the database need.

    python -m benchmarks.questions [--rows 10000] [--large 1000000] [--seconds 3] [--pairs 3]

One worker runs on one core, the load generator on another. Each round measures every side in turn: a view that returns
a constant without middleware (floor), a view in the style of a tutorial (naive), and the portal (ours). The result is
the median of the rounds' ratios. Batches of 1,000 are compared with their SQL statement alone, by psycopg, and with a
loop over the ORM. `--large 0` skips the second size of the database.

Without a PostgreSQL it measures single decisions on SQLite: with persistent database connections, and with a new one
for each request.
"""

import contextlib
import json
import os
import statistics
import sys
import time
from typing import Any, NamedTuple

import psycopg

from . import databases, serving
from .asking import Answered, ask, request
from .databases import Place
from .tables import Line, run, show

QUESTIONS, BATCH = 2_000, 1_000
DECISIONS, BATCHES = "/api/v1/decisions/", "/api/v1/decisions/batch/"
OURS = ("config.wsgi:application", "config.settings")
FLOOR, NAIVE = (("benchmarks.wsgi:application", f"benchmarks.{name}") for name in ("floor", "naive"))


class Asked(NamedTuple):
    """The requests for one database, ready to send, for each side; and the SQL statement of a batch."""

    url: str
    ones: list[bytes]
    batches: list[bytes]
    constant: list[bytes]
    naive_ones: list[bytes]
    naive_batches: list[bytes]
    statement: str
    parameters: list[Any]


def measure(where: Place, rows: int, large: int, seconds: int, pairs: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError for any status but 200."""
    # The load generator takes the last core; the server is pinned to core 0 (serving.server).
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if where.label == "SQLite":
        with databases.existing(where, "questions") as url:
            return _kept(where, _prepared(url, rows), seconds, pairs)
    lines = []
    with databases.existing(where, "questions") as url:
        asked = _prepared(url, rows)
        for kind in serving.SERVERS:
            lines += _singles(where, asked, kind, seconds, pairs)
        lines += _batches(where, asked, seconds, pairs)
        if large:
            with databases.existing(where, "large") as other:
                lines += _sizes(where, asked, _prepared(other, large), (rows, large), seconds, pairs)
    return lines


def _prepared(url: str, rows: int) -> Asked:
    databases.step(url, "sides", "loaded", str(rows), "2")
    made = databases.step(url, "asked", str(QUESTIONS))
    ones = [json.dumps(each).encode() for each in made["questions"]]
    items = [made["questions"][n : n + BATCH] for n in range(0, QUESTIONS, BATCH)]
    many = [json.dumps({"items": each}).encode() for each in items]
    key = made["key"]
    return Asked(
        url,
        [request(DECISIONS, key, each) for each in ones],
        [request(BATCHES, key, each) for each in many],
        [request("/constant/", key, ones[0])],
        [request("/decision/", key, each) for each in ones],
        [request("/batch/", key, each) for each in many],
        made["statement"],
        made["parameters"],
    )


def _singles(where: Place, asked: Asked, kind: str, seconds: int, pairs: int) -> list[Line]:
    with contextlib.ExitStack() as stack:
        ours, floor, naive = (
            stack.enter_context(serving.server(asked.url, *side, kind)) for side in (OURS, FLOOR, NAIVE)
        )
        rounds = []
        for n in range(pairs):
            found = {
                "floor": ask(floor.port, asked.constant, seconds),
                "ours": ask(ours.port, asked.ones, seconds),
                "naive": ask(naive.port, asked.naive_ones, seconds),
            }
            rounds.append(found)
            show(f"{kind}, round {n + 1}: " + ", ".join(f"{name} {each.rate:,.0f}/s" for name, each in found.items()))
        memory = ours.memory()
    return [
        _ratio(where, f"{kind}: decision / floor", rounds, "ours", "floor", 0.35),
        _ratio(where, f"{kind}: decision / naive view", rounds, "ours", "naive", 10),
        *(_rate(where, f"{kind}: {name}", [each[name] for each in rounds]) for name in ("floor", "ours", "naive")),
        Line(where.label, f"{kind}: memory of the worker", f"{memory:.0f} MiB", "< 150 MiB", memory < 150),
    ]


def _kept(where: Place, asked: Asked, seconds: int, pairs: int) -> list[Line]:
    """What persistent database connections gain on SQLite."""
    with contextlib.ExitStack() as stack:
        kept, opened = (stack.enter_context(serving.server(asked.url, *OURS, CONN_MAX_AGE=age)) for age in ("600", "0"))
        floor = stack.enter_context(serving.server(asked.url, *FLOOR))
        rounds = []
        for n in range(pairs):
            found = {
                "floor": ask(floor.port, asked.constant, seconds),
                "kept": ask(kept.port, asked.ones, seconds),
                "opened": ask(opened.port, asked.ones, seconds),
            }
            rounds.append(found)
            show(f"round {n + 1}: " + ", ".join(f"{name} {each.rate:,.0f}/s" for name, each in found.items()))
    return [
        _ratio(where, "decision / one with a connection opened for it", rounds, "kept", "opened", 2),
        _ratio(where, "decision / floor", rounds, "kept", "floor", 0.35),
        *(_rate(where, name, [each[name] for each in rounds]) for name in ("floor", "kept", "opened")),
    ]


def _batches(where: Place, asked: Asked, seconds: int, pairs: int) -> list[Line]:
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(serving.server(asked.url, *OURS))
        naive = stack.enter_context(serving.server(asked.url, *NAIVE))
        rounds = []
        for n in range(pairs):
            found = {
                "bare": _bare(asked, seconds),
                "ours": ask(ours.port, asked.batches, seconds, connections=1),
                "naive": ask(naive.port, asked.naive_batches, seconds, connections=1),
            }
            rounds.append(found)
            show(f"batch, round {n + 1}: " + ", ".join(f"{name} {each.rate:.1f}/s" for name, each in found.items()))
    work = f"batch of {BATCH:,}"
    return [
        _ratio(where, f"{work} / the statement by psycopg", rounds, "ours", "bare", 0.6),
        _ratio(where, f"{work} / loop over the ORM", rounds, "ours", "naive", 100),
        *(
            _rate(where, f"{work}: {name}", [each[name] for each in rounds], BATCH)
            for name in ("bare", "ours", "naive")
        ),
    ]


def _bare(asked: Asked, seconds: float) -> Answered:
    """Run the statement of a batch alone, prepared, and only fetch its rows."""
    with psycopg.connect(asked.url, autocommit=True) as connection:
        taken, begun = [], time.perf_counter()
        while (now := time.perf_counter()) - begun < seconds:
            connection.execute(asked.statement, asked.parameters, prepare=True).fetchall()
            taken.append(time.perf_counter() - now)
    taken.sort()
    return Answered(len(taken) / (now - begun), taken[len(taken) // 2], taken[int(len(taken) * 0.99)])


def _sizes(where: Place, small: Asked, large: Asked, rows: tuple[int, int], seconds: int, pairs: int) -> list[Line]:
    with contextlib.ExitStack() as stack:
        at = {n: stack.enter_context(serving.server(each.url, *OURS)) for n, each in enumerate((small, large))}
        rounds = [
            {
                "small": ask(at[0].port, small.ones, seconds), "large": ask(at[1].port, large.ones, seconds),
                "small batch": ask(at[0].port, small.batches, seconds, 1),
                "large batch": ask(at[1].port, large.batches, seconds, 1),
            }
            for _ in range(pairs)
        ]  # fmt: skip
    sizes = f"{rows[0]:,} / {rows[1]:,} organizations"
    found = []
    for what in ("", " batch"):
        ratio = statistics.median(each[f"small{what}"].rate / each[f"large{what}"].rate for each in rounds)
        found.append(Line(where.label, f"decision{what}, {sizes}", f"{ratio:.2f} ×", "≤ 1.2 ×", ratio <= 1.2))
    return found


def _ratio(where: Place, what: str, rounds: list[dict[str, Answered]], one: str, other: str, goal: float) -> Line:
    ratio = statistics.median(each[one].rate / each[other].rate for each in rounds)
    return Line(where.label, what, f"{ratio:.2f} ×", f"≥ {goal} ×", ratio >= goal)


def _rate(where: Place, what: str, found: list[Answered], each: int = 1) -> Line:
    rate, p99 = statistics.median(a.rate for a in found) * each, statistics.median(a.p99 for a in found)
    return Line(where.label, what, f"{rate:,.0f}/s, p99 {p99 * 1000:.1f} ms")


if __name__ == "__main__":
    try:
        run(__doc__, measure, rows=10_000, large=1_000_000, seconds=3, pairs=3)
    except RuntimeError as error:
        sys.exit(str(error))
