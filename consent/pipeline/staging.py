"""Text becomes Parquet before it is judged: rows get numbers, and every format takes the same way from there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from . import texts
from .errors import missing
from .inputs import Format, Input
from .sql import texts as sql_texts
from .types import Fields

try:
    import duckdb
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as error:
    raise missing(error) from None


def stage(each: Input, fields: Fields, target: Path) -> int:
    """Write the rows of a text file to a Parquet file, which only its owner can read; returns how many there are.

    Fields are columns of their own names. Without rows there is no file. Raises PipelineError for a file that can't be
    read to its end.
    """
    rows, writer = 0, None
    with contextlib.ExitStack() as closing:
        for batch in _batches(each, fields):
            if writer is None:
                out = closing.enter_context(
                    os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
                )
                writer = closing.enter_context(pq.ParquetWriter(out, batch.schema, compression="zstd"))
            writer.write_batch(batch)
            rows += len(batch)
    return rows


def _batches(each: Input, fields: Fields) -> Iterator[pa.RecordBatch]:
    """The rows as they are staged: what has to be copied, BROKEN, and a column for each field that is a column."""
    names = {field: found.name for field, found in fields.items() if found.name is not None}
    if each.format is not Format.JSONL:
        cells = [texts.header(each).index(name) for name in names.values()]
        for batch in texts.csv_batches(each):
            # An empty cell of CSV is none, for CSV can't say it otherwise.
            arrays = [*batch.columns, *(_none_if_empty(batch.column(n)) for n in cells)]
            yield pa.RecordBatch.from_arrays(arrays, names=[*batch.schema.names, *names])
        return
    statement = _extraction(names)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET enable_progress_bar = false")
        for batch in texts.line_batches(each):
            numbers = pa.array(range(len(batch)), pa.int32())
            connection.register("lines", pa.table([numbers, *batch.columns], names=["n", texts.LINE, texts.BROKEN]))
            yield from connection.sql(statement).to_arrow_table().combine_chunks().to_batches()


def _none_if_empty(cells: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(cells, ""), pa.scalar(None, cells.type), cells)


def _extraction(names: dict[str, str]) -> str:
    """A statement that takes values out of lines. Broken are lines that are no object, or say a name twice: readers
    differ in which of both they take."""
    pointers = sql_texts(["/" + name.replace("~", "~0").replace("/", "~1") for name in names.values()])
    values = ", ".join(f"found[{n}] AS {field}" for n, field in enumerate(names, 1))
    return f"""
        SELECT line, NOT whole AS {texts.BROKEN}{values and f", {values}"} FROM (
            SELECT n, line, whole, CASE WHEN whole THEN json_extract_string(line, {pointers}) END AS found FROM (
                SELECT n, line, CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT'
                    AND len(list_distinct(json_keys(line))) = len(json_keys(line)) ELSE FALSE END AS whole
                FROM lines))
        ORDER BY n"""
