"""The decision records: numbered, indexed, complete, and with figures that are in operations.md too."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
RECORDS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
INDEX = (DOCS / "decisions/README.md").read_text(encoding="utf-8")
PARTS = ["Context", "Decision", "Measurement", "Consequences"]
# What a measurement says with a unit: 0.22 ×, 2,536/s, 46 ms, 78 MiB, 54,000 rows/s, 16 queries.
FIGURE = re.compile(r"\d[\d.,]* ?(?:×|ms|MiB|KiB|/s|s\b|rows/s|queries|events|organizations|members)")


def test_records__are_numbered_without_a_gap__and_all_in_the_index() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
    assert len(RECORDS) >= 10
    listed = re.findall(r"^\| \[(\d+)\]\(([^)]+)\) \| (.+) \|$", INDEX, re.MULTILINE)
    expected = [(str(n), record.name, title(record)) for n, record in enumerate(RECORDS, start=1)]
    assert listed == expected


def title(record: Path) -> str:
    return record.read_text(encoding="utf-8").splitlines()[0].partition(". ")[2]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_record__has_its_number_status_and_parts__and_is_short(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(record.name[:4])}. ")
    assert re.search(r"^Status: (in force|replaced by \[\d+\]\(.+\))\.$", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_record__its_figures__are_those_of_operations(record: Path) -> None:
    measured = (DOCS / "operations.md").read_text(encoding="utf-8")
    text = record.read_text(encoding="utf-8").partition("## Measurement")[2].partition("## Consequences")[0]
    known = {re.sub(r"\s+", " ", each) for each in FIGURE.findall(measured)}
    assert [figure for figure in FIGURE.findall(text) if re.sub(r"\s+", " ", figure) not in known] == []
