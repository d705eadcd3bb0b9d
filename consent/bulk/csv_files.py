"""CSV as people have it: any usual encoding, separator and line end, values trimmed, rows counted by lines."""

import codecs
import csv
import dataclasses
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path

_SEPARATORS = ",;\t|"
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_UTF8_SEQUENCE = re.compile(rb"[\xc3-\xf4][\x80-\xbf]+")
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n?")


class BadFile(Exception):
    """The file as a whole can't be read; the message says what to do."""


class MissingColumn(BadFile):
    """A column that was asked for is not in the file."""


@dataclasses.dataclass(frozen=True)
class Record:
    """`row` is the line of the file where it starts, the header's being 1; `problem` says why it has no values."""

    row: int
    values: dict[str, str]
    problem: str = ""


class CsvFile:
    """A file read to the end once and then record by record, as often as wanted. Raises BadFile."""

    def __init__(self, path: str, *, wanted: Collection[str] = (), encoding: str | None = None) -> None:
        """`wanted` are columns that the file should have: they tell which separator it uses."""
        try:
            self._data = Path(path).read_bytes()
        except OSError as error:
            raise BadFile(f"{path}: {error.strerror}.") from error
        self.encoding = _without_mark(encoding) if encoding else _guess_encoding(self._data)
        self._check_encoding()
        with self._open() as lines:
            first = lines.readline()
        hint = _EXCEL_HINT.fullmatch(first)
        self._lines_before_header = 1 if hint else 0
        self.separator = hint[1] if hint else self._guess_separator(wanted)
        self.columns = self._header(self.separator)
        self._check_columns()

    def require(self, *columns: str) -> None:
        """Raise MissingColumn for the first of these columns that the file doesn't have."""
        for column in columns:
            if column not in self.columns:
                raise MissingColumn(f"There is no column “{column}”. The columns are: {', '.join(self.columns)}.")

    def __iter__(self) -> Iterator[Record]:
        with self._open() as lines:
            for _line in range(self._lines_before_header):
                lines.readline()
            reader = csv.reader(lines, delimiter=self.separator, strict=True)
            row = 1 + self._lines_before_header
            try:
                for number, cells in enumerate(reader):
                    if number and any(cell.strip() for cell in cells):
                        yield self._record(row, cells)
                    row = reader.line_num + 1 + self._lines_before_header
            except csv.Error as error:
                raise BadFile(_unreadable(row, error)) from error

    def _record(self, row: int, cells: list[str]) -> Record:
        values = [cell.strip() for cell in cells]
        width = len(self.columns)
        if any(values[width:]) or len(values) < width:
            problem = f"has {len(values)} values, but there are {width} columns; put values with a separator in quotes"
            return Record(row, {}, problem)
        return Record(row, dict(zip(self.columns, values, strict=False)))

    def _open(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(self._data), self.encoding, newline="")

    def _check_encoding(self) -> None:
        try:
            with self._open() as text:
                nul = any("\x00" in line for line in text)
        except LookupError:
            raise BadFile(f"There is no encoding “{self.encoding}”.") from None
        except UnicodeError as error:
            raise BadFile(
                f"The file is not {self.encoding}: {error}. Name its encoding, or save it as UTF-8."
            ) from None
        if nul:
            raise BadFile("The file has NUL characters: it is not text. Save it as CSV in UTF-8.")

    def _header(self, separator: str) -> list[str]:
        with self._open() as lines:
            for _line in range(self._lines_before_header):
                lines.readline()
            try:
                cells = next(csv.reader(lines, delimiter=separator, strict=True), [])
            except csv.Error as error:
                raise BadFile(_unreadable(1 + self._lines_before_header, error)) from error
        columns = [cell.strip() for cell in cells]
        while columns and not columns[-1]:
            columns.pop()  # a separator at the end of every line makes no column
        return columns

    def _guess_separator(self, wanted: Collection[str]) -> str:
        """The one under which most of the wanted columns are there, then most columns at all."""
        headers: dict[str, list[str]] = {}
        failure: BadFile | None = None
        for separator in _SEPARATORS:
            try:
                headers[separator] = self._header(separator)
            except BadFile as error:
                failure = failure or error
        if failure and not headers:
            raise failure
        return max(headers, key=lambda separator: (len({*wanted} & {*headers[separator]}), len(headers[separator])))

    def _check_columns(self) -> None:
        if not self.columns:
            raise BadFile("The file is empty; its first line names the columns.")
        for number, column in enumerate(self.columns, start=1):
            if column and column in self.columns[: number - 1]:
                raise BadFile(f"Two columns are named “{column}”. Rename one.")


def _guess_encoding(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding
    start = data[:1000]
    if start.count(0) > len(start) // 4:
        return "utf-16-be" if start.startswith(b"\x00") else "utf-16-le"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # Mostly UTF-8: then it is that, with a fault, and reading it otherwise would garble all the rest.
        if len(_UTF8_SEQUENCE.findall(data)) > data.decode(errors="replace").count("\ufffd"):
            line = data.count(b"\n", 0, error.start) + 1
            raise BadFile(
                f"The file is UTF-8 but for line {line}, where there is a byte {data[error.start]:#04x}. "
                "Mend that line, or name the file's encoding."
            ) from None
        return "cp1252"
    return "utf-8"


def _without_mark(encoding: str) -> str:
    """UTF-8 may begin with a mark that is no part of the first column's name."""
    try:
        return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    except LookupError:
        return encoding


def _unreadable(row: int, error: csv.Error) -> str:
    return (
        f"row {row}: {error}. Nothing after it can be told apart. Mend the quotes there: in a value they are doubled."
    )
