"""What is copied of a file: allowed records with all that they hold, denied ones by name and reason alone.

Each file gives one of each kind, in its own format and order.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import columns, texts
from .columns import OWNED, OWNERS
from .errors import missing
from .inputs import Format, Input
from .sinks import CsvSink, LineSink, ParquetSink, Sink
from .types import Fields, readable

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise missing(error) from None

ROW, REASON = "row", "reason"
_BUFFER = 1024 * 1024
_ROWS, _BYTES = 65_536, 32 * 1024 * 1024  # of what is read at a time, about


class Layout:
    """How the records of one file are read and written. `source`: the Parquet file that has its rows, itself or staged;
    None if there are none to stage.

    A denied record is told with its `row`: its place in the file, from 0; a header and blank lines don't count.
    """

    def __init__(self, each: Input, source: Path | None, fields: Fields) -> None:
        self.input, self.source, self.fields = each, source, fields

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in order, a few MB at a time. Raises PipelineError for what can't be read."""
        if self.source is None:
            return
        with readable(self.input.path, 1), pq.ParquetFile(self.source, pre_buffer=False, buffer_size=_BUFFER) as file:
            meta = file.metadata
            size = sum(meta.row_group(n).total_byte_size for n in range(meta.num_row_groups))
            yield from file.iter_batches(batch_size=min(_ROWS, max(1, _BYTES * meta.num_rows // max(size, 1))))

    def allowed(self, batch: pa.RecordBatch, owners: list[pa.Array]) -> pa.RecordBatch:
        """These records, and whom they belong to: OWNERS, instead of what an earlier filter has written there."""
        raise NotImplementedError

    def named(self, batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
        """What these records are called, and where they are: the first of them is row `start`."""
        fields = {field: self._field(batch, field) for field in columns.FIELDS if field in self.fields}
        return pa.RecordBatch.from_pydict({ROW: pa.arange(start, start + len(batch)), **fields})

    def denied(self, named: pa.RecordBatch, reasons: pa.Array) -> pa.RecordBatch:
        """What is told of denied records: how they are `named`, and why they must not be used."""
        return named.append_column(REASON, reasons)

    def sink(self, path: Path, name: str, compression: str | None, *, denied: bool, owners: pa.Schema) -> Sink:
        """A file for allowed or denied records. `owners`: the types of OWNERS."""
        raise NotImplementedError

    def _field(self, batch: pa.RecordBatch, field: str) -> pa.Array:
        found = self.fields[field]
        if found.name is not None:
            return batch.column(self._column(field, found.name))
        value = found.constant if found.partition is None else self.input.partitions[found.partition]
        return (
            pa.nulls(len(batch), pa.string()) if value is None else pa.repeat(pa.scalar(value, pa.string()), len(batch))
        )

    def _column(self, field: str, _name: str) -> str:
        return field  # in a staged file

    def _denied_names(self) -> list[str]:
        return [ROW, *(field for field in columns.FIELDS if field in self.fields), REASON]


class ParquetLayout(Layout):
    def _column(self, _field: str, name: str) -> str:
        return name

    def allowed(self, batch: pa.RecordBatch, owners: list[pa.Array]) -> pa.RecordBatch:
        kept = batch.select([name for name in batch.schema.names if not OWNED.fullmatch(name)])
        for name, column in zip(OWNERS, owners, strict=True):
            kept = kept.append_column(name, column)
        return kept

    def sink(self, path: Path, name: str, compression: str | None, *, denied: bool, owners: pa.Schema) -> Sink:
        with readable(self.input.path, 1):
            found, meta = pq.read_schema(self.source), pq.read_metadata(self.source)
        nothing = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in found], schema=found)
        if denied:
            repeating = [columns.PRODUCT, columns.DATA_KIND, REASON]
            return ParquetSink(
                path, name, self.denied(self.named(nothing, 0), pa.array([], pa.string())).schema, repeating
            )
        allowed = self.allowed(nothing, [pa.array([], field.type) for field in owners])
        return ParquetSink(path, name, allowed.schema, _repeating(meta))


def _repeating(meta: pq.FileMetaData) -> list[str]:
    """The columns for which a file has a dictionary in its first row group, by the paths of what is in them."""
    groups = [meta.row_group(n) for n in range(min(meta.num_row_groups, 1))]
    chunks = [group.column(n) for group in groups for n in range(group.num_columns)]
    return [chunk.path_in_schema for chunk in chunks if chunk.has_dictionary_page]


class CsvLayout(Layout):
    def allowed(self, batch: pa.RecordBatch, owners: list[pa.Array]) -> pa.RecordBatch:
        names = self._names()
        kept = [texts.cell(n) for n, name in enumerate(names) if not OWNED.fullmatch(name)]
        return pa.RecordBatch.from_arrays([*batch.select(kept).columns, *owners], names=[*kept, *OWNERS])

    def _names(self) -> list[str]:
        return texts.header(self.input)

    def sink(self, path: Path, name: str, compression: str | None, *, denied: bool, owners: pa.Schema) -> Sink:
        kept = [each for each in self._names() if not OWNED.fullmatch(each)]
        header = self._denied_names() if denied else [*kept, *OWNERS]
        return CsvSink(path, name, header, texts.DELIMITERS[self.input.format], compression)


class LineLayout(Layout):
    def allowed(self, batch: pa.RecordBatch, owners: list[pa.Array]) -> pa.RecordBatch:
        lines = batch.column(texts.LINE).to_pylist()
        said = zip(lines, *(column.to_pylist() for column in owners), strict=True)
        return _lines([_with_owners(line, owners) for line, *owners in said])

    def denied(self, named: pa.RecordBatch, reasons: pa.Array) -> pa.RecordBatch:
        found = super().denied(named, reasons).to_pylist()
        return _lines([json.dumps(row, ensure_ascii=False) for row in found])

    def sink(self, path: Path, name: str, compression: str | None, *, denied: bool, owners: pa.Schema) -> Sink:
        return LineSink(path, name, compression)


def _lines(lines: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(lines, pa.string())], names=[texts.LINE])


def _with_owners(line: str, owners: list[Any]) -> str:
    """The line, untouched but for its end. Only one that an earlier filter wrote is written anew."""
    said = dict(zip(OWNERS, owners, strict=True))
    if OWNED.search(line):
        found = json.loads(line)
        return json.dumps(
            {**{name: found[name] for name in found if not OWNED.fullmatch(name)}, **said}, ensure_ascii=False
        )
    start = line.rstrip().removesuffix("}").rstrip().removesuffix(",")
    return f"{start}{'' if start.endswith('{') else ', '}{json.dumps(said)[1:]}"


def layout(each: Input, source: Path | None, fields: Fields) -> Layout:
    """The layout of a file's format."""
    kinds = {Format.PARQUET: ParquetLayout, Format.JSONL: LineLayout}
    return kinds.get(each.format, CsvLayout)(each, source, fields)
