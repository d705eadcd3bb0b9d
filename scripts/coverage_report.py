"""What `make coverage` prints: how many branches of each package the tests took, and where most are left.

Exit code 1 where that are fewer than `fail_under` of pyproject.toml, in per cent.
"""

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from coverage import Coverage

WORST = 8  # files that are named


class Branches(NamedTuple):
    taken: int
    there: int

    @property
    def share(self) -> float:
        """In per cent, rounded down to a tenth, so that 95 is never shown for less."""
        return self.taken * 1000 // self.there / 10 if self.there else 100.0

    def __str__(self) -> str:
        return f"{self.share} % of {self.there} branches"


def measured(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> dict[str, Branches]:
    """File → its branches, of coverage's JSON report."""
    return {
        Path(name).as_posix(): Branches(file["summary"]["covered_branches"], file["summary"]["num_branches"])
        for name, file in report["files"].items()
    }


def by_package(files: dict[str, Branches]) -> dict[str, Branches]:
    sums: dict[str, Branches] = defaultdict(lambda: Branches(0, 0))
    for name, (taken, there) in sorted(files.items()):
        package = name.partition("/")[0]
        sums[package] = Branches(sums[package].taken + taken, sums[package].there + there)
    return dict(sums)


def load(coverage: Coverage) -> dict[str, Branches]:
    """Combines what the processes left in this folder."""
    coverage.combine(strict=True)
    coverage.save()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        coverage.json_report(outfile=str(path))
        return measured(json.loads(path.read_text(encoding="utf-8")))


def main() -> int:
    coverage = Coverage()
    least = float(str(coverage.get_option("report:fail_under")))
    files = load(coverage)
    packages = by_package(files)
    for package, branches in packages.items():
        print(f"Coverage of {package}: {branches}")
    worst = sorted(files, key=lambda name: files[name].taken - files[name].there)[:WORST]
    for name in worst:
        if left := files[name].there - files[name].taken:
            print(f"  {left:4} left in {name}")
    few = [package for package, branches in packages.items() if branches.share < least]
    for package in few:
        print(f"{package}: fewer than {least} % of its branches are tested.", file=sys.stderr)
    return 1 if few or not packages else 0


if __name__ == "__main__":
    sys.exit(main())
