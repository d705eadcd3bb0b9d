"""Opting out many organizations: a bulk job compared with bare SQL on the same rows, tables, indexes and triggers.

    python -m benchmarks.bulk [--rows 1000000] [--pairs 3]

Both sides start from copies of one database and alternate (A B, B A, A B …). The result is the median of the ratios of
the pairs.
"""

import statistics
from typing import Any

from . import databases
from .databases import Place
from .tables import Line, run, show

GOALS = {"PostgreSQL": 2.0, "SQLite": 2.5}  # the job may take so many times as long as the bare SQL
MEMORY_GOAL = 300  # MiB
PREPARED = "prepared"


def measure(where: Place, rows: int, pairs: int, *, verify: bool = False) -> list[Line]:
    """The lines of the table. Raises RuntimeError if a side fails, or, with `verify`, if its ledger does not verify."""
    try:
        prepared = databases.step(where.fresh(PREPARED), "sides", "prepare", str(rows))
        taken = []
        for n in range(pairs):
            # Alternate which side goes first, so that drift of the machine's speed favours neither.
            order = ("ours", "bare") if n % 2 == 0 else ("bare", "ours")
            taken.append({side: _side(where, side, verify=verify) for side in order})
            job, bare = (taken[-1][side]["run"] for side in ("ours", "bare"))
            show(f"{where.label}, pair {n + 1}: job {job:.1f} s, bare {bare:.1f} s")
    finally:
        where.drop(PREPARED)
    return _lines(where, rows, prepared, [pair["ours"] for pair in taken], [pair["bare"] for pair in taken])


def _side(where: Place, side: str, *, verify: bool) -> dict[str, Any]:
    with databases.existing(where, side, PREPARED) as url:
        found = databases.step(url, "sides", side)
        if verify and (problems := databases.step(url, "sides", "verify")["problems"]):
            raise RuntimeError(f"{side}: {problems}")
    return found


def _lines(
    where: Place, rows: int, prepared: dict[str, Any], ours: list[dict[str, Any]], bare: list[dict[str, Any]]
) -> list[Line]:
    ratio = statistics.median(a["run"] / b["run"] for a, b in zip(ours, bare, strict=True))
    placed = statistics.median((a["run"] + a["placing"]) / b["run"] for a, b in zip(ours, bare, strict=True))
    took = {key: statistics.median(side[key] for side in ours) for key in ("run", "placing", "chunks")}
    plain = statistics.median(side["run"] for side in bare)
    longest = max(pause for side in ours for pause in side["longest"])
    peak = max(side["peak"] for side in ours)
    work = f"opt out {rows:,}"
    return [
        Line(
            where.label,
            f"{work}: job / bare SQL",
            f"{ratio:.2f} ×",
            f"≤ {GOALS[where.label]} ×",
            ratio <= GOALS[where.label],
        ),
        Line(where.label, f"{work}: job", f"{took['run']:.1f} s, {rows / took['run']:,.0f} rows/s"),
        Line(where.label, f"{work}: bare SQL, one transaction", f"{plain:.1f} s, {rows / plain:,.0f} rows/s"),
        Line(where.label, f"{work}: job with its events placed / bare SQL", f"{placed:.2f} ×"),
        Line(where.label, f"{work}: chunks, the longest of them", f"{took['chunks']:.0f}, {longest * 1000:.0f} ms"),
        Line(where.label, f"{work}: preview", f"{prepared['preview']:.1f} s"),
        Line(where.label, f"{work}: memory of the job", f"{peak:.0f} MiB", f"< {MEMORY_GOAL} MiB", peak < MEMORY_GOAL),
    ]


if __name__ == "__main__":
    run(__doc__, measure, rows=1_000_000, pairs=3)
