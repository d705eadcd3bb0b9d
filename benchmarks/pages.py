"""Every list and dashboard page with a million organizations and two million members, compared with ten thousand.

Requests the same pages, as the same users, on both databases in turn. The result is the median ratio of each page.
"""

import statistics
import sys

from . import databases
from .databases import Place
from .tables import Line, run, show

GOAL = 1.5
MEMBERS = 2


def measure(where: Place, rows: int, large: int, pairs: int) -> list[Line]:
    with databases.existing(where, "small") as small, databases.existing(where, "large") as big:
        for url, number in ((small, rows), (big, large)):
            show(f"{where.label}: loading {number:,} organizations of {MEMBERS} members …")
            databases.step(url, "sides", "loaded", str(number), str(MEMBERS))
            told = databases.step(url, "looking", "rollup")
            show(f"{where.label}: summed up {told['events']:,} events in {told['seconds']} s")
        rounds = []
        for number in range(pairs):
            one, other = databases.step(small, "looking", "pages"), databases.step(big, "looking", "pages")
            rounds.append((one, other))
            show(f"{where.label}, round {number + 1} of {pairs}")
    return [_line(where, page, rounds) for page in rounds[0][0]]


def _line(
    where: Place, page: str, rounds: list[tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]]
) -> Line:
    ratio = statistics.median(large[page]["ms"] / small[page]["ms"] for small, large in rounds)
    small, large = (statistics.median(each[n][page]["ms"] for each in rounds) for n in (0, 1))
    queries = {each[page]["queries"] for pair in rounds for each in pair}
    # Neither may the number of queries grow with the database. A search counts the rows of up to four words once more
    # where all of them are common.
    same = max(queries) - min(queries) <= 4
    found = f"{ratio:.2f} × ({small:.0f} → {large:.0f} ms, {'/'.join(f'{q:.0f}' for q in sorted(queries))} queries)"
    return Line(where.label, page, found, f"≤ {GOAL} ×", ratio <= GOAL and same)


if __name__ == "__main__":
    try:
        run(__doc__, measure, rows=10_000, large=1_000_000, pairs=3)
    except RuntimeError as error:
        sys.exit(str(error))
