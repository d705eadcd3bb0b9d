"""Crash test: kills workers at random moments, and checks that no change is lost and none is made twice.

    python -m benchmarks.drill [--kills 100] [--rows 20000] [--seed N]

Runs on SQLite, and also on PostgreSQL if DATABASE_URL names one; the kills are divided between them. Exit code 1 on
any problem.
"""

import argparse
import os
import random
import sys

from . import databases
from .databases import Place

NAME = "drill"


def drill(where: Place, kills: int, rows: int, seed: int) -> int:
    """Run the drill on one database, and print its progress. Returns an exit code."""
    print(f"== {where.label}: {kills} kills, jobs of {rows:,} organizations, --seed {seed}", flush=True)
    with databases.existing(where, NAME) as url:
        databases.step(url, "sides", "loaded", str(rows))
        process = databases.start(url, "-m", "benchmarks.drilling", str(kills), str(seed), piped=False)
        try:
            return process.wait()
        finally:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all (default 100)")
    parser.add_argument("--rows", type=int, default=20_000, help="of each job (default 20,000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    url = os.environ.get("DATABASE_URL", "")
    urls = ["", url] if url.startswith("postgres") else [""]
    codes = []
    for n, each in enumerate(urls):
        kills = options.kills // len(urls) + (n < options.kills % len(urls))
        with databases.place(each) as where:
            codes.append(drill(where, kills, options.rows, options.seed))
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
