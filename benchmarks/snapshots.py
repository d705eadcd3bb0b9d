"""Exporting a snapshot, compared with reading the same rows from the stored states by a bare cursor.

    python -m benchmarks.snapshots [--rows 1000000] [--members 2] [--pairs 3]

The snapshot replays the ledger and writes signed Parquet; the bare side reads rows and throws them away. Both alternate
on one database, each in a process of its own. What counts is CPU seconds, the database server's included.
"""

import statistics

from . import databases
from .databases import Place
from .tables import Line, run, show

GOAL, MEMORY_GOAL = 4.0, 400  # ×, MiB
NAME = "snapshots"


def measure(where: Place, rows: int, members: int, pairs: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if a side fails, or the sides have not the same number of rows."""
    taken = []
    try:
        url = where.fresh(NAME)
        databases.step(url, "sides", "loaded", str(rows), str(members))
        for n in range(pairs):
            order = ("ours", "bare") if n % 2 == 0 else ("bare", "ours")
            pair = {side: databases.step(url, "snapping", side) for side in order}
            if pair["ours"]["rows"] != pair["bare"]["rows"]:
                raise RuntimeError(f"{pair['ours']['rows']:,} rows are not {pair['bare']['rows']:,}")
            show(f"{where.label}, pair {n + 1}: {pair['ours']['cpu']:.1f} CPU s, bare {pair['bare']['cpu']:.1f} CPU s")
            taken.append(pair)
    finally:
        where.drop(NAME)
    ratio, wall = (
        statistics.median(pair["ours"][what] / pair["bare"][what] for pair in taken) for what in ("cpu", "wall")
    )
    spent = {
        (side, what): statistics.median(pair[side][what] for pair in taken)
        for side in ("ours", "bare") for what in ("cpu", "wall")
    }  # fmt: skip
    peak = max(pair["ours"]["peak"] for pair in taken)
    work = f"snapshot of {rows:,} organizations, {rows * members:,} members"
    told = {side: f"{spent[side, 'cpu']:.1f} CPU s, {spent[side, 'wall']:.1f} s" for side in ("ours", "bare")}
    return [
        Line(where.label, f"{work} / bare SELECT, CPU", f"{ratio:.2f} ×", f"≤ {GOAL} ×", ratio <= GOAL),
        Line(where.label, f"{work} / bare SELECT, wall", f"{wall:.2f} ×"),
        Line(where.label, work, told["ours"]),
        Line(where.label, "bare SELECT of the same rows", told["bare"]),
        Line(where.label, f"{work}: memory", f"{peak:.0f} MiB", f"≤ {MEMORY_GOAL} MiB", peak <= MEMORY_GOAL),
    ]


if __name__ == "__main__":
    run(__doc__, measure, rows=1_000_000, members=2, pairs=3)
