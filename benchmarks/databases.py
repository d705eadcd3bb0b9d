"""Databases for one measurement each: created empty or copied from a prepared one, then deleted. Needs no Django."""

import base64
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parents[1]
# Shared by all processes of one run. They protect only the data of that run.
_SECRETS = {name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "API_KEY_PEPPER")}
_SECRETS |= {"MANIFEST_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode()}


# The URL of a migrated database that tests name here: a new one is its copy, which `migrate` finds done. Not for
# measurements, which begin with an empty one.
_MIGRATED = "MIGRATED_DATABASE"


class Place(Protocol):
    """A database server or directory. `fresh` and `copy` create a database and return its DATABASE_URL."""

    label: str

    def fresh(self, name: str) -> str: ...

    def copy(self, source: str, name: str) -> str: ...

    def drop(self, name: str) -> None: ...


# Databases as files of one directory.
class Sqlite:
    label = "SQLite"

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.sqlite3"

    def fresh(self, name: str) -> str:
        self.drop(name)
        prefix = "sqlite:///"
        if (migrated := os.environ.get(_MIGRATED, "")).startswith(prefix):
            shutil.copyfile(migrated.removeprefix(prefix), self._path(name))
        return f"{prefix}{self._path(name)}"

    def copy(self, source: str, name: str) -> str:
        url = self.fresh(name)
        # A -wal file would hold changes that a copy of the database file alone misses.
        if self._path(source).with_name(f"{source}.sqlite3-wal").exists():
            raise RuntimeError(f"somebody is still connected to {source}")
        shutil.copyfile(self._path(source), self._path(name))
        os.sync()  # else the measurement would include writing the copy to disk
        return url

    def drop(self, name: str) -> None:
        for each in self.directory.glob(f"{name}.sqlite3*"):
            each.unlink()


# Databases of one server; the process id in their names keeps concurrent runs apart.
class Postgresql:
    label = "PostgreSQL"

    def __init__(self, url: str) -> None:
        self.url, self.prefix = url, f"bench_{os.getpid()}"

    def _execute(self, *statements: str, **names: str) -> None:
        quoted = {key: sql.Identifier(name) for key, name in names.items()}
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(sql.SQL(statement).format(**quoted))  # type: ignore[arg-type]  # constants, below

    def fresh(self, name: str) -> str:
        if (migrated := os.environ.get(_MIGRATED, "")).startswith("postgres"):
            self._create_copy(name, urlsplit(migrated).path.removeprefix("/"))
        else:
            self._execute("CREATE DATABASE {name}", name=f"{self.prefix}_{name}")
        return self._url(name)

    def _create_copy(self, name: str, source: str) -> None:
        names = {"name": f"{self.prefix}_{name}", "source": source}
        self._execute("CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy", **names)

    def copy(self, source: str, name: str) -> str:
        self._create_copy(name, f"{self.prefix}_{source}")
        # Both write the copy to disk now, not during the measurement.
        self._execute("CHECKPOINT")
        os.sync()
        return self._url(name)

    def drop(self, name: str) -> None:
        self._execute("DROP DATABASE IF EXISTS {name} WITH (FORCE)", name=f"{self.prefix}_{name}")

    def _url(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{self.prefix}_{name}").geturl()


@contextlib.contextmanager
def place(url: str) -> Iterator[Place]:
    """The PostgreSQL server of `url`; for an empty `url`, a temporary directory for SQLite files."""
    if url:
        yield Postgresql(url)
        return
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as directory:
        yield Sqlite(Path(directory))


@contextlib.contextmanager
def existing(where: Place, name: str, source: str = "") -> Iterator[str]:
    """Context manager: a database that exists during the block, empty or a copy of `source`; yields its URL."""
    try:
        yield where.copy(source, name) if source else where.fresh(name)
    finally:
        where.drop(name)


def environment(url: str, **more: str) -> dict[str, str]:
    """The environment of processes that use a benchmark's database, without a developer's own settings."""
    settings = {"DATABASE_URL": url, "ENV_FILE": os.devnull, "DEBUG": "false", "HTTPS": "false", "LOG_LEVEL": "WARNING"}
    settings |= {"EMAIL_URL": "dummymail://"}  # the benchmarks send no e-mail
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **settings, **_SECRETS, **more}


def start(
    url: str, *arguments: str, piped: bool = True, stdin: int | None = None, errors: int | None = None, **more: str
) -> subprocess.Popen[str]:
    """Start a Python process. Its stdout can be read if `piped`; `more` are additional settings."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(url, **more),
        stdin=stdin,
        stdout=subprocess.PIPE if piped else None,
        stderr=errors,
        text=True,
    )


def step(url: str, module: str, *arguments: str) -> dict[str, Any]:
    """Run a module of this package; returns the parsed JSON of its last line. Raises RuntimeError if it fails."""
    process = start(url, "-m", f"benchmarks.{module}", *arguments)
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"benchmarks.{module} {' '.join(arguments)} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found
