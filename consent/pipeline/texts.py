"""Reading records from CSV and JSON Lines: every line or row is counted, and one that can't be read is kept as such.

The readers are strict. A lenient one would take what follows a stray quotation mark, other people's records, for a part
of the record before it.
"""

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Sequence, Set
from typing import Any

from .columns import OWNED
from .errors import PipelineError, missing, quoting
from .inputs import Format, Input

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError as error:
    raise missing(error) from None

BROKEN = "broken"  # the column that says that a row can't be read; its other columns are NULL
LINE = "line"
_ROWS, _BYTES = 50_000, 16 * 1024 * 1024  # of a batch, at most; a single row may be longer
DELIMITERS = {Format.CSV: ",", Format.TSV: "\t"}
_LONGEST = 2**31 - 1  # bytes of a cell


@contextlib.contextmanager
def _opened(each: Input) -> Iterator[io.BufferedReader]:
    """The unpacked bytes of a file. Raises PipelineError for what can't be read, a cut-off packed file too."""
    try:
        with pa.input_stream(str(each.path), compression=each.compression) as stream:
            yield io.BufferedReader(stream, _BYTES)
    except (OSError, pa.ArrowException) as error:
        raise quoting(f"{each.path} can't be read", error) from None


# --- JSON Lines -----------------------------------------------------------------------------------------------------


def names_met(inputs: Sequence[Input], wanted: Set[str]) -> list[str]:
    """The names of values in the lines of these files, as they are met; it stops once all that are wanted were.

    Where there is not a single line, all that are wanted: nothing is missing in no records.
    """
    names: dict[str, None] = {}
    line = None
    for each in inputs:
        with _opened(each) as stream:
            for line in _lines(stream):
                with contextlib.suppress(ValueError, RecursionError):
                    found = json.loads(line)
                    names.update(dict.fromkeys(found if isinstance(found, dict) else ()))
                if wanted <= names.keys():
                    return list(names)
    return sorted(wanted) if line is None else list(names)


def objects(each: Input) -> Iterator[dict[str, Any]]:
    """The lines of a file that Python reads as objects."""
    with _opened(each) as stream:
        for line in _lines(stream):
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                yield found


def _lines(stream: io.BufferedReader) -> Iterator[bytes]:
    """The lines that are not blank, without their ends and without a byte-order mark."""
    for n, line in enumerate(stream):
        text = (line.removeprefix(b"\xef\xbb\xbf") if n == 0 else line).rstrip(b"\r\n")
        if text.strip():
            yield text


def line_batches(each: Input) -> Iterator[pa.RecordBatch]:
    """The lines of a file in order, in columns LINE and BROKEN: a line that is no UTF-8 is NULL, and broken. So is one
    that says whom it belongs to, as an earlier filter does, and can't be written anew.
    """
    with _opened(each) as stream:
        waiting: list[bytes] = []
        size = 0
        for line in _lines(stream):
            waiting.append(line)
            size += len(line)
            if len(waiting) == _ROWS or size > _BYTES:
                yield _line_batch(waiting)
                waiting, size = [], 0
        if waiting:
            yield _line_batch(waiting)


def _line_batch(lines: list[bytes]) -> pa.RecordBatch:
    try:
        found = pa.array(lines, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        found = pa.array([_decoded(line) for line in lines], pa.string())
    if pc.any(pc.match_substring_regex(found, OWNED.pattern, ignore_case=True)).as_py():
        found = pa.array([_rewritable(line) for line in found.to_pylist()], pa.string())
    return pa.RecordBatch.from_arrays([found, found.is_null()], names=[LINE, BROKEN])


def _decoded(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _rewritable(line: str | None) -> str | None:
    """The line; None if it needs to be written anew, and Python's reader, which is stricter, does not read it."""
    if line is None or not OWNED.search(line):
        return line
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return None
    return line


# --- CSV ------------------------------------------------------------------------------------------------------------


def header(each: Input) -> list[str]:
    """The names of the columns of a CSV file. Raises PipelineError if there are none, or one twice."""
    with _opened(each) as stream:
        names = next(_rows(each, stream), None)
    if not names:
        raise PipelineError(f"{each.path} has no row that names its columns.")
    for name in names:
        if names.count(name) > 1:
            # A file without such a row has a record there.
            told = f"Two columns of {each.path} have the same name."
            raise PipelineError(f"{name} is ambiguous in {each.path}: two columns are called so.", told=told)
    return names


def _rows(each: Input, stream: io.BufferedReader) -> Iterator[list[str] | None]:
    """The rows that are not blank; None for one that can't be read."""
    csv.field_size_limit(_LONGEST)
    # What is no UTF-8 becomes lone surrogates, by which `_readable` knows it.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, delimiter=DELIMITERS[each.format], strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        if row:
            yield row


def csv_batches(each: Input) -> Iterator[pa.RecordBatch]:
    """The rows of a file in order, without the header: all cells as text, and whether a row is BROKEN.

    Columns are named by `cell`, whatever the file calls them. A row is broken if its quotation marks don't match, it
    has more or fewer cells than the header, or it is no UTF-8.
    """
    width = len(header(each))
    with _opened(each) as stream:
        rows = _rows(each, stream)
        next(rows)
        waiting: list[list[str] | None] = []
        size = 0
        for row in rows:
            waiting.append(_readable(row, width))
            size += sum(map(len, row or ()))
            if len(waiting) == _ROWS or size > _BYTES:
                yield _row_batch(waiting, width)
                waiting, size = [], 0
        if waiting:
            yield _row_batch(waiting, width)


def cell(position: int) -> str:
    """The name of a column of `csv_batches`."""
    return f"c{position}"


def _readable(row: list[str] | None, width: int) -> list[str] | None:
    if row is None or len(row) != width:
        return None
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return None
    return row


def _row_batch(rows: list[list[str] | None], width: int) -> pa.RecordBatch:
    none = [None] * width
    cells = zip(*(none if row is None else row for row in rows), strict=True)
    arrays = [pa.array(column, pa.string()) for column in cells]
    arrays.append(pa.array([row is None for row in rows], pa.bool_()))
    return pa.RecordBatch.from_arrays(arrays, names=[*map(cell, range(width)), BROKEN])
