import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from consent.files.atomic import BadFile
from consent.files.tables import CsvFile, MissingColumn

Make = Callable[[bytes], str]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(data: bytes) -> str:
        path = tmp_path / "file.csv"
        path.write_bytes(data)
        return str(path)

    return write


def _values(file: CsvFile) -> list[tuple[int, dict[str, str]]]:
    assert all(not record.problem for record in file)
    return [(record.row, record.values) for record in file]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_file__encodings_separators_line_ends__same_values(
    make: Make, encoding: str, separator: str, end: str
) -> None:
    text = end.join([f" Name {separator}Id ", f" Université d’Évry {separator} x1", f"B{separator}y"]) + end
    file = CsvFile(make(text.encode(encoding)), wanted=["Name", "Id"])
    assert _values(file) == [(2, {"Name": "Université d’Évry", "Id": "x1"}), (3, {"Name": "B", "Id": "y"})]


def test_csv_file__quoted_newlines_and_blank_lines__row_is_the_line_it_starts_on(make: Make) -> None:
    file = CsvFile(make(b'A,B\r\n"x\r\ny",1\r\n\r\n ,\r\nz,"2 ""q"""\r\n'))
    assert _values(file) == [(2, {"A": "x\r\ny", "B": "1"}), (6, {"A": "z", "B": '2 "q"'})]


def test_csv_file__separator_line_of_a_spreadsheet__skipped_and_counted(make: Make) -> None:
    assert _values(CsvFile(make(b"sep=;\r\nA;B,C\r\n1;2\r\n"))) == [(3, {"A": "1", "B,C": "2"})]


def test_csv_file__commas_in_values_of_semicolon_file__separator_found_by_wanted_columns(make: Make) -> None:
    data = b"Name, legal, short;Id\nA, B;1\n"
    assert CsvFile(make(data), wanted=["Id"]).columns == ["Name, legal, short", "Id"]


def test_csv_file__separator_at_line_ends__no_column(make: Make) -> None:
    assert _values(CsvFile(make(b"A;B;\n1;2;\n"))) == [(2, {"A": "1", "B": "2"})]


@pytest.mark.parametrize("line", [b"1", b"1,2,3"])
def test_csv_file__too_few_or_too_many_values__record_has_a_problem(make: Make, line: bytes) -> None:
    [bad, good] = CsvFile(make(b"A,B\n" + line + b"\n3,4\n"))
    assert (bad.row, bad.values) == (2, {})
    assert "2 columns" in bad.problem
    assert (good.row, good.values) == (3, {"A": "3", "B": "4"})


def test_csv_file__read_twice__same(make: Make) -> None:
    file = CsvFile(make(b"A\n1\n"))
    assert list(file) == list(file)


def test_csv_file__uppercase_accents_in_quotation_marks__western(make: Make) -> None:
    file = CsvFile(make("Name\n«CAFÉ»\nÀ côté\n".encode("cp1252")))
    assert [record.values["Name"] for record in file] == ["«CAFÉ»", "À côté"]


def test_csv_file__named_encoding__used(make: Make) -> None:
    file = CsvFile(make("Name\nŁódź\n".encode("iso8859-2")), encoding="iso8859-2")
    assert [record.values["Name"] for record in file] == ["Łódź"]


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (b"", None, "empty"),
        (b"\n\nA\n", None, "empty"),
        (b"A,A\n1,2\n", None, "Two columns are named “A”"),
        ("é\né\né\n".encode() + b"\xe9\n", None, "line 4, where there is a byte 0xe9"),
        (b"A\n\x81\n", None, "not cp1252"),
        (b"A\n1\n", "klingon", "no encoding “klingon”"),
        (b"A\n\xff\n", "utf-8", "The file is not utf-8"),
        (b'"A\n1\n', None, "row 1"),
    ],
)
def test_csv_file__unreadable__says_why(make: Make, data: bytes, encoding: str | None, message: str) -> None:
    with pytest.raises(BadFile, match=message):
        CsvFile(make(data), encoding=encoding)


@pytest.mark.parametrize(("data", "row"), [(b'A,B\n1,2\n3,"4\n5,6\n', 3), (b'A,B\n"1"x,2\n3,4\n', 2)])
def test_csv_file__quotes_that_do_not_fit__row_named(make: Make, data: bytes, row: int) -> None:
    with pytest.raises(BadFile, match=f"^row {row}: "):
        list(CsvFile(make(data)))


def test_csv_file__absent__says_so(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="No such file"):
        CsvFile(str(tmp_path / "absent.csv"))


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"\xff\xff" + data[22:]])
def test_csv_file__gzip_cut_off_or_damaged__says_so(make: Make, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadFile, match="damaged or incomplete"):
        list(CsvFile(make(damage(gzip.compress(b"Name,Id\n" + bytes(range(65, 91)) * 40)))))


def test_csv_file_require__absent_column__names_those_there(make: Make) -> None:
    with pytest.raises(MissingColumn, match=r"no column “name”\. The columns are: Name, Id"):
        CsvFile(make(b"Name,Id\n1,2\n")).require("Id", "name")
