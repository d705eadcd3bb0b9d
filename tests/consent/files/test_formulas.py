"""CSV injection: a spreadsheet runs no formula from a CSV file that the portal writes."""

import csv
import io
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.files.exports import csv_writer, json_writer
from consent.files.formulas import is_formula, unguarded
from consent.files.tables import open_table

SIGNS = "=+-@"
# All that one of these signs is written as, wide, small, raised or lowered.
SPELLED = [
    chr(code)
    for code in range(0x110000)
    if unicodedata.normalize("NFKC", chr(code))[:1] in {*SIGNS} and unicodedata.category(chr(code)) != "Cs"
]
UNSEEN = [
    chr(code)
    for code in range(0x110000)
    if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zs", "Zl", "Zp"} or chr(code).isspace()
] + ["\u034f", "\u115f", "\u1160", "\u2800", "\u3164", "\uffa0", "\ufe0f", "\U000e0100"]


def cell(text: str) -> str:
    out = io.StringIO()
    csv_writer(out, ["value"])([text])
    [_header, row] = csv.reader(io.StringIO(out.getvalue(), newline=""))
    return row[0]


@given(st.lists(st.sampled_from(UNSEEN), max_size=5), st.sampled_from(SPELLED), st.text())
def test_cell__unseen_then_any_spelling_of_a_sign__begins_with_an_apostrophe(
    before: list[str], sign: str, rest: str
) -> None:
    text = "".join(before) + sign + rest
    assert cell(text) == "'" + text


@given(st.text())
def test_cell__any_text__comes_back_as_it_is_or_behind_one_apostrophe(text: str) -> None:
    guarded = text.startswith("'") or is_formula(text)
    assert cell(text) == ("'" if guarded else "") + text


# Apostrophes, and all that is guarded, more often than chance has them.
@given(st.text(st.one_of(st.sampled_from([*"''=+-@a", *UNSEEN]), st.characters())))
def test_guard__any_text__taken_off_without_doubt(text: str) -> None:
    assert unguarded(cell(text)) == text


@pytest.mark.parametrize("text", ["'Ndrangheta", "'", "'77", "' x", "'(=1)", "Acme", "", "=1+1", "-77"])
def test_guard__what_others_wrote_without_one__left_as_it_is(text: str) -> None:
    assert unguarded(text) == text


@pytest.mark.parametrize(
    "text",
    [" =1+1", "\n=1+1", "\t=1+1", "\r\n=1", "＝1+1", "＋1", "－1", "＠x",
     "\u200b=1", "\ufeff=1", "\xa0=1",
     "\u3000＝1", "\x00=1", "\tx", "\rx"],
)  # fmt: skip
def test_cell__known_ways_past_the_guard__stopped(text: str) -> None:
    assert cell(text) == "'" + text


@pytest.mark.parametrize(
    "text", ["", "Acme", "1=1", "a-b", "é", "(=1)", " Acme", "1 + 1", "…=", "acct-7", "x@y.example"]
)
def test_cell__no_formula__as_it_is(text: str) -> None:
    assert cell(text) == text


LIKE_FORMULAS = ["+4930123456", "-77", "@handle", "=1+1", "'=1+1", "''", "'Ndrangheta", "＝1", "'", "plain"]


@pytest.mark.parametrize("writer", [csv_writer, json_writer])
def test_table_file__what_the_portal_wrote__read_as_it_was(writer: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w", encoding="utf-8", newline="") as out:
        put = writer(out, ["number", "value"])
        for number, text in enumerate(LIKE_FORMULAS):
            put([number, text])
    assert [record.values["value"] for record in open_table(str(path))] == LIKE_FORMULAS


def test_table_file__json_lines__an_apostrophe_is_a_value(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text('{"value": "\'=1"}\n', encoding="utf-8")
    assert [record.values for record in open_table(str(path))] == [{"value": "'=1"}]
