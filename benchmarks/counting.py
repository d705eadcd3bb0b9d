"""What it costs to count the questions that are asked about each organization: decisions with and without it.

    python -m benchmarks.counting [--rows 10000] [--seconds 4] [--pairs 5]

One process answers requests with counting and without in turn, every 50 ms of CPU, so that a busy machine slows both
alike (`benchmarks.counted`). Storing the counts is part of the side with. The result is the median of the rounds'
ratios, by CPU and by the clock.
"""

import json
import statistics
import subprocess
import sys
from typing import Any

from . import databases
from .databases import Place
from .tables import Line, run, show

GOAL = 0.97
QUESTIONS = 2_000


def measure(where: Place, rows: int, seconds: int, pairs: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if a step fails."""
    with databases.existing(where, "counting") as url:
        databases.step(url, "sides", "loaded", str(rows), "2")
        made = databases.step(url, "asked", str(QUESTIONS))
        rounds = _rounds(url, json.dumps(made), seconds, pairs)
    lines = []
    for kind, words in (("decision", "decision"), ("batch", "batch of 1,000")):
        for n, found in enumerate(rounds, start=1):
            told = (f"{side} {each['cpu'] * 1e6:,.1f} µs of CPU" for side, each in found[kind].items())
            show(f"{words}, round {n}: {', '.join(told)}")
        for by, name in (("cpu", "CPU"), ("clock", "the clock")):
            ratio = statistics.median(found[kind]["without"][by] / found[kind]["with"][by] for found in rounds)
            what = f"{words}: rate with counting / without, by {name}"
            lines.append(Line(where.label, what, f"{ratio:.3f} ×", f"≥ {GOAL} ×", ratio >= GOAL))
    return lines


def _rounds(url: str, questions: str, seconds: int, pairs: int) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.counted", str(seconds), str(pairs)]
    how: dict[str, Any] = {"cwd": databases.ROOT, "env": databases.environment(url), "text": True}
    done = subprocess.run(command, check=False, input=questions, stdout=subprocess.PIPE, **how)
    if done.returncode:
        raise RuntimeError(f"benchmarks.counted ended with {done.returncode}")
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    try:
        run(__doc__, measure, rows=10_000, seconds=4, pairs=5)
    except RuntimeError as error:
        sys.exit(str(error))
