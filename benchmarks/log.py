"""What the log costs: appending events, proving one, and what writers feel of it meanwhile.

    python -m benchmarks.log [--rows 1000000] [--pairs 3] [--choices 300]

Appending is compared with the bare read of the same events: both alternate, each in a process of its own, and what
counts is CPU seconds, the database server's included. Then somebody chooses, alone and while all of these events are
appended beside.
"""

import statistics
from typing import Any

from . import databases, pairs
from .databases import Place
from .tables import Line, run, show

NAME = "log"
MILLION = 1_000_000
GOALS = {"seconds": 30, "ratio": 6, "proof": 5, "median": 1.05, "p99": 1.25, "lock": 50}  # of CPU, ×, ms, ×, ×, ms


def measure(where: Place, rows: int, **rest: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if a side fails, or the sides have not the same number of events."""
    try:
        url = where.fresh(NAME)
        databases.step(url, "sides", "loaded", str(rows // 2))
        taken = pairs.alternate(where, rest["pairs"], lambda side: _side(where, side), "rows")
        beside = [_beside(where, str(rest["choices"])) for _n in range(rest["pairs"])]
    finally:
        where.drop(NAME)
    return [*_appending(where, taken), *_writing(where, beside, rest["choices"])]


def _side(where: Place, side: str) -> dict[str, Any]:
    with databases.existing(where, "log_side", NAME) as url:
        found = databases.step(url, "logging_sides", side)
        return found | (databases.step(url, "logging_sides", "prove") if side == "ours" else {})


def _beside(where: Place, choices: str) -> dict[str, dict[str, float]]:
    """How long each choice took, alone and beside the log."""
    found = {}
    for when in ("alone", "beside"):
        with databases.existing(where, "log_beside", NAME) as url:
            appending = databases.start(url, "-m", "benchmarks.logging_sides", "ours") if when == "beside" else None
            try:
                found[when] = databases.step(url, "logging_sides", "choose", choices)
                if appending is not None and appending.poll() is not None:
                    show(f"{where.label}: the log was done before the choices were; take more rows or fewer choices")
            finally:
                if appending is not None:
                    appending.kill()
                    appending.communicate()
    return found


def _appending(where: Place, taken: list[pairs.Pair]) -> list[Line]:
    events = int(pairs.median(taken, "ours", "rows"))
    work = f"append {events:,} events"
    a_million = pairs.median(taken, "ours", "cpu") * MILLION / events
    ratio = statistics.median(pair["ours"]["cpu"] / pair["bare"]["cpu"] for pair in taken)
    proof = pairs.median(taken, "ours", "proof")
    held = max(pair["ours"]["held"] for pair in taken)
    return [
        Line(where.label, f"{work} / bare read, CPU", *_judged(ratio, "ratio", "×")),
        Line(where.label, f"{work}: a million", *_judged(a_million, "seconds", "CPU s")),
        Line(where.label, f"inclusion proof among {events:,}, median", *_judged(proof, "proof", "ms")),
        Line(where.label, "longest transaction of the log", *_judged(held, "lock", "ms", where.label == "SQLite")),
        Line(where.label, f"{work}: memory", f"{max(pair['ours']['peak'] for pair in taken):.0f} MiB"),
    ]


def _writing(where: Place, beside: list[dict[str, dict[str, float]]], choices: int) -> list[Line]:
    lines = []
    for what in ("median", "p99"):
        alone, with_log = (statistics.median(each[when][what] for each in beside) for when in ("alone", "beside"))
        work = f"a choice beside the log / alone, {what} of {choices}"
        value, goal, met = _judged(with_log / alone, what, "×")
        lines.append(Line(where.label, work, f"{value} ({with_log:.1f} / {alone:.1f} ms)", goal, met))
    return lines


def _judged(value: float, what: str, unit: str, has_goal: bool = True) -> tuple[str, str, bool | None]:
    goal = GOALS[what]
    found = f"{value:.2f} {unit}"
    return (found, f"≤ {goal} {unit}", value <= goal) if has_goal else (found, "", None)


if __name__ == "__main__":
    run(__doc__, measure, rows=MILLION, pairs=3, choices=300)
