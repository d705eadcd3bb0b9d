"""Databases that can be set back to an earlier moment: SQLite by copies, PostgreSQL by its write-ahead log."""

import contextlib
import datetime as dt
import os
import pwd
import random
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import psycopg

from tests.with_postgres import binaries

from . import databases

_SECONDS_TO_PROMOTE = 60


class Restorable(Protocol):
    """A database that changes; `mark` is called now and then while it does, `restore` once nobody is connected."""

    label: str

    @property
    def url(self) -> str: ...

    def begin(self) -> None: ...

    def mark(self) -> None: ...

    def restore(self, dice: random.Random) -> str: ...

    def end(self) -> None: ...

    def query(self, statement: str) -> list[tuple[object, ...]]: ...


class Sqlite:
    """Copies that `manage.py backup` makes; one of them is put into the place of the database."""

    label = "SQLite"

    def __init__(self, folder: Path, loaded: Path) -> None:
        self.folder, self.loaded = folder, loaded
        self.file, self.copies = folder / "portal.sqlite3", []  # type: tuple[Path, list[Path]]

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def begin(self) -> None:
        shutil.copyfile(self.loaded, self.file)

    def mark(self) -> None:
        copy = self.folder / f"copy-{len(self.copies)}.sqlite3"
        process = databases.start(self.url, "manage.py", "backup", str(copy), "--quiet")
        process.communicate()
        if process.returncode:
            raise RuntimeError("the backup failed")
        self.copies.append(copy)

    def restore(self, dice: random.Random) -> str:
        copy = dice.choice(self.copies)
        for each in self.folder.glob("portal.sqlite3*"):
            each.unlink()
        shutil.copyfile(copy, self.file)
        return copy.name

    def end(self) -> None:
        for each in self.folder.glob("*.sqlite3*"):
            each.unlink()
        self.copies.clear()

    def query(self, statement: str) -> list[tuple[object, ...]]:
        import sqlite3

        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(statement).fetchall()


class Postgresql:
    """A server of its own, a base backup of it and all of its write-ahead log; restored to any instant in between."""

    label = "PostgreSQL"

    def __init__(self, folder: Path, programs: Path, dump: Path) -> None:
        self.folder, self.programs, self.dump = folder, programs, dump
        self.user = "nobody" if os.geteuid() == 0 else None
        self.data = self.archive = self.base = self.socket = folder
        self.marks: list[dt.datetime] = []

    @property
    def url(self) -> str:
        return f"postgresql://postgres:@/postgres?host={self.socket}"

    def begin(self) -> None:
        # The socket is apart: it is no part of a backup, and the restored server has the same.
        folders = (self._folder(name) for name in ("data", "archive", "base", "socket"))
        self.data, self.archive, self.base, self.socket = folders
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C",
                  "-D", str(self.data))  # fmt: skip
        target = f"{self.archive}/%f"
        archiving = f"test ! -f {target} && cp %p {target}.part && mv {target}.part {target}"
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"archive_mode = on\narchive_command = '{archiving}'\nwal_level = replica\n")
        self._start()
        self._run("psql", "-q", "-h", str(self.socket), "-U", "postgres", "-f", str(self.dump), "postgres")
        self._run("pg_basebackup", "-h", str(self.socket), "-U", "postgres", "--wal-method=none", "--checkpoint=fast",
                  "--no-sync", "-D", str(self.base))  # fmt: skip

    def mark(self) -> None:
        self.marks.append(dt.datetime.now(dt.UTC))

    def restore(self, dice: random.Random) -> str:
        first, last = self.marks[0], self.marks[-1]
        instant = first + (last - first) * dice.random()
        with psycopg.connect(self.url, autocommit=True) as connection:
            (segment,) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        ends = time.monotonic() + _SECONDS_TO_PROMOTE
        while not (self.archive / str(segment)).exists() and time.monotonic() < ends:
            time.sleep(0.05)
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.data))
        self.data = self.base
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(
                f"restore_command = 'cp {self.archive}/%f %p'\nrecovery_target_time = '{instant.isoformat()}'\n"
                "recovery_target_action = 'promote'\n"
            )
        (self.data / "recovery.signal").touch()
        if self.user:
            os.chown(self.data / "recovery.signal", pwd.getpwnam(self.user).pw_uid, -1)
        self._start()
        while time.monotonic() < ends and self.query("SELECT pg_is_in_recovery()") == [(True,)]:
            time.sleep(0.05)
        return f"{instant:%H:%M:%S.%f}, {(last - instant).total_seconds():.1f} s before the end"

    def end(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.data))
        for name in ("data", "archive", "base", "socket"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.marks.clear()

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[call-overload]

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        if self.user:
            os.chown(folder, pwd.getpwnam(self.user).pw_uid, -1)
        return folder

    def _start(self) -> None:
        options, log = f"-h '' -k {self.socket}", self.data / "server.log"
        try:
            self._run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", str(log), "-o", options)
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"PostgreSQL does not start: {log.read_text()[-2000:]}") from error

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments], check=True, user=self.user, cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip


@contextlib.contextmanager
def sqlite(rows: int) -> Iterator[Sqlite]:
    """One whose rounds begin with `rows` organizations, each with a member."""
    with tempfile.TemporaryDirectory(prefix="portal-restore-") as name:
        folder = Path(name)
        loaded = folder / f"loaded-{uuid.uuid4().hex}"
        databases.step(f"sqlite:///{loaded}", "sides", "loaded", str(rows), "1")
        yield Sqlite(folder, loaded)


@contextlib.contextmanager
def postgresql(rows: int) -> Iterator[Postgresql]:
    """The same; a server is started, and deleted, for each round. Raises Unavailable where there is no PostgreSQL."""
    folder = Path(tempfile.mkdtemp(prefix="portal-restore-", dir="/tmp"))
    place = None
    try:
        programs = binaries(folder)
        folder.chmod(0o755)
        place = Postgresql(folder, programs, folder / "loaded.sql")
        place.dump.write_text("")
        place.begin()
        databases.step(place.url, "sides", "loaded", str(rows), "1")
        dump = subprocess.run(
            [programs / "pg_dump", "-h", str(place.socket), "-U", "postgres", "postgres"],
            check=True, capture_output=True, user=place.user, cwd=folder,
        )  # fmt: skip
        place.end()
        place.dump.write_bytes(dump.stdout)
        place.dump.chmod(0o644)
        yield place
    finally:
        if place is not None:
            with contextlib.suppress(subprocess.CalledProcessError):
                place.end()
        shutil.rmtree(folder, ignore_errors=True)
