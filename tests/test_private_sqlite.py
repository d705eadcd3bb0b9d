"""Making the embedded database private takes nothing from the connections that are open."""

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

from config.private_sqlite3.base import make_private

WRITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO t VALUES (2)")
connection.commit()
connection.close()
"""


def test_make_private__while_a_connection_is_open__another_process_leaves_its_log(tmp_path: Path) -> None:
    path = tmp_path / "portal.sqlite3"
    make_private(str(path))
    mine = sqlite3.connect(path)
    mine.execute("PRAGMA journal_mode=WAL")
    mine.execute("CREATE TABLE t (n)")
    mine.execute("INSERT INTO t VALUES (1)")
    mine.commit()
    make_private(str(path))  # as the next thread's connection does
    subprocess.run([sys.executable, "-c", WRITE, str(path)], check=True)
    assert path.with_name("portal.sqlite3-wal").exists()
    assert [n for (n,) in mine.execute("SELECT n FROM t ORDER BY n")] == [1, 2]
    mine.execute("INSERT INTO t VALUES (3)")
    mine.commit()
    mine.close()
    assert sqlite3.connect(path).execute("SELECT COUNT(*) FROM t").fetchone() == (3,)


def test_make_private__new_or_open_to_others__owners_alone(tmp_path: Path) -> None:
    for name, there in (("new", False), ("old", True)):
        path = tmp_path / name
        if there:
            path.touch()
            os.chmod(path, 0o644)  # noqa: PTH101
        make_private(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
