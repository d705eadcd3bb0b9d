"""Importing organizations from a CSV file with the command, compared with COPY of the same rows into the same tables.

    python -m benchmarks.imports [--rows 1000000] [--pairs 1]

Both sides fill empty, migrated databases. COPY reads the rows that an import wrote, in PostgreSQL's own format: it
parses no CSV, validates nothing, and has all ids and events already. On PostgreSQL only, because SQLite has no COPY.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql

from . import databases
from .databases import Place
from .load import OPERATORS
from .tables import Line, run, show

GOAL, MEMORY_GOAL = 3.0, 300  # ×, MiB
TABLES = (
    "accounts_organization",
    "accounts_binding",
    "accounts_subscription",
    "consent_consentevent",
    "consent_privacysetting",
)
COUNTRIES = ("FR", "DE", "ES", "IT", "PL", "")
OPTIONS = ("--map", "name=Company", "--map", "external_id=Account", "--map", "country=Country", "--map")


def measure(where: Place, rows: int, pairs: int) -> list[Line]:
    """The lines of the table. Raises RuntimeError if a side fails."""
    if where.label != "PostgreSQL":
        raise RuntimeError("this wants a PostgreSQL: DATABASE_URL=postgresql://…")
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as name:
        folder = Path(name)
        write_file(folder / "accounts.csv", rows)
        taken = [_pair(where, folder, n, rows) for n in range(pairs)]
    ratio = statistics.median(ours / bare for ours, bare, _peak in taken)
    ours, bare = (statistics.median(each[n] for each in taken) for n in (0, 1))
    peak = max(each[2] for each in taken)
    work = f"import {rows:,}"
    return [
        Line(where.label, f"{work}: command / COPY", f"{ratio:.2f} ×", f"≤ {GOAL} ×", ratio <= GOAL),
        Line(where.label, f"{work}: command", f"{ours:.1f} s, {rows / ours:,.0f} rows/s"),
        Line(where.label, f"{work}: COPY of the same rows", f"{bare:.1f} s, {rows / bare:,.0f} rows/s"),
        Line(where.label, f"{work}: memory", f"{peak:.0f} MiB", f"< {MEMORY_GOAL} MiB", peak < MEMORY_GOAL),
    ]


def write_file(path: Path, rows: int) -> None:
    """Write a CSV of accounts; every tenth of them is opted out."""
    with path.open("w") as out:
        out.write("Company,Account,Country,Training\n")
        for n in range(rows):
            out.write(f"Company {n},account-{n},{COUNTRIES[n % 6]},{'opted_out' if n % 10 == 0 else ''}\n")


def _pair(where: Place, folder: Path, n: int, rows: int) -> tuple[float, float, float]:
    """Seconds of the command, seconds of COPY, and the command's peak memory in MiB. The order alternates with `n`."""
    with databases.existing(where, "imported") as url, databases.existing(where, "copied") as other:
        for each in (url, other):
            databases.step(each, "sides", "empty")
        if n % 2 == 0:
            ours, peak = _import(url, folder / "accounts.csv")
        else:  # COPY goes first, so another import has to write its rows before
            with databases.existing(where, "before") as before:
                databases.step(before, "sides", "empty")
                _import(before, folder / "accounts.csv")
                _copy_out(before, folder)
            bare = _copy_in(other, folder)
            ours, peak = _import(url, folder / "accounts.csv")
        if n % 2 == 0:
            _copy_out(url, folder)
            bare = _copy_in(other, folder)
        for each in (url, other):
            if databases.step(each, "sides", "count")["organizations"] != rows:
                raise RuntimeError("not every row has come in")
    show(f"{where.label}, pair {n + 1}: command {ours:.1f} s, COPY {bare:.1f} s")
    return ours, bare, peak


def _import(url: str, path: Path) -> tuple[float, float]:
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    process = databases.start(
        url, "manage.py", "import_organizations", str(path), *OPTIONS, "choice=Training",
        "--plan", "le_chat_free", "--actor", OPERATORS[0], errors=subprocess.DEVNULL,
    )  # fmt: skip
    process.communicate()
    if process.returncode:
        raise RuntimeError(f"the import ended with {process.returncode}")
    # ru_maxrss is the peak of all child processes so far; the import is the largest of them.
    return time.perf_counter() - begun, max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def _copy_out(url: str, folder: Path) -> None:
    with psycopg.connect(url) as connection:
        for table in TABLES:
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
            with (folder / table).open("wb") as out, connection.cursor().copy(statement) as copy:
                for piece in copy:
                    out.write(piece)


def _copy_in(url: str, folder: Path) -> float:
    begun = time.perf_counter()
    with psycopg.connect(url) as connection:
        for table in TABLES:
            statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
            with (folder / table).open("rb") as source, connection.cursor().copy(statement) as copy:
                while piece := source.read(1 << 18):
                    copy.write(piece)
    return time.perf_counter() - begun


if __name__ == "__main__":
    try:
        run(__doc__, measure, rows=1_000_000, pairs=1)
    except RuntimeError as error:
        sys.exit(str(error))
