"""A table with every kind of odd row: each is named, by row and column, and all others are imported."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from accounts.models import Organization
from consent import verification
from tests.consent.imports import odd_rows
from tests.support.commands import choices_of
from tests.support.factories import ActorFactory
from tests.support.imports import importer

pytestmark = pytest.mark.django_db
TOLD = re.compile(r"row (\d+)(?:, column (\w+))?:? ?(.*)", re.DOTALL)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_import__twelve_kinds_of_odd_rows__each_named_and_the_others_written(form: str, tmp_path: Path) -> None:
    ActorFactory(of_commands=True)
    kinds = len(odd_rows.KINDS) + len(odd_rows.IN_CSV if form == "csv" else odd_rows.IN_JSON)
    made = list(odd_rows.lines(form, 2 * kinds * odd_rows.EVERY))
    first = 2 if form == "csv" else 1
    text = (",".join(odd_rows.COLUMNS) + "\n" if form == "csv" else "") + "\n".join(line for line, _odd in made)
    load = importer("import_organizations", tmp_path)
    result = load(text.encode("utf-8", "surrogatepass"), *odd_rows.OPTIONS, "--skip-bad", name=f"file.{form}")
    odd = {row: each for row, (_line, each) in enumerate(made, start=first) if each}
    assert (result.code, result.json["bad"]) == (0, len(odd)), result.err
    told: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for each in result.json["bad_rows"]:
        row, column, what = TOLD.fullmatch(each).groups()  # type: ignore[union-attr]
        told[int(row)].append((column or "", what))
    assert {row: tuple(sorted(column for column, _what in found)) for row, found in told.items()} == {
        row: each.columns for row, each in odd.items()
    }
    assert {row for row, each in odd.items() if not any(each.told in what for _column, what in told[row])} == set()
    assert result.json["created"] == Organization.objects.count() == len(made) - len(odd)
    out = {f"kv-{number}" for number in range(1, len(made) + 1) if number % 3 == 0 and number % odd_rows.EVERY}
    assert {external_id for external_id, choice in choices_of("le_chat").items() if choice == "opted_out"} == out
    assert not Organization.objects.filter(name__regex="[\u200e\u200f]").exists()
    assert verification.verify().problems == []
