"""Django's SQLite, in files that nobody else on the machine can read; one that is there already is made so.

Connections are kept from one request to the next, which costs a request nothing but a look at the file: whether it is
the one that was opened. What keeps to `config.timeouts` is waiting for another writer; statements take their time.
"""

import contextlib
import os
import sqlite3
import stat
import weakref
from pathlib import Path
from typing import Any, NamedTuple

from django.db import Error
from django.db.backends.sqlite3 import base

from ..timeouts import NONE, Limits, current


def make_private(name: str) -> None:
    """The database file, made if it is not there, and what SQLite keeps beside it, which takes its mode from there.

    A file that is there is never opened: closing it again would end the locks that other connections of this process
    hold on it (POSIX), and another process would take it for nobody's and remove the log that they still write to.
    """
    if name == ":memory:" or name.startswith("file:"):
        return
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError:
        return  # no folder, a folder, somebody else's: SQLite itself says what is wrong
    for path in (name, f"{name}-wal", f"{name}-shm", f"{name}-journal"):
        _close_to_others(Path(path))


def _close_to_others(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            path.chmod(0o600)
    except (FileNotFoundError, PermissionError):  # gone just now, or its owner's business: accounts.W010 says so
        return


class _Identity(NamedTuple):
    """Which file it is, whatever its name: as long as it is open, no other one gets the same."""

    device: int
    inode: int


def _identity(name: str) -> _Identity | None:
    """None where there is no such file; nothing is opened, see `make_private`."""
    try:
        found = os.stat(name)  # noqa: PTH116  twice a request
    except OSError:
        return None
    return _Identity(found.st_dev, found.st_ino)


class DatabaseWrapper(base.DatabaseWrapper):
    # The database file and its log, as they were when this connection was last looked at.
    _opened: tuple[_Identity | None, _Identity | None] = (None, None)
    # What this connection waits for a lock as; None: for once otherwise.
    _told: Limits | None = NONE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cursors: weakref.WeakSet[Any] = weakref.WeakSet()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        make_private(str(conn_params["database"]))
        self._told = NONE
        self._opened = self._files()  # before it is opened: what comes in between is then taken for another one
        return super().get_new_connection(conn_params)

    def _files(self) -> tuple[_Identity | None, _Identity | None]:
        name = str(self.settings_dict["NAME"])
        return _identity(name), _identity(f"{name}-wal")

    def close_if_unusable_or_obsolete(self) -> None:
        """Called before and after each request, and by a worker again and again."""
        if self.connection is not None and not self.in_atomic_block:
            # A query that nobody read to its end would keep all later ones at the moment that it began in.
            for cursor in list(self._cursors):
                cursor.close()
            if self._is_exchanged():
                self.close()
        super().close_if_unusable_or_obsolete()

    def _is_exchanged(self) -> bool:
        """Whether another file has this name now, or none; the log of the one before is not for the new one to read."""
        database, log = self._files()
        was, was_log = self._opened
        if database == was:
            self._opened = database, log
            return False
        if log is not None and log == was_log:
            name = str(self.settings_dict["NAME"])
            for path in (f"{name}-wal", f"{name}-shm"):
                with contextlib.suppress(OSError):
                    Path(path).unlink()
        return True

    def apply_limits(self) -> None:
        limits = current()
        if limits != self._told:
            seconds = limits.lock or self.settings_dict["OPTIONS"].get("timeout", 5)
            self.connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
            self._told = limits

    def is_read_only(self) -> bool:
        """Whether nobody can write here: asked for the right to, and given back at once."""
        if self.in_atomic_block:
            return False
        with self.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 0")
            self._told = None
            try:
                cursor.execute("BEGIN IMMEDIATE")
                cursor.execute("ROLLBACK")
            except Error as error:
                return getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
        return False

    def create_cursor(self, name: str | None = None) -> Any:
        self.apply_limits()
        cursor = super().create_cursor(name)
        self._cursors.add(cursor)
        return cursor
