"""Writing a snapshot: Parquet files first, the signed manifest last, and only then the folder's name."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from . import dsse
from .digests import sha256_of
from .errors import PipelineError, missing
from .manifest import FORMAT, MANIFEST, PREDICATE, TABLES, Catalogue, SnapshotFile, catalogue_data, folder_name
from .schema import ROWS_PER_FILE, ROWS_PER_GROUP, schemas
from .snapshot import Snapshot

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise missing(error) from None

Tables = Mapping[str, Iterable[pa.RecordBatch]]


@contextlib.contextmanager
def _partial(directory: Path, name: str) -> Iterator[Path]:
    """A new folder in `directory`, readable by its owner alone, for a snapshot of this name; gone after the block."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".partial-{name}-", dir=directory))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class Written(NamedTuple):
    """The folder of a snapshot and its files; `renewed`: it was there, with the same files, and the manifest is new."""

    folder: Path
    files: tuple[SnapshotFile, ...]
    renewed: bool


def write_snapshot(
    directory: Path,
    tables: Tables,
    *,
    position: int,
    decided_at: int,
    catalogue: Catalogue,
    origin: str,
    key: Ed25519PrivateKey,
) -> Written:
    """Write a snapshot to `directory/position-…`: under that name it is complete, and until then nothing is there.

    `tables`: the rows of each table, sorted by its key; they are asked for in the order of TABLES. `decided_at` in
    microseconds since 1970 UTC; `origin`: the portal's address. The same rows give the same Parquet files. If the
    folder is there, it gets the new manifest, which may be of a later instant. Raises PipelineError if what is there
    is no complete snapshot of the same files, OSError.
    """
    target = directory / folder_name(position)
    columns = schemas(catalogue)
    with _partial(directory, target.name) as partial:
        files = tuple(file for name in TABLES for file in write_table(partial, name, columns[name], tables[name]))
        write_manifest(
            partial, files, position=position, decided_at=decided_at, catalogue=catalogue, origin=origin, key=key
        )
        _flush(partial)
        renewed = target.exists()
        if renewed:
            _renew(target, partial, files, key)
        else:
            partial.rename(target)
        _flush(directory)
    return Written(target, files, renewed)


def _renew(target: Path, partial: Path, files: tuple[SnapshotFile, ...], key: Ed25519PrivateKey) -> None:
    """Give the snapshot that is there the new manifest. Raises PipelineError unless its files are the same."""
    if Snapshot.open(target, key.public_key()).files != files:
        raise PipelineError(f"{target} is there already, and is another snapshot of its position. Nothing was changed.")
    (partial / MANIFEST).replace(target / MANIFEST)
    _flush(target)


def write_manifest(
    folder: Path,
    files: Iterable[SnapshotFile],
    *,
    position: int,
    decided_at: int,
    catalogue: Catalogue,
    origin: str,
    key: Ed25519PrivateKey,
) -> None:
    """Write the signed manifest of these files into their folder; with it the snapshot is complete."""
    described = [file._asdict() for file in files]
    predicate = {
        "position": position,
        "decided_at": decided_at,
        "catalogue": catalogue_data(catalogue),
        "files": described,
        "format": FORMAT,
    }
    with _private(folder / MANIFEST) as out:
        out.write(dsse.sign(dsse.statement(f"{origin}{PREDICATE}", predicate, described), key))


def write_table(
    folder: Path,
    table: str,
    columns: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    rows_per_file: int = ROWS_PER_FILE,
    rows_per_group: int = ROWS_PER_GROUP,
) -> Iterator[SnapshotFile]:
    """Write a table's files, and yield each once it is written. A table without rows has one file without rows."""
    groups = _row_groups(batches, columns, rows_per_file, rows_per_group)
    number, group = 0, next(groups, None)
    while group is not None or not number:
        path, rows = folder / f"{table}-{number:03d}.parquet", 0
        with _private(path) as out, pq.ParquetWriter(out, columns, compression="zstd") as writer:
            while group is not None and rows < rows_per_file:
                writer.write_table(group, row_group_size=rows_per_group)
                rows += len(group)
                group = next(groups, None)
        yield SnapshotFile(path.name, table, rows, path.stat().st_size, sha256_of(path))
        number += 1


def _row_groups(
    batches: Iterable[pa.RecordBatch], columns: pa.Schema, per_file: int, per_group: int
) -> Iterator[pa.Table]:
    """The same rows as tables, each a row group, cut alike whatever the batches were; none belongs to two files."""
    waiting: list[pa.RecordBatch] = []
    held, left = 0, per_file  # rows that wait, and rows that the file still takes
    for batch in batches:
        rest = batch
        while len(rest):
            wanted = min(per_group, left)
            waiting.append(rest.slice(0, wanted - held))
            held += len(waiting[-1])
            rest = rest.slice(len(waiting[-1]))
            if held == wanted:
                yield pa.Table.from_batches(waiting, columns).combine_chunks()
                waiting, held, left = [], 0, left - held or per_file
    if waiting:
        yield pa.Table.from_batches(waiting, columns).combine_chunks()


@contextlib.contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner can read, on the disk at the end of the block."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        yield out
        out.flush()
        os.fsync(descriptor)


def _flush(folder: Path) -> None:
    """Let the folder's entries reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
