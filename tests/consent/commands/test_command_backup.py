"""`backup`: a whole copy of the embedded database with its checksum, or nothing."""

import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import OperationalError, connection

from consent import ledger
from consent.models import Backup, ConsentEvent, EventKind
from consent.transfer import backups
from tests.support import commands
from tests.support.cast import Cast, make
from tests.support.commands import run

ROOT = Path(__file__).parents[3]
on_sqlite = pytest.mark.only_on("sqlite", reason="PostgreSQL has backups of its own")


@pytest.fixture
def filled(transactional_db: None) -> Cast:
    cast = make()
    ledger.sequence()
    return cast


def found(path: Path, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True) as copy:
        return copy.execute(statement).fetchall()


@on_sqlite
def test_backup__file__private_whole_and_with_its_checksum(filled: Cast, tmp_path: Path) -> None:
    path, head, events = tmp_path / "b.sqlite3", ledger.head(), ConsentEvent.objects.count()
    done = run("backup", str(path), "--format", "json")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert done.code == 0
    assert done.json == {"file": str(path), "bytes": path.stat().st_size, "head": head, "sha256": digest}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert subprocess.run(["sha256sum", "--check", "--strict", "b.sqlite3.sha256"], cwd=tmp_path, check=True)
    assert found(path, "SELECT COUNT(*) FROM consent_consentevent") == [(events,)]
    assert found(path, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger'") != [(0,)]
    assert {each.name for each in tmp_path.iterdir()} == {"b.sqlite3", "b.sqlite3.sha256"}


@on_sqlite
def test_backup__made__noted_in_the_ledger_and_for_the_metrics(filled: Cast, tmp_path: Path) -> None:
    head = ledger.head()
    assert run("backup", str(tmp_path / "b.sqlite3")).code == 0
    event = ConsentEvent.objects.order_by("-pk")[0]
    assert (event.kind, event.after, event.organization_id) == (EventKind.ACCESS_DATA_EXPORTED, "backup", None)
    size = (tmp_path / "b.sqlite3").stat().st_size
    assert [(each.head, each.size) for each in Backup.objects.all()] == [(head, size)]


@on_sqlite
@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_backup__name_is_taken__refused_and_left(filled: Cast, tmp_path: Path, there: str) -> None:
    path = tmp_path / "b.sqlite3"
    {"file": lambda: path.write_text("mine"), "folder": path.mkdir, "link": lambda: path.symlink_to("gone")}[there]()
    before = commands.database()
    done = run("backup", str(path))
    assert (done.code, done.out) == (1, "")
    assert "is there already. A backup replaces nothing" in done.err and "Nothing was changed" in done.err
    assert commands.database() == before
    assert [each.name for each in tmp_path.iterdir()] == ["b.sqlite3"]
    assert there != "file" or path.read_text() == "mine"


@on_sqlite
def test_backup__name_is_taken_meanwhile__refused_and_left(filled: Cast, tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite3"

    def overtaken() -> None:
        with backups._new(path) as copy:
            copy.write_text("copy")
            path.write_text("mine")

    with pytest.raises(backups.BadFile, match="is there already"):
        overtaken()
    assert path.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["b.sqlite3"]


@on_sqlite
def test_backup__no_such_folder__exits_1(filled: Cast, tmp_path: Path) -> None:
    before = commands.database()
    done = run("backup", str(tmp_path / "no" / "b.sqlite3"))
    assert (done.code, done.out) == (1, "") and "No such file or directory" in done.err
    assert commands.database() == before


@on_sqlite
def test_backup__fails_on_the_way__no_file_and_no_note(
    filled: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = commands.database()

    def full(_copy: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backups, "_sync", full)
    done = run("backup", str(tmp_path / "b.sqlite3"))
    assert (done.code, done.out) == (1, "") and "No space left on device" in done.err
    assert commands.database() == before
    assert list(tmp_path.iterdir()) == []


@on_sqlite
def test_backup__copy_is_damaged__refused(filled: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = backups._vacuum_into

    def damage(copy: Path, on_bytes: backups.OnBytes | None) -> None:
        whole(copy, on_bytes)
        with copy.open("r+b") as file:
            file.seek(copy.stat().st_size // 2)
            file.write(bytes(8192))

    monkeypatch.setattr(backups, "_vacuum_into", damage)
    done = run("backup", str(tmp_path / "b.sqlite3"))
    assert done.code == 1 and "Nothing was changed." in done.err
    assert list(tmp_path.iterdir()) == [] and not Backup.objects.exists()


@on_sqlite
def test_backup__interrupted__ends(filled: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "_STEPS", 50)

    def interrupt(_size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backups._vacuum_into(tmp_path / "b.sqlite3", interrupt)
    # And the connection is as it was: nothing interrupts the next statement.
    assert ConsentEvent.objects.exists()


@on_sqlite
def test_backup__checksum_of_one_that_did_not_end__replaced(filled: Cast, tmp_path: Path) -> None:
    (tmp_path / "b.sqlite3.sha256").write_text("left")
    assert run("backup", str(tmp_path / "b.sqlite3")).code == 0
    assert subprocess.run(["sha256sum", "--check", "b.sqlite3.sha256"], cwd=tmp_path, check=True)


@on_sqlite
def test_backup__others_write_meanwhile__wait_for_nothing(
    filled: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second connection writes in the middle of the copy, which does not have it."""
    monkeypatch.setattr(backups, "_STEPS", 50)
    events, wrote = ConsentEvent.objects.count(), []
    file = str(connection.settings_dict["NAME"])

    def write(_size: int) -> None:
        if not wrote:
            with sqlite3.connect(file, timeout=0) as other:
                other.execute("INSERT INTO consent_backup (at, head) VALUES (1, 1)")
            wrote.append(True)

    copy = tmp_path / "b.sqlite3"
    backups._vacuum_into(copy, write)
    assert wrote and Backup.objects.count() == 1
    assert found(copy, "SELECT COUNT(*) FROM consent_backup") == [(0,)]
    assert found(copy, "SELECT COUNT(*) FROM consent_consentevent") == [(events,)]


def test_backup__database_in_memory__refused(tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite3"
    done = subprocess.run(
        [sys.executable, "manage.py", "backup", str(path)],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": "sqlite:///:memory:"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "in memory" in done.stderr and "Traceback" not in done.stderr
    assert not path.exists()


@pytest.mark.django_db
@pytest.mark.only_on("postgresql", reason="SQLite is copied")
def test_backup__postgresql__says_what_to_use(tmp_path: Path) -> None:
    done = run("backup", str(tmp_path / "b"))
    assert (done.code, done.out) == (1, "")
    assert "pgBackRest" in done.err and "pg_basebackup" in done.err and "Nothing was written." in done.err
    assert list(tmp_path.iterdir()) == [] and not Backup.objects.exists()


@pytest.mark.django_db
def test_backup__made_elsewhere__noted_alone(cast: Cast) -> None:
    ledger.sequence()
    events = ConsentEvent.objects.count()
    done = run("backup", "--made-elsewhere", "--format", "json")
    assert (done.code, done.json) == (0, {"head": ledger.head(), "file": None})
    assert [(each.head, each.size) for each in Backup.objects.all()] == [(ledger.head(), None)]
    assert ConsentEvent.objects.count() == events


@pytest.mark.django_db
@pytest.mark.parametrize("argv", [(), ("b.sqlite3", "--made-elsewhere")])
def test_backup__neither_or_both__exits_2(argv: tuple[str, ...]) -> None:
    done = run("backup", *argv)
    assert (done.code, done.out) == (2, "") and not Backup.objects.exists()


@pytest.mark.django_db
def test_backup__database_says_no__one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(ledger, "head", fail)
    done = run("backup", "--made-elsewhere")
    assert done.code == 1 and "disk I/O error" in done.err
