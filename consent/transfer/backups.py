"""Backups of the embedded database: whole copies, made while others write, read back and given a checksum."""

import contextlib
import dataclasses
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import django.db
from django.db import connection, transaction

from accounts.access import Actor

from .. import ledger
from ..files.atomic import BadFile
from ..models import Backup, Source
from ..services.exports import Export, note_export

OnBytes = Callable[[int], None]
_STEPS = 20_000  # of SQLite's machine between two looks at how far it is
_READ = 1 << 20  # bytes at a time


@dataclasses.dataclass(frozen=True)
class Made:
    """A backup: its size in bytes, the SHA-256 of its file, and the position up to which it has the ledger."""

    size: int
    digest: str
    head: int
    # Whether it lies on the disk of the database.
    beside: bool


def checksum_file(path: Path) -> Path:
    """Where a backup's checksum is written, as `sha256sum --check` reads it."""
    return path.with_name(f"{path.name}.sha256")


def database_file() -> Path:
    """The file of the embedded database. Raises BadFile for one in memory."""
    name = str(connection.settings_dict["NAME"])
    if name == ":memory:" or name.startswith("file:"):
        raise BadFile("The database is in memory: there is no file to copy.")
    return Path(name)


def size_of_database() -> int:
    """Bytes of the database without what is free in it: about the size of its copy."""
    with connection.cursor() as cursor:
        numbers = []
        for name in ("page_count", "freelist_count", "page_size"):
            cursor.execute(f"PRAGMA {name}")
            numbers.append(cursor.fetchone()[0])
    return int((numbers[0] - numbers[1]) * numbers[2])


def make(path: Path, on_bytes: OnBytes | None = None) -> Made:
    """Copy the database, as it is at one moment, to a new file; note it in the ledger and for the metrics.

    The file appears complete, on disk, with its checksum beside it, or not at all. `on_bytes` gets the size so far.
    Raises BadFile if there is a file, or none can be made; django.db.Error if the copy fails.
    """
    source = database_file()
    with _new(path) as copy:
        _vacuum_into(copy, on_bytes)
        head = _read_back(copy)
        digest = _sync(copy)
        made = Made(copy.stat().st_size, digest, head, beside=copy.stat().st_dev == source.stat().st_dev)
        # Before the file gets its name: there is no copy that nobody knows of.
        with transaction.atomic():
            note_export(Export.BACKUP, organization=None, actor=Actor.system(), source=Source.COMMAND)
            note(head, made.size)
        _write_checksum(path, digest)
    return made


def note(head: int, size: int | None = None) -> None:
    """Note that a backup was made now, for the metrics and the operators' overview; `size` None: by other means."""
    Backup.objects.create(at=ledger.clock(), head=head, size=size)


@contextlib.contextmanager
def _new(path: Path) -> Iterator[Path]:
    """An empty private file beside `path`, which takes that name at the end of the block; without one it goes."""
    if path.exists() or path.is_symlink():
        raise BadFile(f"{path} is there already. A backup replaces nothing: give another name.")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}.") from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        _name(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _name(temporary: Path, path: Path) -> None:
    """Give the file its name, unless another has it by now."""
    try:
        path.hardlink_to(temporary)  # unlike a rename, never replaces
    except FileExistsError as error:
        raise BadFile(f"{path} is there already. A backup replaces nothing: give another name.") from error
    except OSError:  # a file system without links
        if path.exists():
            raise BadFile(f"{path} is there already. A backup replaces nothing: give another name.") from None
        temporary.rename(path)


def _vacuum_into(copy: Path, on_bytes: OnBytes | None) -> None:
    connection.ensure_connection()
    raw = connection.connection

    def look() -> int:
        if on_bytes:
            on_bytes(copy.stat().st_size)
        return 0

    raw.set_progress_handler(look, _STEPS)
    try:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(copy)])
    except django.db.OperationalError as error:
        if str(error) == "interrupted":  # Ctrl-C, which Python's module turns into this
            raise KeyboardInterrupt from error
        raise
    finally:
        raw.set_progress_handler(None, 0)


def _read_back(copy: Path) -> int:
    """Read the whole copy; returns the last position of its ledger. Raises BadFile if it is damaged."""
    # Immutable: else SQLite would look for, and make, files beside it.
    with contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?immutable=1", uri=True)) as found:
        problems = [text for (text,) in found.execute("PRAGMA quick_check(1)")]
        if problems != ["ok"]:
            raise BadFile(f"The copy is damaged: {problems[0]}.")
        return int(found.execute("SELECT COALESCE(MAX(position), 0) FROM consent_eventposition").fetchone()[0])


def _sync(copy: Path) -> str:
    """Bring the file to disk; returns its SHA-256."""
    seen = hashlib.sha256()
    with copy.open("rb") as file:
        while piece := file.read(_READ):
            seen.update(piece)
        os.fsync(file.fileno())
    return seen.hexdigest()


def _write_checksum(path: Path, digest: str) -> None:
    """Write the checksum; one that is there already is left of a backup that did not come to its end."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{digest}  {path.name}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(checksum_file(path))
    finally:
        Path(name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring the names of files to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
