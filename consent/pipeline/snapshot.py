"""Opening a snapshot: nothing of it is used before its signature, its files and its columns have been checked."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import dsse, signed
from .errors import PipelineError, missing, quoting
from .manifest import MANIFEST, Catalogue, Manifest, SnapshotFile, check_bytes
from .schema import schemas

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise missing(error) from None


@dataclass(frozen=True)
class Snapshot:
    """The state of all consent at a position of the ledger: a folder of Parquet files with a signed manifest."""

    directory: Path
    manifest: Manifest

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
        found = cls(Path(directory), Manifest.read(Path(directory), dsse.verify_key(verify_key)))
        if max_age is not None:
            found.require_age(max_age, now or dt.datetime.now(dt.UTC))
        found.check_files()
        return found

    @property
    def position(self) -> int:
        return self.manifest.position

    @property
    def decided_at(self) -> int:
        """The instant of the state, in microseconds since 1970 UTC: of what was collected later it knows nothing."""
        return self.manifest.decided_at

    @property
    def decided(self) -> dt.datetime:
        """`decided_at` as an aware datetime."""
        return self.manifest.decided

    @property
    def catalogue(self) -> Catalogue:
        """Product → its kinds of data, whether members choose, days of cooling-off."""
        return self.manifest.catalogue

    @property
    def files(self) -> tuple[SnapshotFile, ...]:
        return self.manifest.files

    @property
    def manifest_sha256(self) -> str:
        return self.manifest.sha256

    def paths(self, table: str) -> list[str]:
        """The files of a table, in order; at least one."""
        return [str(self.directory / file.name) for file in self.files if file.table == table]

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return self.manifest.rows(table)

    def require_age(self, max_age: dt.timedelta, now: dt.datetime) -> None:
        """Raises PipelineError if the state is older than `max_age` at `now`, or of an instant to come."""
        signed.require_age(self.decided_at, max_age, now, f"The snapshot {self.directory} is of")

    def check_files(self) -> None:
        """Raises PipelineError unless the folder holds exactly the files of the manifest, each as it says there."""
        named = {file.name for file in self.files}
        for path in sorted(self.directory.iterdir()):
            if path.name != MANIFEST and path.name not in named:
                raise PipelineError(f"{path} is not in the manifest of the snapshot.")
        expected = schemas(self.catalogue)
        for file in self.files:
            _check(self.directory / file.name, file, expected[file.table])


def _check(path: Path, file: SnapshotFile, expected: pa.Schema) -> None:
    """Raises PipelineError unless the file is as the manifest says and has exactly the expected columns."""
    try:
        check_bytes(path, file)
        with pq.ParquetFile(path) as parquet:
            rows, schema = parquet.metadata.num_rows, parquet.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise quoting(f"The file {path} can't be read", error) from None
    if rows != file.rows:
        raise PipelineError(f"The file {path} has {rows} rows, and {file.rows} in the manifest.")
    if not schema.equals(expected):
        raise PipelineError(f"The columns of {path} are not those of the catalogue in the manifest.")
