"""Filtering records by a snapshot, compared with the best query that one would write by hand in DuckDB.

    python -m benchmarks.filtering [--rows 20000000] [--organizations 1000000] [--members 2000000] [--pairs 3]

Keys are UUIDs; the members who wrote the records are skewed as Zipf says. The sides alternate on the same files, each
in a process of its own, and get the same number of records allowed. What counts is CPU seconds: on a busy machine the
wall clock says little. The queries by hand write rows in any order, give no reasons and keep no notes of the files.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .tables import Line, show, table

WHERE = "DuckDB"
ALONE_GOAL, BOTH_GOAL = 1.2, 1.25  # ×
SMALL, LARGE = "500MB", "1GB"
PEAKS = {SMALL: 650, LARGE: 1331}  # MiB


def step(folder: Path, name: str, *given: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.filtering_sides", str(folder), name, *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def measure(folder: Path, rows: int, organizations: int, members: int, pairs: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if the sides do not allow the same number of records."""
    step(folder, "made", *map(str, (rows, organizations, members)))
    taken: list[dict[str, dict[str, Any]]] = []
    for n in range(pairs):
        sides = ["plain", "cases", "counted", "copied", "alone", "both", "small"]
        pair = {side: step(folder, side) for side in (sides if n % 2 == 0 else reversed(sides))}
        allowed = {pair[side]["allowed"] for side in pair if side != "copied"}
        if len(allowed) != 1:
            raise RuntimeError(f"the sides allow {sorted(allowed)} records")
        show(", ".join(f"{side} {each['cpu']:.1f} CPU s ({each['peak']:.0f} MiB)" for side, each in pair.items()))
        taken.append(pair)
    return lines(taken, rows)


def lines(taken: list[dict[str, dict[str, Any]]], rows: int) -> list[Line]:
    def middle(side: str, what: str) -> float:
        return statistics.median(pair[side][what] for pair in taken)

    best = min(("plain", "cases"), key=lambda side: middle(side, "cpu"))

    def ratio(side: str, what: str, *others: str) -> float:
        return statistics.median(pair[side][what] / sum(pair[each][what] for each in others) for pair in taken)

    work = f"filter {rows:,} records"
    alone, both = ratio("alone", "cpu", best), ratio("both", "cpu", "copied", "counted")
    found = [
        Line(WHERE, f"{work}, allowed / by hand, CPU", f"{alone:.2f} ×", f"≤ {ALONE_GOAL} ×", alone <= ALONE_GOAL),
        Line(WHERE, f"{work}, allowed / by hand, wall", f"{ratio('alone', 'wall', best):.2f} ×"),
        Line(
            WHERE, f"{work}, allowed, denied, counts / COPY * + count, CPU", f"{both:.2f} ×", f"≤ {BOTH_GOAL} ×",
            both <= BOTH_GOAL,
        ),
        Line(
            WHERE, f"{work}, allowed, denied, counts / COPY * + count, wall",
            f"{ratio('both', 'wall', 'copied', 'counted'):.2f} ×",
        ),
    ]  # fmt: skip
    found += [
        Line(WHERE, side, f"{middle(side, 'cpu'):.1f} CPU s, {middle(side, 'wall'):.1f} s")
        for side in ("alone", "both", best, "copied", "counted")
    ]
    for side, memory in (("small", SMALL), ("both", LARGE)):
        peak = max(pair[side]["peak"] for pair in taken)
        what = f"{work}: memory with --memory {memory}"
        found.append(Line(WHERE, what, f"{peak:.0f} MiB", f"≤ {PEAKS[memory]} MiB", peak <= PEAKS[memory]))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"rows": 20_000_000, "organizations": 1_000_000, "members": 2_000_000, "pairs": 3}
    for option, value in numbers.items():
        parser.add_argument(f"--{option}", type=int, default=value, help=f"default {value:,}")
    with tempfile.TemporaryDirectory() as place:
        print(table(measure(Path(place), **vars(parser.parse_args()))))
