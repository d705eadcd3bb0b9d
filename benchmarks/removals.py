"""What has to go from a run after many opt-outs, compared with joining all of its data with all consent again.

    python -m benchmarks.removals [--rows 1000000] [--members 2] [--outs 100000] [--records 5000000] [--pairs 3]

Ours finds the entries in the ledger, writes them as Parquet, and applies them to the run's records in DuckDB. The bare
side has a snapshot of all organizations and members as Parquet already, and joins the records with both tables in
DuckDB, by hand-written SQL. Both say which records stay, and must agree. What counts is CPU seconds, the database
server's included.
"""

import tempfile

from . import databases, pairs
from .databases import Place
from .tables import Line, run

GOAL, MEMORY_GOAL = 2.0, 1_200  # ×, MiB
NAME = "removals"


def measure(where: Place, rows: int, members: int, outs: int, records: int, **rest: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if a side fails, or the sides don't keep the same records."""
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as directory:
        try:
            url = where.fresh(NAME)
            databases.step(url, "sides", "loaded", str(rows), str(members))
            databases.step(url, "removing", "prepared", directory, str(outs), str(records))
            taken = pairs.alternate(
                where, rest["pairs"], lambda side: databases.step(url, "removing", side, directory), "kept"
            )
        finally:
            where.drop(NAME)
    work = f"removals after {outs:,} opt-outs among {rows:,}, from {records:,} records"
    finding = f"{pairs.median(taken, 'ours', 'finding'):.2f} CPU s"
    return [
        *pairs.lines(where, taken, work, "full join in DuckDB", goal=GOAL, memory_goal=MEMORY_GOAL),
        Line(where.label, "of the removals: finding and writing the entries", finding),
    ]


if __name__ == "__main__":
    run(__doc__, measure, rows=1_000_000, members=2, outs=100_000, records=5_000_000, pairs=3)
