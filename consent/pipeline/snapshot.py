"""Opening a snapshot: nothing of it is used before its signature, its files and its columns have been checked."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import dsse
from .digests import sha256_of
from .errors import PipelineError, missing
from .schema import FORMAT, MANIFEST, PREDICATE, TABLES, Product, parse_catalogue, schemas

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise missing(error) from None

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NAME = re.compile(rf"({'|'.join(TABLES)})-(\d{{3,6}})\.parquet")


class SnapshotFile(NamedTuple):
    """A file as the manifest describes it; `sha256` in hexadecimal, `size` in bytes."""

    name: str
    table: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """The state of all consent at a position of the ledger: a folder of Parquet files with a signed manifest.

    `decided_at`: the instant of the state, in microseconds since 1970 UTC; of what was collected later it knows
    nothing. `catalogue`: product → its kinds of data, whether members choose, days of cooling-off.
    """

    directory: Path
    position: int
    decided_at: int
    catalogue: Mapping[str, Product]
    files: tuple[SnapshotFile, ...]
    manifest_sha256: str

    @classmethod
    def open(
        cls,
        directory: str | Path,
        verify_key: str | Path | Ed25519PublicKey,
        max_age: dt.timedelta | None = None,
        *,
        now: dt.datetime | None = None,
    ) -> Self:
        """The snapshot in a folder, completely checked: signature, files, digests, rows, columns.

        `max_age`: how long ago `decided_at` may be, at `now` (the clock, by default). Raises PipelineError, which
        names what is wrong, for a folder that is incomplete, altered, unsigned, older or of another format.
        """
        folder = Path(directory)
        found = cls._manifest(folder, dsse.verify_key(verify_key))
        if max_age is not None:
            found.require_age(max_age, now or dt.datetime.now(dt.UTC))
        found.check_files()
        return found

    @classmethod
    def _manifest(cls, folder: Path, key: Ed25519PublicKey) -> Self:
        path = folder / MANIFEST
        try:
            text = path.read_bytes()
        except OSError as error:
            raise PipelineError(f"{folder} is no snapshot: {MANIFEST} can't be read ({error.strerror}).") from None
        statement = dsse.verify(text, key, f"manifest {path}")
        if not str(statement.get("predicateType")).endswith(PREDICATE):
            raise PipelineError(f"The manifest {path} is not of a snapshot of consent.")
        predicate = statement["predicate"]
        if predicate.get("format") != FORMAT:
            raise PipelineError(
                f"The snapshot {folder} has format {predicate.get('format')!r:.40}; this version reads format {FORMAT}."
            )
        files = _files(predicate, statement)
        if files is None:
            raise PipelineError(f"The manifest {path} does not describe its files as a snapshot's does.")
        catalogue = parse_catalogue(predicate.get("catalogue"))
        return cls(folder, predicate["position"], predicate["decided_at"], catalogue, files, sha256_of(path))

    def require_age(self, max_age: dt.timedelta, now: dt.datetime) -> None:
        """Raises PipelineError if the state is older than `max_age` at `now`."""
        decided = self.decided
        if now - decided > max_age:
            raise PipelineError(
                f"The snapshot {self.directory} is of {decided:%Y-%m-%d %H:%M:%S} UTC: older than {max_age} allowed."
            )

    @property
    def decided(self) -> dt.datetime:
        """`decided_at` as an aware datetime."""
        return _EPOCH + dt.timedelta(microseconds=self.decided_at)

    def paths(self, table: str) -> list[str]:
        """The files of a table, in order; at least one."""
        return [str(self.directory / file.name) for file in self.files if file.table == table]

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return sum(file.rows for file in self.files if file.table == table)

    def check_files(self) -> None:
        """Raises PipelineError unless the folder holds exactly the files of the manifest, each as it says there."""
        named = {file.name for file in self.files}
        for path in sorted(self.directory.iterdir()):
            if path.name != MANIFEST and path.name not in named:
                raise PipelineError(f"{path} is not in the manifest of the snapshot.")
        expected = schemas(self.catalogue)
        for file in self.files:
            _check(self.directory / file.name, file, expected[file.table])


def _files(predicate: Mapping[str, Any], statement: Mapping[str, Any]) -> tuple[SnapshotFile, ...] | None:
    """The files, if position, instant and files are as a snapshot's manifest has them; else None."""
    try:
        files = tuple(SnapshotFile(**each) for each in predicate["files"])
        whole = [predicate["position"], predicate["decided_at"], *(n for file in files for n in (file.rows, file.size))]
        subjects = [(each["name"], each["digest"]["sha256"]) for each in statement["subject"]]
        names = [_NAME.fullmatch(file.name) for file in files]
    except (KeyError, TypeError):
        return None
    sound = (
        all(type(number) is int for number in whole)
        and predicate["position"] >= 0
        and subjects == [(file.name, file.sha256) for file in files]
        and all(name and name[1] == file.table for name, file in zip(names, files, strict=True))
        and len({file.name for file in files}) == len(files)
        and {file.table for file in files} == set(TABLES)
        and all(file.rows >= 0 for file in files)
    )
    return files if sound else None


def _check(path: Path, file: SnapshotFile, expected: pa.Schema) -> None:
    """Raises PipelineError unless the file is as the manifest says and has exactly the expected columns."""
    try:
        if path.is_symlink() or not path.is_file():
            raise PipelineError(f"The file {path} of the snapshot is missing.")
        if path.stat().st_size != file.size:
            raise PipelineError(f"The file {path} has {path.stat().st_size} bytes, and {file.size} in the manifest.")
        if sha256_of(path) != file.sha256:
            raise PipelineError(f"The file {path} was altered: its SHA-256 is not that of the manifest.")
        with pq.ParquetFile(path) as parquet:
            rows, schema = parquet.metadata.num_rows, parquet.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise PipelineError(f"The file {path} can't be read: {error!s:.200}") from None
    if rows != file.rows:
        raise PipelineError(f"The file {path} has {rows} rows, and {file.rows} in the manifest.")
    if not schema.equals(expected):
        raise PipelineError(f"The columns of {path} are not those of the catalogue in the manifest.")
