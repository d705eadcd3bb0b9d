"""Django's SQLite backend, with database files that only their owner can read, existing ones included.

Connections persist across requests. For that, each request checks that the file is still the one that was opened. Of
the limits in `config.timeouts` only the one on locks applies, to waiting for another writer; statements have no limit.
"""

import contextlib
import functools
import os
import re
import sqlite3
import stat
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db import Error
from django.db.backends.sqlite3 import base

from ..timeouts import NONE, Limits, current


def make_private(name: str) -> None:
    """Create the database file if it is missing, and give it and SQLite's files beside it mode 0600.

    SQLite creates its -wal and -shm files with the mode of the database file. An existing file is never opened here:
    closing it would release the POSIX locks that other connections of this process hold on it, and another process
    could then remove the log to which they still write.
    """
    if name == ":memory:" or name.startswith("file:"):
        return
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError:
        return  # missing directory, a directory, no permission: SQLite reports it when it connects
    for path in (name, f"{name}-wal", f"{name}-shm", f"{name}-journal"):
        _close_to_others(Path(path))


def _close_to_others(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            path.chmod(0o600)
    except (FileNotFoundError, PermissionError):  # just deleted, or another user's: accounts.W010 reports that
        return


# Device and inode, which identify a file independent of its name, as long as the file is open.
_Identity = tuple[int, int]


def _identity(name: str) -> _Identity | None:
    """The identity of the file with this name, or None. It is not opened, see `make_private`."""
    try:
        found = os.stat(name)  # noqa: PTH116  faster, and called four times a request
    except OSError:
        return None
    return found.st_dev, found.st_ino


@functools.cache
def _question_marks(sql: str) -> str:
    return re.sub("%[s%]", lambda found: "?" if found[0] == "%s" else "%", sql)


class DatabaseWrapper(base.DatabaseWrapper):
    # The identities of the database file and its log when this connection was last checked.
    _opened: tuple[_Identity | None, _Identity | None] = (None, None)
    # The limits for which busy_timeout is set on this connection; None: `is_read_only` has changed it.
    _told: Limits | None = NONE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cursors: weakref.WeakSet[Any] = weakref.WeakSet()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        make_private(str(conn_params["database"]))
        self._told = NONE
        self._cursors.clear()  # those of a connection that is closed can't be closed any more
        self._opened = self._files()  # before opening: if the file is exchanged in between, the next check then notices
        return super().get_new_connection(conn_params)

    def _files(self) -> tuple[_Identity | None, _Identity | None]:
        name = str(self.settings_dict["NAME"])
        return _identity(name), _identity(f"{name}-wal")

    def close_if_unusable_or_obsolete(self) -> None:
        """Called before and after each request, and repeatedly by the worker."""
        if self.connection is not None and not self.in_atomic_block:
            # Close cursors: one that was not read to its end would keep its read snapshot open for all later queries.
            if self._cursors:  # asked first, because to list none takes longer
                for cursor in list(self._cursors):
                    cursor.close()
            if self._is_exchanged():
                self.close()
        super().close_if_unusable_or_obsolete()

    def _is_exchanged(self) -> bool:
        """Whether the database file was replaced or removed since it was opened.

        If it was and the old log is still there, the log is deleted, because SQLite would apply it to the new file.
        """
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

    def fetch_prepared(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a SELECT, read to their end; `sql` is one of few constant texts.

        Without Django's cursors, which rewrite `%s` at each use. SQLite's module keeps the statement.
        """
        with self.wrap_database_errors:
            self.apply_limits()
            return self.connection.execute(_question_marks(sql), parameters).fetchall()  # type: ignore[no-any-return]

    def is_read_only(self) -> bool:
        """Whether the database is read-only: tries to begin a write transaction, and rolls it back."""
        if self.in_atomic_block:
            return False
        with self.cursor() as cursor:
            # Do not wait for another writer: a locked database is writable.
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
