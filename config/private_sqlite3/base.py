"""Django's SQLite, in files that nobody else on the machine can read; one that is there already is made so."""

import os
import stat
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base


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


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        make_private(str(conn_params["database"]))
        return super().get_new_connection(conn_params)
