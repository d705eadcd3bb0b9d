"""The table of results that measurements print: one line each, with its goal if it has one."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence

from . import databases


@dataclasses.dataclass(frozen=True)
# One result: which database, what was measured, the value, the goal and whether it was met (None: no goal).
class Line:
    where: str
    what: str
    found: str
    goal: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        verdict = "" if self.met is None else ("met" if self.met else "MISSED")
        return self.where, self.what, self.found, self.goal, verdict


def show(text: str) -> None:
    """Print progress to stderr; stdout has only the table."""
    print(text, file=sys.stderr, flush=True)


def table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table with aligned columns."""
    rows = [("Database", "Work", "Found", "Goal", ""), *(line.cells() for line in lines)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    rows.insert(1, tuple("-" * width for width in widths))
    padded = (
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )
    return "\n".join(padded)


def run(about: str | None, measure: Callable[..., list[Line]], **numbers: int) -> None:
    """The main program of a measurement: on the PostgreSQL of DATABASE_URL, else on SQLite.

    `numbers` are its options with their defaults, which are passed to `measure`.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value:,}")
    options = vars(parser.parse_args())
    url = os.environ.get("DATABASE_URL", "")
    with databases.place(url if url.startswith("postgres") else "") as where:
        print(table(measure(where, **options)))
