"""Reads tables as a stream: CSV in any usual encoding, with any usual separator and line end, or JSON Lines."""

import csv
import dataclasses
import io
import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

from django.conf import settings
from django.utils import translation

from accounts.characters import is_unseen
from config import strict_json

from .atomic import BadFile, open_file
from .encodings import Encoding, find_encoding
from .formulas import unguarded

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
# A first line like `sep=;`, by which Excel is told the separator.
_EXCEL_HINT = re.compile(r'\ufeff?("?)[sS][eE][pP]=(.)\1[,;\t|]*\s*')
_JSON_ARRAY = re.compile(r'\[\s*[\[{"\]]')
_SAMPLE = 20  # rows from which the separator is guessed
_NO_TEXT = "It is no text. Write a text, a whole number, true or false."


class MissingColumn(BadFile):
    """The file lacks a column that is needed."""


@dataclasses.dataclass(frozen=True, slots=True)
class FileRow:
    """A row. `row` is the line of the file where it starts, from 1; `problem` says why it has no values, '' if it has.

    `faults`: column → why just that value can't be read.
    """

    row: int
    values: dict[str, str]
    problem: str = ""
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def problem_with(self, *columns: str) -> str:
        """Why these columns of the row can't be read; '' if they can."""
        return self.problem or next((f"“{name}”: {self.faults[name]}" for name in columns if name in self.faults), "")


def column_name(text: str) -> str:
    """A column's name without invisible characters, which files often have in their first line; trimmed, NFC."""
    if text.isascii() and text.isprintable():
        return text.strip()
    seen = "".join(" " if each.isspace() else "" if is_unseen(each) else each for each in text)
    return unicodedata.normalize("NFC", seen).strip()


class TableFile:
    """A file that is read record by record, as often as wanted; values are trimmed. Raises BadFile."""

    columns: list[str]
    separator = ""

    def __init__(self, path: str, encoding: str | None) -> None:
        self._path = path
        self.encoding = encoding if isinstance(encoding, Encoding) else find_encoding(path, encoding)

    def require(self, *columns: str) -> None:
        """Raise MissingColumn for the first of these columns that the file doesn't have."""
        for column in columns:
            if column not in self.columns:
                raise MissingColumn(f"There is no column “{column}”. The columns are: {', '.join(self.columns)}.")

    def __iter__(self) -> Iterator[FileRow]:
        raise NotImplementedError

    @contextmanager
    def _open(self) -> Iterator["_Lines"]:
        with open_file(self._path) as data, io.TextIOWrapper(data, self.encoding, newline="") as text:
            yield _Lines(text)


class _Lines:
    """The lines of a file. A row may take ROW_KB as UTF-8 at most, so that no missing quote fills the memory.

    Measured in UTF-8 whatever the file's encoding, so that the same row has the same size in every file.
    `row` is the line where the current row starts, `taken` are the lines of it that have been read.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text, self._limit = text, settings.ROW_KB << 10
        self._number, self.row = 0, 1
        self._size, self.taken = 0, list[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if line := self.readline():
            return line
        raise StopIteration

    def readline(self) -> str:
        """The next line, '' at the end of the file. Raises BadFile if the row becomes too long."""
        # At most so many characters, each of which takes at least a byte.
        line = self._text.readline(self._limit - self._size + 1)
        self._number += 1
        self._size += len(line) if line.isascii() else len(line.encode())
        if self._size > self._limit:
            remedy = "Is a quote or a line end missing there?"
            raise BadFile(f"row {self.row}: longer than {settings.ROW_KB} KiB of UTF-8. {remedy} ROW_KB allows more.")
        self.taken.append(line)
        return line

    def next_row(self) -> None:
        """Start a new row at the next line."""
        self.row, self._size = self._number + 1, 0
        self.taken.clear()


class Reading(NamedTuple):
    """How to read a file; '' means that it is guessed from the file."""

    encoding: str = ""
    separator: str = ""


_AS_IT_SAYS = Reading()


def open_table(path: str, how: Reading = _AS_IT_SAYS, *, wanted: Collection[str] = ()) -> TableFile:
    """Open JSON Lines if the file begins with an object, else CSV; `wanted`: as for `CsvFile`. Raises BadFile."""
    separator = how.separator
    found = find_encoding(path, how.encoding or None)
    with open_file(path) as data, io.TextIOWrapper(data, found) as text:
        start = text.read(1000).lstrip("\ufeff \t\r\n")
    if not separator and start.startswith("{"):
        return JsonLinesFile(path, encoding=found)
    if not separator and _JSON_ARRAY.match(start):
        raise BadFile("This is one JSON array. Write one object a line, without brackets or commas around them.")
    return CsvFile(path, wanted=wanted, encoding=found, separator=separator)


def parse_separator(text: str) -> str:
    """The separator for its name, like `tab`, or for the character itself; '' for ''. Raises BadFile."""
    named = {name: separator for separator, name in SEPARATORS.items()} | {"\\t": "\t", "": ""}
    separator = named.get(text.lower(), text)
    if separator and (len(separator) != 1 or separator in '"\r\n' or (is_unseen(separator) and separator != "\t")):
        raise BadFile(f"“{text[:40]}” is no separator. Name comma, semicolon, tab, pipe, or one character.")
    return separator


class CsvFile(TableFile):
    def __init__(
        self, path: str, *, wanted: Collection[str] = (), encoding: str | None = None, separator: str = ""
    ) -> None:
        """`wanted` are columns that the file should have, which help to guess the separator."""
        super().__init__(path, encoding)
        with self._open() as lines:
            hint = _EXCEL_HINT.fullmatch(lines.readline())
        self._lines_before_header = 1 if hint else 0
        self.separator = separator or (hint[2] if hint else self._guess_separator(wanted))
        self.columns = _columns(next(self._rows(self.separator), (0, []))[1])
        self._check_columns()

    def __iter__(self) -> Iterator[FileRow]:
        rows = self._rows(self.separator)
        next(rows, None)
        for row, cells in rows:
            if any(map(str.strip, cells)):
                yield self._record(row, cells)

    def _record(self, row: int, cells: list[str]) -> FileRow:
        width = len(self.columns)
        # The header again, as in files that were joined: it must not be read as data.
        if self.columns[0] in cells[0] and _columns(cells) == self.columns:
            return FileRow(row, {}, "repeats the first line, which names the columns. Remove it")
        values = [unguarded(cell.strip()).strip() for cell in cells]
        # Extra separators at the end of a line, without values, do no harm.
        if len(values) != width and (any(values[width:]) or len(values) < width):
            problem = f"has {len(values)} values, but there are {width} columns; put values with a separator in quotes"
            return FileRow(row, {}, problem)
        return FileRow(row, dict(zip(self.columns, values, strict=False)))

    def _rows(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """The line where each row starts, and its cells; the header comes first."""
        with self._open() as lines:
            for _line in range(self._lines_before_header):
                lines.readline()
                lines.next_row()
            reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
            cells: list[str] | None
            while True:
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    # The strict reader refuses a space after a closing quote, which some programs write.
                    cells = _spaced_quotes(lines, separator)
                    if cells is None:
                        raise BadFile(_unreadable(lines.row, error)) from error
                if cells is None:
                    return
                row = lines.row
                lines.next_row()
                yield row, cells

    def _guess_separator(self, wanted: Collection[str]) -> str:
        """The separator with most wanted columns; then most rows that fit the header; then most columns."""
        samples: dict[str, list[list[str]]] = {}
        failure: BadFile | None = None
        for separator in SEPARATORS:
            try:
                samples[separator] = [cells for _row, cells in islice(self._rows(separator), 1)]
            except BadFile as error:
                failure = failure or error
                continue
            # Read separately: a header that can be read is kept even if the rows after it can't.
            samples[separator] += self._sample(separator)
        if failure and not samples:
            raise failure
        # The separators by which the header has several columns.
        several = [separator for separator, sample in samples.items() if sample and len(_columns(sample[0])) > 1]
        if not several:
            return _told_by_rows(samples)
        return max(several, key=lambda separator: _fitness(samples[separator], wanted))

    def _sample(self, separator: str) -> list[list[str]]:
        """The first rows after the header; an empty list stands for the rest if it can't be read by this separator."""
        found: list[list[str]] = []
        try:
            for _row, cells in islice(self._rows(separator), 1, _SAMPLE + 1):
                if any(map(str.strip, cells)):
                    found.append(cells)
        except BadFile:
            found.append([])
        return found

    def _check_columns(self) -> None:
        if not self.columns:
            raise BadFile("The file is empty; its first line names the columns.")
        for number, column in enumerate(self.columns, start=1):
            if column and column in self.columns[: number - 1]:
                raise BadFile(f"Two columns are named “{column}”. Rename one.")


def _columns(cells: Sequence[str]) -> list[str]:
    columns = [column_name(cell) for cell in cells]
    while columns and not columns[-1]:
        columns.pop()  # a separator at the end of the line doesn't start another column
    return columns


def _fitness(sample: Sequence[Sequence[str]], wanted: Collection[str]) -> tuple[int, float, int]:
    header, *rows = sample
    columns = _columns(header)
    fitting = sum(len(row) >= len(columns) and not any(map(str.strip, row[len(columns) :])) for row in rows)
    return len({*wanted} & {*columns}), fitting / len(rows) if rows else 1.0, len(columns)


def _told_by_rows(samples: Mapping[str, Sequence[Sequence[str]]]) -> str:
    """Guess the separator from the rows, if the header has a single column with every separator.

    If all rows have the same number of several values, the header is wrong: take that separator, so that each row is
    reported. Otherwise take one that doesn't occur in the rows.
    """
    widths = {separator: {len(row) for row in sample[1:]} for separator, sample in samples.items()}
    several = [each for each, found in widths.items() if len(found) == 1 and max(found) > 1]
    single = [each for each, found in widths.items() if found <= {1}]
    return [*several, *single, *widths][0]


def _spaced_quotes(lines: _Lines, separator: str) -> list[str] | None:
    """The cells of a row that Python's reader refused because of space around quoted values; None if that's not why."""
    space = r"[^\S\r\n]" if separator != "\t" else r"[^\S\r\n\t]"
    end = rf"(?={re.escape(separator)}|\r?\n?\Z|\r\Z)"
    quoted = re.compile(rf'{space}*"([^"]*(?:""[^"]*)*)"{space}*{end}')
    plain = re.compile(rf'({space}*(?!{space}|")[^\r\n{re.escape(separator)}]*){end}')
    # A quoted value may contain line ends: read further lines until the quotes are balanced, up to a limit.
    for _line in range(_SAMPLE):
        text, cells, place = "".join(lines.taken), list[str](), 0
        while found := quoted.match(text, place) or plain.match(text, place):
            cells.append(found[1].replace('""', '"') if found.re is quoted else found[1])
            place = found.end() + 1
            if place > len(text.rstrip("\r\n")):
                return cells
        if text.count('"') % 2 == 0 or not lines.readline():
            break
    return None


class JsonLinesFile(TableFile):
    """One JSON object per line. The names of the first are the columns; a name left out later is an empty value."""

    def __init__(self, path: str, *, encoding: str | None = None) -> None:
        super().__init__(path, encoding)
        self._names: dict[str, str] = {}
        first = next(self._objects(), None)
        if first is None or not isinstance(first[1], dict):
            problem = first[2] if first and first[2] else "is no JSON object"
            raise BadFile(f"The first line {problem}. Write one object a line.")
        self.columns = list(dict.fromkeys(map(column_name, first[1])))
        if len(self.columns) < len(first[1]):
            raise BadFile("The first line has two names that look the same. Rename one.")

    def __iter__(self) -> Iterator[FileRow]:
        known = set(self.columns)
        for row, found, problem in self._objects():
            if not isinstance(found, dict):
                yield FileRow(row, {}, problem or "is no JSON object; write one object a line")
                continue
            named = {self._name(name): value for name, value in found.items()}
            if unknown := [name for name in named if name not in known]:
                names = ", ".join(f"“{name[:80]}”" for name in unknown[:5])
                yield FileRow(row, {}, f"has a name {names}, which the first row has not")
            elif len(named) < len(found):
                yield FileRow(row, {}, "has two names that look the same")
            else:
                yield self._record(row, named)

    def _name(self, name: str) -> str:
        """`column_name`, cached: nearly all rows have the same names."""
        # Limited, in case each row has other names.
        if name not in self._names and len(self._names) < 1_000:
            self._names[name] = column_name(name)
        return self._names.get(name) or column_name(name)

    def _record(self, row: int, found: Mapping[str, Any]) -> FileRow:
        values, faults = {}, {}
        for column in self.columns:
            value = found.get(column)
            if isinstance(value, dict | list | _Number):
                faults[column] = _NO_TEXT
                value = value.text if isinstance(value, _Number) else "{…}" if isinstance(value, dict) else "[…]"
            # Booleans as in CSV: true, false.
            values[column] = (
                json.dumps(value) if isinstance(value, bool) else str("" if value is None else value)
            ).strip()
        return FileRow(row, values, faults=faults)

    def _objects(self) -> Iterator[tuple[int, object, str]]:
        """Line number, the parsed value, and why it could not be parsed, '' if it could."""
        with self._open() as lines:
            for row, line in enumerate(lines, start=1):
                lines.next_row()
                if text := line.strip(" \t\r\n\ufeff"):
                    try:
                        with translation.override("en"):  # like all other messages about rows, whoever reads them
                            found = strict_json.loads(text, number=_number)
                    except ValueError as error:
                        yield row, None, f"is no JSON: {error}"
                    else:
                        yield row, found, ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Number:
    """A number that is not whole, as written: it can't be an id, because it can be written in several ways."""

    text: str


def _number(text: str) -> str | _Number:
    return text if text.removeprefix("-").isdecimal() else _Number(text)


def _unreadable(row: int, error: csv.Error) -> str:
    return (
        f"row {row}: {error}. Nothing after it can be told apart. Mend the quotes there: in a value they are doubled."
    )
