"""Writing records to files, which only their owner can read: the same records give the same bytes."""

import csv
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from .errors import missing

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise missing(error) from None

_GROUP_ROWS, _GROUP_BYTES = 122_880, 64 * 1024 * 1024  # of a row group that is written, at most


class Written(NamedTuple):
    """A file that was written, as a report and a manifest describe it."""

    name: str
    size: int
    rows: int
    sha256: str


class _Private(io.RawIOBase):
    """A new file that only its owner can read; its digest is made while it is written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file: IO[bytes] = os.fdopen(self._descriptor, "wb")
        self._digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        if self._file.closed:  # a writer that was given up, and is ended by the collector of garbage
            return view.nbytes
        self._file.write(view)
        self._digest.update(view)
        self.size += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def tell(self) -> int:
        return self.size

    def close(self) -> None:
        if not self._file.closed:
            try:
                self._file.flush()
                os.fsync(self._descriptor)
            finally:
                self._file.close()
        super().close()

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class Sink:
    """A file of records to write to, in one format; use it in a `with`, then take what was `written`."""

    def __init__(self, path: Path, name: str) -> None:
        self._name, self._out, self._rows = name, _Private(path), 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._rows += len(batch)
        if len(batch):
            self._put(batch)

    def _put(self, batch: pa.RecordBatch) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        """Write what is left."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._end()
        finally:
            self._out.close()

    def written(self) -> Written:
        return Written(self._name, self._out.size, self._rows, self._out.hexdigest())


class ParquetSink(Sink):
    """`repeating`: the columns whose values repeat, for which a dictionary is worth making."""

    def __init__(self, path: Path, name: str, columns: pa.Schema, repeating: Sequence[str]) -> None:
        super().__init__(path, name)
        self._schema = columns
        self._writer = pq.ParquetWriter(self._out, columns, compression="zstd", use_dictionary=list(repeating))
        self._waiting: list[pa.RecordBatch] = []
        self._held = self._bytes = 0

    def _put(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._held += len(batch)
        self._bytes += batch.nbytes
        if self._held >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), row_group_size=self._held)
        self._waiting, self._held, self._bytes = [], 0, 0

    def _end(self) -> None:
        if self._waiting:
            self._write_group()
        self._writer.close()


class CsvSink(Sink):
    """Rows of text; a NULL is an empty cell."""

    def __init__(self, path: Path, name: str, header: Sequence[str], delimiter: str, compression: str | None) -> None:
        super().__init__(path, name)
        self._packed = _Packed(self._out, compression)
        self._delimiter = delimiter
        self._packed.write(self._lines([header]))

    def _put(self, batch: pa.RecordBatch) -> None:
        self._packed.write(self._lines(list(zip(*(column.to_pylist() for column in batch.columns), strict=True))))

    def _lines(self, rows: Sequence[Sequence[Any]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()

    def _end(self) -> None:
        self._packed.close()


class LineSink(Sink):
    """Lines, as they are in the only column of what is written."""

    def __init__(self, path: Path, name: str, compression: str | None) -> None:
        super().__init__(path, name)
        self._packed = _Packed(self._out, compression)

    def _put(self, batch: pa.RecordBatch) -> None:
        self._packed.write("".join(f"{line}\n" for line in batch.column(0).to_pylist()).encode())

    def _end(self) -> None:
        self._packed.close()


class _Packed:
    """A stream that packs what is written to it, or not."""

    def __init__(self, out: _Private, compression: str | None) -> None:
        self._stream: Any = out
        if compression:
            self._stream = pa.CompressedOutputStream(pa.PythonFile(out, mode="w"), compression)
        self._compressed = bool(compression)

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    def close(self) -> None:
        if self._compressed:
            self._stream.close()
