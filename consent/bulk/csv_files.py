"""Tables as people have them, read as a stream: CSV of any usual encoding, separator and line end, or JSON Lines."""

import csv
import dataclasses
import io
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from config import strict_json

from .encodings import find_encoding
from .files import BadFile, open_file
from .formulas import unguarded

_SEPARATORS = ",;\t|"
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n?")


class MissingColumn(BadFile):
    """A column that was asked for is not in the file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """`row` is the line of the file where it starts, a header's being 1; `problem` says why it has no values."""

    row: int
    values: dict[str, str]
    problem: str = ""


class TableFile:
    """A file read record by record, as often as wanted, values trimmed. Raises BadFile."""

    columns: list[str]

    def __init__(self, path: str, encoding: str | None) -> None:
        self._path = path
        self.encoding = find_encoding(path, encoding)

    def require(self, *columns: str) -> None:
        """Raise MissingColumn for the first of these columns that the file doesn't have."""
        for column in columns:
            if column not in self.columns:
                raise MissingColumn(f"There is no column “{column}”. The columns are: {', '.join(self.columns)}.")

    def __iter__(self) -> Iterator[Record]:
        raise NotImplementedError

    @contextmanager
    def _open(self) -> Iterator["_Lines"]:
        with open_file(self._path) as data, io.TextIOWrapper(data, self.encoding, newline="") as text:
            yield _Lines(text)


class _Lines:
    """The lines of a file, of which no row takes more than ROW_KB, whatever it is made of: it would fill the memory."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text, self._limit = text, settings.ROW_KB << 10
        self._number, self._row, self._taken = 0, 1, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if line := self.readline():
            return line
        raise StopIteration

    def readline(self) -> str:
        """'' at the end. Raises BadFile."""
        line = self._text.readline(self._limit - self._taken + 1)
        self._number += 1
        self._taken += len(line)
        if self._taken > self._limit:
            remedy = "Is a quote or a line end missing there?"
            raise BadFile(f"row {self._row}: longer than {settings.ROW_KB} KiB. {remedy} ROW_KB allows more.")
        return line

    def next_row(self) -> None:
        """What follows belongs to another row."""
        self._row, self._taken = self._number + 1, 0


def open_table(path: str, *, wanted: Collection[str] = (), encoding: str | None = None) -> TableFile:
    """JSON Lines where the first line is an object, else CSV. Raises BadFile."""
    with open_file(path) as data:
        start = data.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"{"):
        return JsonLinesFile(path, encoding=encoding)
    return CsvFile(path, wanted=wanted, encoding=encoding)


class CsvFile(TableFile):
    def __init__(self, path: str, *, wanted: Collection[str] = (), encoding: str | None = None) -> None:
        """`wanted` are columns that the file should have: they tell which separator it uses."""
        super().__init__(path, encoding)
        with self._open() as lines:
            first = lines.readline()
        hint = _EXCEL_HINT.fullmatch(first)
        self._lines_before_header = 1 if hint else 0
        self.separator = hint[1] if hint else self._guess_separator(wanted)
        self.columns = self._header(self.separator)
        self._check_columns()

    def __iter__(self) -> Iterator[Record]:
        with self._open() as lines:
            for _line in range(self._lines_before_header):
                lines.readline()
                lines.next_row()
            reader = csv.reader(lines, delimiter=self.separator, strict=True)
            row = 1 + self._lines_before_header
            try:
                for number, cells in enumerate(reader):
                    lines.next_row()
                    if number and any(map(str.strip, cells)):
                        yield self._record(row, cells)
                    row = reader.line_num + 1 + self._lines_before_header
            except csv.Error as error:
                raise BadFile(_unreadable(row, error)) from error

    def _record(self, row: int, cells: list[str]) -> Record:
        values = [unguarded(cell.strip()).strip() for cell in cells]
        width = len(self.columns)
        if len(values) != width and (any(values[width:]) or len(values) < width):
            problem = f"has {len(values)} values, but there are {width} columns; put values with a separator in quotes"
            return Record(row, {}, problem)
        return Record(row, dict(zip(self.columns, values, strict=False)))

    def _header(self, separator: str) -> list[str]:
        with self._open() as lines:
            for _line in range(self._lines_before_header):
                lines.readline()
                lines.next_row()
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


class JsonLinesFile(TableFile):
    """An object a line; its columns are the names in the first one, and a name left out is an empty value."""

    def __init__(self, path: str, *, encoding: str | None = None) -> None:
        super().__init__(path, encoding)
        first = next(self._objects(), None)
        if first is None or not isinstance(first[1], dict):
            problem = first[2] if first and first[2] else "is no JSON object"
            raise BadFile(f"The first line {problem}. Write one object a line.")
        self.columns = list(first[1])

    def __iter__(self) -> Iterator[Record]:
        known = set(self.columns)
        for row, found, problem in self._objects():
            if not isinstance(found, dict):
                yield Record(row, {}, problem or "is no JSON object; write one object a line")
            elif unknown := next((name for name in found if name not in known), None):
                yield Record(row, {}, f"has a name “{unknown[:80]}”, which the first row has not")
            else:
                yield self._record(row, found)

    def _record(self, row: int, found: dict[str, Any]) -> Record:
        values = {}
        for column in self.columns:
            value = found.get(column)
            if isinstance(value, dict | list | float):
                return Record(row, {}, f"has in “{column}” what is no text; write texts, whole numbers, true or false")
            values[column] = json.dumps(value) if isinstance(value, bool) else str("" if value is None else value)
        return Record(row, {column: value.strip() for column, value in values.items()})

    def _objects(self) -> Iterator[tuple[int, object, str]]:
        """Row, what its line says, and why that is no JSON where it is none."""
        with self._open() as lines:
            for row, line in enumerate(lines, start=1):
                lines.next_row()
                if line.strip():
                    try:
                        yield row, strict_json.loads(line), ""
                    except ValueError as error:
                        yield row, None, f"is no JSON: {error}"


def _unreadable(row: int, error: csv.Error) -> str:
    return (
        f"row {row}: {error}. Nothing after it can be told apart. Mend the quotes there: in a value they are doubled."
    )
