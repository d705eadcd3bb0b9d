"""The entries of removals as files: JSON Lines, CSV or Parquet, streamed, so of any number."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from config.batched import batched

from ..files.exports import CSV, JSON_LINES, WRITERS, Out
from ..pipeline.errors import missing
from .removal_entries import Entry, line_of

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET = "parquet"
FORMS = (JSON_LINES, PARQUET, CSV)
COLUMNS = Entry._fields
_BATCH = 10_000
OnRows = Callable[[int], None]


def write_text(entries: Iterable[Entry], out: Out, form: str, on_rows: OnRows | None = None) -> int:
    """Write the entries as JSON_LINES, CSV, or PLAIN, which is CSV for programs; returns how many there were.

    `on_rows` gets the number so far. The digest of a removal is that of its JSON Lines.
    """
    counted = _Counted(entries, on_rows)
    if form == JSON_LINES:
        for entry in counted:
            out.write(line_of(entry).decode())
    else:
        put = WRITERS[form](out, list(COLUMNS))
        for entry in counted:
            put(list(entry.as_json().values()))
    return counted.number


def write_parquet(entries: Iterable[Entry], out: BinaryIO, on_rows: OnRows | None = None) -> int:
    """Write the entries as Parquet; like `write_text`. Raises PipelineError without the packages of the pipeline."""
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing(error) from None
    counted, schema = _Counted(entries, on_rows), _schema()
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for some in batched(counted, _BATCH):
            writer.write_batch(_batch(some, schema))
    return counted.number


class _Counted:
    """Passes entries on, and counts them."""

    def __init__(self, entries: Iterable[Entry], on_rows: OnRows | None) -> None:
        self.number, self._entries, self._on_rows = 0, entries, on_rows

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._entries:
            yield entry
            self.number += 1
            if self._on_rows and self.number % _BATCH == 0:
                self._on_rows(self.number)
        if self._on_rows:
            self._on_rows(self.number)


def _schema() -> "pa.Schema":
    """Keys as UUIDs and instants as microseconds, as in snapshots and in the filter's output."""
    import pyarrow as pa

    key, text, whole = pa.uuid(), pa.string(), pa.int64()
    kinds = {
        "level": text, "organization": key, "member": key, "product": text, "keep_from": whole, "keep_until": whole,
        "reason": text, "position": whole,
    }  # fmt: skip
    return pa.schema([(name, kinds[name]) for name in COLUMNS])


def _batch(entries: Iterable[Entry], schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    columns = dict(zip(COLUMNS, zip(*entries, strict=True), strict=True))
    arrays = []
    for field in schema:
        values = columns[field.name]
        if field.type == pa.uuid():
            raw = pa.array([None if value is None else value.bytes for value in values], pa.binary(16))
            arrays.append(pa.ExtensionArray.from_storage(field.type, raw))
        else:
            arrays.append(pa.array([None if value is None else _plain(value) for value in values], field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(value: str | int) -> str | int:
    return str(value) if isinstance(value, str) else value
