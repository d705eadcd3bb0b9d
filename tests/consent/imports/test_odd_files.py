"""Real-life files: odd characters, separators, encodings, JSON; invalid rows are named, and the others are read."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent import ledger
from consent.files.atomic import BadFile
from consent.files.encodings import CHOICES, find_encoding
from consent.files.tables import CsvFile, FileRow, JsonLinesFile, Reading, TableFile, open_table, parse_separator
from consent.imports.fields import ImportPlan
from consent.imports.parsing import Parser

Make = Callable[[bytes | str], str]
GOOD = {"Name": "Kvasir, Two", "Id": "kv-200"}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(data: bytes | str) -> str:
        path = tmp_path / "file"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)

    return write


def values(file: TableFile) -> list[dict[str, str]]:
    assert [record.problem for record in file if record.problem] == []
    return [record.values for record in file]


# --- Quotes, headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        'Name, Id\n"Kvasir, Two", "kv-200"\n',
        'Name,Id\n "Kvasir, Two",   "kv-200"\n',
        'Name,Id\n"Kvasir, Two" ,"kv-200" \n',
        '"Name", "Id"\n"Kvasir, Two"\t, kv-200\n',
        'Name\tId\n "Kvasir, Two"\t "kv-200" \n',
        'Name;Id;\n"Kvasir, Two" ; "kv-200" ;\n',
        '\ufeffName\u200b,I\u00add\n"Kvasir, Two",kv-200\n',
    ],
    ids=ascii,
)
def test_csv__space_around_quotes_and_unseen_in_the_header__no_part_of_the_value(make: Make, text: str) -> None:
    assert values(CsvFile(make(text))) == [GOOD]


def test_csv__spaced_quotes_over_several_lines__row_after_it_counted_right(make: Make) -> None:
    [one, two] = CsvFile(make('A,B\n"a ""b""\nc" , "d"\ne,f\n'))
    assert (one.row, one.values, two.row) == (2, {"A": 'a "b"\nc', "B": "d"}, 4)


@pytest.mark.parametrize("row", ['"Best" Company,2', ' "Best" Company,2', '1,"2""', 'a,"b\nc'], ids=ascii)
def test_csv__quotes_that_fit_nothing__file_refused_and_row_named(make: Make, row: str) -> None:
    with pytest.raises(BadFile, match=r"^row 3: "):
        list(CsvFile(make(f"A,B\n1,2\n{row}\n3,4\n")))


@pytest.mark.parametrize("again", ["Name,Id", '"Name", "Id"', "\ufeffName,Id", " Name ,Id,,"], ids=ascii)
def test_csv__header_once_more__bad_row(make: Make, again: str) -> None:
    found = list(CsvFile(make(f"Name,Id\nA,1\n{again}\nB,2\n")))
    assert [(record.row, bool(record.problem)) for record in found] == [(2, False), (3, True), (4, False)]
    assert "repeats the first line" in found[1].problem


# --- Separators -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("Name, legal;Country, ISO;External ID\nAcme;FR;sg-1\nBeta;DE;sg-2\n", ";"),
        ("Name, legal, short\tId\nA, B\t1\n", "\t"),
        ("Name|Id\nA, B, C|1\nD, E, F|2\n", "|"),
        ("Name,Id\nA; B; C,1\n", ","),
        ("Name;Id,x\n1;2\n3;4\n", ";"),
        ("Name;Id,x\n1,2\n3,4\n", ","),
        ("Name,Id\n", ","),
        ("Name\nKvasir\nBrage\n", ","),
        ("Name\nKvasir, Labs\nBrage\n", ";"),
        ("Name\nKvasir;kv-1\nBrage;kv-2\n", ";"),
        ("Name\nKvasir\tkv-1\nBrage\tkv-2\n", "\t"),
        ("sep=;\nA;B,C\n1;2\n", ";"),
        ('"sep=|"\nA|B,C\n1|2\n', "|"),
        ("SEP=\t\r\nA\tB,C\r\n1\t2\r\n", "\t"),
    ],
    ids=ascii,
)
def test_separator__told_from_header_and_rows(make: Make, text: str, separator: str) -> None:
    path = make(text)
    assert CsvFile(path).separator == separator
    assert CsvFile(path, separator="|").separator == "|"


def test_separator__one_column_and_rows_of_more__bad_rows_and_no_values_with_separators_in_them(make: Make) -> None:
    assert [bool(record.problem) for record in CsvFile(make("Name\nKvasir;kv-1\nBrage;kv-2\n"))] == [True, True]


@pytest.mark.parametrize(("text", "meant"), [("", ""), ("tab", "\t"), ("\\t", "\t"), ("Semicolon", ";"), ("~", "~")])
def test_parse_separator__names_and_characters__meant(text: str, meant: str) -> None:
    assert parse_separator(text) == meant


@pytest.mark.parametrize("text", ["::", '"', "\n", "\u200b", "\x00", "comma "], ids=ascii)
def test_parse_separator__what_is_none__refused(text: str) -> None:
    with pytest.raises(BadFile, match="no separator"):
        parse_separator(text)


# --- Encodings --------------------------------------------------------------------------------------------------------

CYRILLIC = "Имя,Id\n" + "Квасир и сыновья,1\nБраге,2\n" * 4


@pytest.mark.parametrize("encoding", CHOICES)
def test_encoding__named__read(make: Make, encoding: str) -> None:
    text = "Name,Id\nA,1\n"
    for letters in ("é", "ж", "漢", "한", "λ", "ğ", "ש", "ع"):
        try:
            data = (text + f"{letters},2\n").encode(encoding)
        except UnicodeEncodeError:
            continue
        found = open_table(make(data), Reading(encoding))
        assert values(found)[1] == {"Name": letters, "Id": "2"} and not found.encoding.doubtful


@pytest.mark.parametrize(
    ("data", "encoding", "doubtful"),
    [
        (CYRILLIC.encode("utf-16"), "utf-16", False),
        (CYRILLIC.encode("utf-16-le"), "utf-16-le", True),
        (CYRILLIC.encode("utf-16-be"), "utf-16-be", True),
        (CYRILLIC.encode("utf-32"), "utf-32", False),
        ("Name,Id\nA,1\n".encode("utf-16-le"), "utf-16-le", False),
        (CYRILLIC.encode(), "utf-8", False),
        (CYRILLIC.encode("cp1251"), "cp1252", True),
        (b"Name,Id\nA\x00,1\nB\x00\x00\x00,2\n", "utf-8", False),
        (b"Name,Id\n" + b"\x00" * 20, "utf-8", False),
        (b"Name,Id\n" + b"name\x00,idx\x00,\n" * 20, "utf-8", False),
    ],
)
def test_encoding__told_from_bytes__doubt_said(make: Make, data: bytes, encoding: str, doubtful: bool) -> None:
    found = find_encoding(make(data), None)
    assert (found, found.doubtful) == (encoding, doubtful)


@pytest.mark.parametrize("named", ["shift_jis", "SHIFT-JIS", "cp932"])
def test_encoding__shift_jis__with_the_characters_that_windows_adds(make: Make, named: str) -> None:
    data = "Name,Id\n髙島①,1\n".encode("cp932")
    assert values(open_table(make(data), Reading(named))) == [{"Name": "髙島①", "Id": "1"}]


@pytest.mark.parametrize("named", ["klingon", "rot13", "base64", "hex", "a\x00b", "\ud800", "uu"], ids=ascii)
def test_encoding__what_is_none__refused(make: Make, named: str) -> None:
    with pytest.raises(BadFile, match="no encoding"):
        open_table(make("A\n1\n"), Reading(named))


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"%PDF-1.7", b"\xd0\xcf\x11\xe0\xa1\xb1"])
def test_file__of_a_program__refused_with_what_to_do(make: Make, start: bytes) -> None:
    with pytest.raises(BadFile, match="Save its table as CSV"):
        open_table(make(start + b"\x00" * 100))


# --- JSON Lines -------------------------------------------------------------------------------------------------------

LINES = '{"Name": "Kvasir, Two", "Id": "kv-200"}\n{"Name": "Æ", "Id": 7}\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_lines__any_encoding__read(make: Make, encoding: str) -> None:
    found = open_table(make(LINES.encode(encoding)))
    assert isinstance(found, JsonLinesFile)
    assert values(found) == [GOOD, {"Name": "Æ", "Id": "7"}]


@pytest.mark.parametrize(
    "text",
    ['[{"Name": "A"}]', '\ufeff [\n  {"Name": "A"}\n]', "[]", '["Name", "Id"]\n["A", "1"]\n', "[[1]]"],
    ids=ascii,
)
def test_json__array__said_what_it_is(make: Make, text: str) -> None:
    with pytest.raises(BadFile, match="one JSON array"):
        open_table(make(text))
    assert open_table(make("[Name],[Id]\nA,1\n")).columns == ["[Name]", "[Id]"]


BAD_LINES = [
    ('{"Name": ' + "[" * 10_000 + "]" * 10_000 + "}", "nested too deep"),
    ('{"Name": "A", "Name": "B"}', "appears twice"),
    ('{"Name": "A"', "ends too early"),
    ('[{"Name": "A"}]', "no JSON object"),
    ('"Name"', "no JSON object"),
    ("Name,Id", "no JSON"),
    ('{"Name": "A", "Note": 1, "x": 2}', "“Note”, “x”"),
    ('{"Name": "A", "Na\\u200bme": "B"}', "look the same"),
    ('{"Name": "\x00"}', "no JSON"),
]


@pytest.mark.parametrize(("line", "told"), BAD_LINES, ids=[told for _line, told in BAD_LINES])
def test_json_lines__line_that_can_not_be_read__bad_and_the_others_go_on(make: Make, line: str, told: str) -> None:
    found = list(open_table(make(f'{{"Name": "A", "Id": "1"}}\n{line}\n{{"Name": "B", "Id": "2"}}\n')))
    assert [record.row for record in found] == [1, 2, 3] and [bool(record.problem) for record in found] == [0, 1, 0]
    assert told in found[1].problem


BAD_VALUES = ["[1]", '{"a": 1}', "1.5", "1e400", "-1e5", "NaN", "Infinity", "[" * 900 + "]" * 900]


@pytest.mark.parametrize("value", BAD_VALUES, ids=lambda value: value[:10])
def test_json_lines__value_that_is_no_text__named_by_its_column(make: Make, value: str) -> None:
    [record] = open_table(make(f'{{"Name": "A", "Id": {value}, "Other": {value}}}\n'))
    assert set(record.faults) == {"Id", "Other"} and record.values["Name"] == "A"
    assert "no text" in record.problem_with("Id") and not record.problem_with("Name")


@pytest.mark.parametrize("number", ["7", "-7", "12345678901234567890123", "1" * 5_000], ids=lambda text: text[:8])
def test_json_lines__whole_number__as_it_is_written(make: Make, number: str) -> None:
    assert values(open_table(make(f'{{"Id": {number}, "b": true, "n": null}}\n'))) == [
        {"Id": number, "b": "true", "n": ""}
    ]


def test_json_lines__halves_of_characters__kept_for_the_row_to_be_refused_and_columns_without(make: Make) -> None:
    [record] = open_table(make(json.dumps({"Na\ud83dme": "A\ud83d"}) + "\n"))
    assert record.values == {"Name": "A\ud83d"}


# --- Anything at all --------------------------------------------------------------------------------------------------

CELL = st.text(st.characters(codec=None), max_size=6) | st.sampled_from(
    ['"', '""', ' "a"', "=1", "'", "\ufeff", "null", "{}", "[", "1e400", "\x00", "\ud83d", "opted_out", "2025-01-01"]
)
TABLES = {
    "organizations": ImportPlan("organizations", {"name": "a", "external_id": "b", "country": "a", "since": "b"}),
    "members": ImportPlan("members", {"organization": "a", "email": "b", "role": "a", "left_at": "b"}),
    "subscriptions": ImportPlan("subscriptions", {"organization_external_id": "a", "plan": "b", "ended_at": "b"}),
    "choices": ImportPlan(
        "choices", {"organization": "a", "member": "b", "product": "a", "choice": "b", "closed": "a"}
    ),
}


@pytest.mark.django_db
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_file__of_anything__read_row_by_row_or_refused_as_a_whole(make: Make, data: st.DataObject) -> None:
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    separator = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    if data.draw(st.booleans()):
        rows = data.draw(st.lists(st.lists(CELL, min_size=1, max_size=3), max_size=5))
        text = end.join([separator.join("ab"), *map(separator.join, rows)])
    else:
        values = CELL | st.none() | st.booleans() | st.integers() | st.floats() | st.lists(st.integers(), max_size=1)
        found = data.draw(st.lists(st.dictionaries(st.sampled_from("ab"), values), max_size=5))
        text = end.join(map(json.dumps, [{"a": "", "b": ""}, *found]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-8-sig"]))
    raw = data.draw(st.binary(max_size=3)) if data.draw(st.integers(0, 9)) == 0 else b""
    records: list[FileRow] = []
    with suppress(BadFile):
        records += open_table(make(text.encode(encoding, "surrogatepass") + raw))
    for plan in TABLES.values():
        parser = Parser(plan, ledger.clock())
        for record in records:
            if not set(plan.columns.values()) <= set(record.values) and not record.problem:
                continue  # the header was another one
            row, problems = parser.parse(record)
            assert row is not None or problems
            assert all("\x00" not in text and text.encode() is not None for each in problems for text in each[1:])
            if row is not None and not row.unread:
                assert not problems
                "".join(map(str, row)).encode()
