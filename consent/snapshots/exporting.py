"""Exporting a snapshot: all consent at a position of the ledger, as signed files for the pipeline."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from django.db import connection

from accounts.fields import to_micros
from accounts.transactions import snapshot

from .. import ledger, manifests
from ..models import SnapshotMade
from ..pipeline.digests import sha256_of
from ..pipeline.errors import PipelineError
from ..pipeline.manifest import MANIFEST, folder_name
from ..pipeline.schema import TABLES, schemas
from ..pipeline.snapshot import Snapshot
from ..pipeline.writing import Written, write_snapshot
from ..witness import guard
from .batches import batches
from .catalogue import catalogue
from .cut import Cut, cut, quiet_instant
from .statements import statements


class Exported(NamedTuple):
    """What was exported: `decided_at` is the instant of the state, `rows` the number of each table."""

    written: Written
    position: int
    decided_at: dt.datetime
    rows: dict[str, int]


def export_snapshot(
    directory: Path, position: int | None = None, on_rows: Callable[[int], None] = lambda _rows: None
) -> Exported:
    """Write the snapshot at a position, by default at the head, into a folder of its own in `directory`.

    Takes no lock: changes and feeds go on meanwhile. A snapshot of this position that is there gets a manifest of this
    moment. `on_rows` gets the number of rows so far. Raises PipelineError: without a key to sign by, in quarantine, for
    a position that the ledger does not have, if something else is there, or the files can't be written.
    """
    manifests.signing_key()
    if guard.quarantined():
        raise PipelineError(
            "This database may be older than what was stored last, so it gives no snapshots (manage.py restore status)."
        )
    ledger.sequence()
    known_until = quiet_instant()
    with snapshot():
        found = cut(position, known_until)
        try:
            written = _write(directory, found, on_rows)
        except OSError as error:
            raise PipelineError(
                f"The snapshot can't be written to {directory}: {error.strerror or error}.", 1
            ) from error
    _note(written, found)
    rows = {table: sum(file.rows for file in written.files if file.table == table) for table in TABLES}
    return Exported(written, found.position, found.decided_at, rows)


def _note(written: Written, found: Cut) -> None:
    """Note which manifest was signed, so that a report of the filter can't name another. The same twice is one."""
    digest = sha256_of(written.folder / MANIFEST)
    if not SnapshotMade.objects.filter(manifest_sha256=digest).exists():
        SnapshotMade.objects.create(
            position=found.position, decided_at=found.decided_at, manifest_sha256=digest, made_at=ledger.clock()
        )


def _write(directory: Path, found: Cut, on_rows: Callable[[int], None]) -> Written:
    key, products = manifests.signing_key(), catalogue(found.decided_at)
    target = directory / folder_name(found.position)
    if target.exists():  # whatever is wrong with it is told before the work begins
        Snapshot.open(target, key.public_key())
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        on_rows(done)

    columns, selects = schemas(products), statements(connection.vendor, found, products)
    return write_snapshot(
        directory,
        {table: batches(selects[table], columns[table], count) for table in TABLES},
        position=found.position,
        decided_at=to_micros(found.decided_at),
        catalogue=products,
        origin=manifests.origin(),
        key=key,
    )
