"""What has to go from a run after many opt-outs, compared with joining all of its data with all consent again.

    python -m benchmarks.removals [--rows 1000000] [--members 2] [--outs 100000] [--records 5000000] [--pairs 3]

Ours finds the entries in the ledger, writes them as Parquet, and applies them to the run's records in DuckDB. The bare
side has a snapshot of all organizations and members as Parquet already, and joins the records with both tables in
DuckDB, by hand-written SQL. Both say which records stay, and must agree. What counts is CPU seconds, the database
server's included.
"""

import statistics
import tempfile

from . import databases
from .databases import Place
from .tables import Line, run, show

GOAL, MEMORY_GOAL = 2.0, 1_200  # ×, MiB
NAME = "removals"


def measure(where: Place, rows: int, members: int, outs: int, records: int, pairs: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if a side fails, or the sides don't keep the same records."""
    taken = []
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as directory:
        try:
            url = where.fresh(NAME)
            databases.step(url, "sides", "loaded", str(rows), str(members))
            databases.step(url, "removing", "prepared", directory, str(outs), str(records))
            for n in range(pairs):
                order = ("ours", "bare") if n % 2 == 0 else ("bare", "ours")
                pair = {side: databases.step(url, "removing", side, directory) for side in order}
                if pair["ours"]["kept"] != pair["bare"]["kept"]:
                    raise RuntimeError(f"{pair['ours']['kept']} are not {pair['bare']['kept']}")
                show(f"{where.label}, pair {n + 1}: {pair['ours']['cpu']:.2f}, bare {pair['bare']['cpu']:.2f} CPU s")
                taken.append(pair)
        finally:
            where.drop(NAME)
    ratio, wall = (
        statistics.median(pair["ours"][what] / pair["bare"][what] for pair in taken) for what in ("cpu", "wall")
    )
    spent = {what: statistics.median(pair["ours"][what] for pair in taken) for what in ("cpu", "wall", "finding")}
    bare = {what: statistics.median(pair["bare"][what] for pair in taken) for what in ("cpu", "wall")}
    peak = max(pair["ours"]["peak"] for pair in taken)
    work = f"removals after {outs:,} opt-outs among {rows:,}, from {records:,} records"
    return [
        Line(where.label, f"{work} / full join in DuckDB, CPU", f"{ratio:.2f} ×", f"≤ {GOAL} ×", ratio <= GOAL),
        Line(where.label, f"{work} / full join in DuckDB, wall", f"{wall:.2f} ×"),
        Line(where.label, work, f"{spent['cpu']:.2f} CPU s, {spent['wall']:.2f} s"),
        Line(where.label, "of that: finding and writing the entries", f"{spent['finding']:.2f} CPU s"),
        Line(where.label, "full join in DuckDB", f"{bare['cpu']:.2f} CPU s, {bare['wall']:.2f} s"),
        Line(where.label, f"{work}: memory", f"{peak:.0f} MiB", f"≤ {MEMORY_GOAL} MiB", peak <= MEMORY_GOAL),
    ]


if __name__ == "__main__":
    run(__doc__, measure, rows=1_000_000, members=2, outs=100_000, records=5_000_000, pairs=3)
