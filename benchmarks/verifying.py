"""How long `verify_ledger` takes while many events wait for their position, as after an import or `import_state`.

python -m benchmarks.verifying [--pending 500000]
"""

from . import databases
from .databases import Place
from .tables import Line, run

GOAL = 2_000  # events a second
NAME = "verifying"


def measure(where: Place, pending: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if the ledger does not verify."""
    try:
        url = where.fresh(NAME)
        made = databases.step(url, "sides", "pending", str(pending))["pending"]
        found = databases.step(url, "sides", "verify")
        if found["problems"] or found["pending"] != made:
            raise RuntimeError(f"{found['pending']:,} of {made:,} pending; {found['problems']}")
    finally:
        where.drop(NAME)
    rate = made / found["seconds"]
    work = f"verify {made:,} pending events"
    return [
        Line(where.label, work, f"{found['seconds']:.1f} s, {rate:,.0f}/s", f"≥ {GOAL:,}/s", rate >= GOAL),
        Line(where.label, f"{work}: memory", f"{found['peak']:.0f} MiB"),
    ]


if __name__ == "__main__":
    run(__doc__, measure, pending=500_000)
