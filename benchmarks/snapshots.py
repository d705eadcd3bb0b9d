"""Exporting a snapshot, compared with reading the same rows from the stored states by a bare cursor.

    python -m benchmarks.snapshots [--rows 1000000] [--members 2] [--pairs 3]

The snapshot replays the ledger and writes signed Parquet; the bare side reads rows and throws them away. Both alternate
on one database, each in a process of its own. What counts is CPU seconds, the database server's included.
"""

from . import databases, pairs
from .databases import Place
from .tables import Line, run

GOAL, MEMORY_GOAL = 4.0, 400  # ×, MiB
NAME = "snapshots"


def measure(where: Place, rows: int, members: int, **rest: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if a side fails, or the sides have not the same number of rows."""
    try:
        url = where.fresh(NAME)
        databases.step(url, "sides", "loaded", str(rows), str(members))
        taken = pairs.alternate(where, rest["pairs"], lambda side: databases.step(url, "snapping", side), "rows")
    finally:
        where.drop(NAME)
    work = f"snapshot of {rows:,} organizations, {rows * members:,} members"
    return pairs.lines(where, taken, work, "bare SELECT", goal=GOAL, memory_goal=MEMORY_GOAL)


if __name__ == "__main__":
    run(__doc__, measure, rows=1_000_000, members=2, pairs=3)
