"""The SQLite database: its files are private, and open connections are kept and yet see the current file."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, connections
from pytest_django import DjangoDbBlocker

from config.private_sqlite3.base import DatabaseWrapper, make_private

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


# --- Connections that are kept ---------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[DatabaseWrapper, Path]]:
    """A connection as the portal's, to a database of its own."""
    path = tmp_path / "portal.sqlite3"
    command = "PRAGMA journal_mode=WAL"
    options = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": command}
    settings = {**connections["default"].settings_dict, "NAME": str(path), "CONN_MAX_AGE": 600, "OPTIONS": options}
    mine = DatabaseWrapper(settings, "kept")
    with django_db_blocker.unblock():
        fill(path, "before")
        assert asked(mine) == "before"
        yield mine, path
        mine.close()


def fill(path: Path, text: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE IF NOT EXISTS t (text)")
        writer.execute("DELETE FROM t")
        writer.execute("INSERT INTO t VALUES (?)", [text])
        writer.commit()


def asked(mine: DatabaseWrapper) -> str:
    """As a request asks, from its beginning to its end."""
    mine.close_if_unusable_or_obsolete()
    with mine.cursor() as cursor:
        cursor.execute("SELECT text FROM t")
        (text,) = cursor.fetchone()
    mine.close_if_unusable_or_obsolete()
    return str(text)


def test_kept__nothing_happened__is_the_same_connection(kept: tuple[DatabaseWrapper, Path]) -> None:
    mine, path = kept
    connection = mine.connection
    fill(path, "after")
    assert asked(mine) == "after"
    assert mine.connection is connection


@pytest.mark.parametrize("checkpointed", [True, False])
def test_kept__file_exchanged__the_new_one_answers_and_not_the_old_ones_log(
    kept: tuple[DatabaseWrapper, Path], checkpointed: bool
) -> None:
    mine, path = kept
    if not checkpointed:
        fill(path, "in the log, which the new file knows nothing of")
        assert asked(mine).startswith("in the log")
    other = path.with_name("other.sqlite3")
    fill(other, "exchanged")
    other.replace(path)
    assert asked(mine) == "exchanged"
    fill(path, "written to")
    assert asked(mine) == "written to"
    with mine.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        assert cursor.fetchone() == ("ok",)


def test_kept__file_removed__is_not_answered_from(kept: tuple[DatabaseWrapper, Path]) -> None:
    mine, path = kept
    for each in path.parent.glob("portal.sqlite3*"):
        each.unlink()
    with pytest.raises(OperationalError, match="no such table"):
        asked(mine)
    fill(path, "made anew")
    assert asked(mine) == "made anew"


def test_kept__query_that_nobody_read_to_its_end__keeps_no_request_in_the_past(
    kept: tuple[DatabaseWrapper, Path],
) -> None:
    mine, path = kept
    left = mine.cursor()
    left.execute("SELECT text FROM t UNION ALL SELECT text FROM t")
    assert left.fetchone() == ("before",)
    fill(path, "after")
    assert asked(mine) == "after"
    assert left is not None  # it is still there


def test_kept__cursor_of_a_connection_that_was_closed__troubles_no_request(kept: tuple[DatabaseWrapper, Path]) -> None:
    mine, _path = kept
    left = mine.cursor()
    left.execute("SELECT text FROM t")
    mine.close()
    assert asked(mine) == "before"
    assert left is not None  # it is still there, as in a traceback


def test_kept__another_process_makes_files_private__lets_nobody_remove_its_log(
    kept: tuple[DatabaseWrapper, Path],
) -> None:
    mine, path = kept
    with mine.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES ('mine')")
    make_private(str(path))
    asked(mine)
    subprocess.run([sys.executable, "-c", WRITE.replace("2", "'theirs'"), str(path)], check=True)
    with mine.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM t")
        assert cursor.fetchone() == (3,)
