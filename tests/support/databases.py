"""A migrated database that workers copy, because running all migrations would cost each of them seconds.

For SQLite it is a file that is kept between runs and named after a fingerprint of the migrations; for PostgreSQL it is
a template database that the first worker of a run creates.
"""

import ast
import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection

ROOT = Path(__file__).parents[2]
LATELY_USED = 4  # files to keep: enough for switching between some branches


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """A file lock, which only one worker of all runs holds at a time."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fingerprint() -> str:
    """A digest of all migrations, the product's modules that they import, Django's version and the kind of database."""
    found = hashlib.sha256(f"{metadata.version('Django')} {connection.vendor}".encode())
    ours: set[Path] = set()
    for app in apps.get_app_configs():
        for path in sorted(Path(app.path).glob("migrations/*.py")):
            found.update(path.read_bytes())
            if path.is_relative_to(ROOT) and ".venv" not in path.parts:
                ours |= _imported(path)
    for path in sorted(ours):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _imported(path: Path) -> set[Path]:
    """The files of the product's modules that this file imports, in either form of import."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {ROOT / f"{name.replace('.', '/')}.py" for name in names}
    return {each for each in found if each.is_file()}


def copy_sqlite(target: Path, kept: Path) -> None:
    """Copy a migrated file to `target`; Django's own `migrate` then has little or nothing left to do."""
    with one_at_a_time(kept):
        template = kept / f"{fingerprint()}.sqlite3"
        if not template.exists():
            made = kept / f"making-{os.getpid()}"
            _migrate(str(made))
            made.rename(template)
            for old in sorted(kept.glob("*.sqlite3"), key=lambda each: each.stat().st_mtime)[:-LATELY_USED]:
                old.unlink()
        template.touch()
        shutil.copyfile(template, target)


def template_postgresql(folder: Path) -> str:
    """The name of a migrated database for CREATE DATABASE … TEMPLATE; stored in `folder`, that of the run."""
    note = folder / "template"
    with one_at_a_time(folder):
        if not note.exists():
            name = f"test_template_{os.getpid()}"
            with connection._nodb_cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS {name}")
                cursor.execute(f"CREATE DATABASE {name}")
            note.write_text(name)
            _migrate(name)
    return note.read_text()


def drop_template_postgresql(folder: Path) -> None:
    """Drop the template, once no worker copies it any more."""
    note = folder / "template"
    if note.exists():
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE {note.read_text()}")
        note.unlink()


def _migrate(name: str) -> None:
    """Run the migrations with the settings of a test database."""
    usual = connection.settings_dict["NAME"]
    connection.close()
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name
    try:
        call_command("migrate", verbosity=0, interactive=False)
    finally:
        connection.close()
        settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = usual
