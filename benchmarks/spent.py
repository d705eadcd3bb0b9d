"""Where the time of one decision goes, in a process that answers nothing else.

    python -m benchmarks.spent [--rows 10000] [--questions 2000]

The whole is measured alone; the shares of the CPU time come from a profiler, which makes calls of Python slower than
those of C. What is no CPU time of the process is the wait for the database. The server before it (its event loop, HTTP)
is not part of this: see `benchmarks.questions`.
"""

import json
import subprocess

from . import databases
from .databases import Place
from .tables import Line, run


def measure(where: Place, rows: int, questions: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if a step fails."""
    with databases.existing(where, "spent") as url:
        databases.step(url, "sides", "loaded", str(rows), "2")
        made = databases.step(url, "asked", str(questions))
        process = databases.start(url, "-m", "benchmarks.spending", str(questions), stdin=subprocess.PIPE)
        out, _ = process.communicate(json.dumps(made))
        if process.returncode:
            raise RuntimeError(f"benchmarks.spending ended with {process.returncode}")
    found = json.loads(out)
    wall, cpu = (found[name] * 1e6 for name in ("wall", "cpu"))
    return [
        Line(where.label, "one decision, without the server", f"{wall:.0f} µs"),
        Line(where.label, "of it waiting for the database", f"{wall - cpu:.0f} µs"),
        Line(where.label, "of it CPU of the process", f"{cpu:.0f} µs"),
        *(
            Line(where.label, f"of the CPU: {name}", f"{share:.0%}, {share * cpu:.0f} µs")
            for name, share in found["parts"].items()
        ),
    ]


if __name__ == "__main__":
    run(__doc__, measure, rows=10_000, questions=2_000)
