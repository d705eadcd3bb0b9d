"""How many events a worker delivers in a second, and how long after a change its event arrives.

    python -m benchmarks.webhooks [--events 10000] [--seconds 20] [--changes 100]

A receiver and a worker run as processes on this machine. First the worker delivers a backlog of events to one webhook,
then to four. Then services make `--changes` changes a second for `--seconds` seconds; the lag of each is the time from
its commit to its event's arrival.
"""

import json
import subprocess
import sys
from typing import Any

from . import databases
from .databases import Place
from .tables import Line, run, show

GOAL_RATE, GOAL_LAG = 500, 2.0  # events a second, seconds
LOCAL = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DEBUG": "true"}


def measure(where: Place, events: int, seconds: int, changes: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if an event does not arrive."""
    lines = []
    for endpoints in (1, 4):
        with databases.existing(where, "webhooks") as url:
            databases.step(url, "sides", "loaded", str(events // 2))
            found = _with_receiver(url, "backlog", str(endpoints))
        rate = found["arrived"] / found["seconds"]
        what = f"{found['arrived']:,} events to {endpoints} webhook{'s' if endpoints > 1 else ''}"
        met = rate >= GOAL_RATE
        lines.append(Line(where.label, what, f"{rate:,.0f} events/s", f"≥ {GOAL_RATE}/s per worker", met))
    with databases.existing(where, "webhooks") as url:
        databases.step(url, "sides", "loaded", "50")
        found = _with_receiver(url, "lag", str(seconds), str(changes))
    what = f"lag at {found['rate']:.0f} changes/s ({found['arrived']:,} events)"
    told = f"p50 {found['p50'] * 1000:.0f} ms, p99 {found['p99'] * 1000:.0f} ms"
    lines.append(Line(where.label, what, told, f"p99 < {GOAL_LAG} s", found["p99"] < GOAL_LAG))
    return lines


def _with_receiver(url: str, step: str, *arguments: str) -> dict[str, Any]:
    process = databases.start(url, "-m", "benchmarks.receiving", step, *arguments, **LOCAL)
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"benchmarks.receiving {step} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    show(f"{step} {' '.join(arguments)}: {found}")
    return found


def worker(url: str) -> subprocess.Popen[str]:
    return databases.start(url, "manage.py", "worker", piped=False, **LOCAL)


if __name__ == "__main__":
    try:
        run(__doc__, measure, events=10_000, seconds=20, changes=100)
    except RuntimeError as error:
        sys.exit(str(error))
