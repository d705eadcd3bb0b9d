import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consent import ledger
from consent.models import SnapshotMade
from consent.pipeline import Snapshot
from tests.support.cast import Cast
from tests.support.commands import database, run
from tests.support.snapshots import OTHER_KEY, VERIFY_KEY, write

ROOT = Path(__file__).parents[3]


def test_export_snapshot__head__folder_that_verifies_and_nothing_changed_but_that_it_was_made(
    cast: Cast, tmp_path: Path
) -> None:
    ledger.sequence()
    before = database()
    done = run("export_snapshot", str(tmp_path / "new"), "--format", "json")
    made = [(row.position, row.manifest_sha256) for row in SnapshotMade.objects.all()]
    assert (done.code, {**database(), SnapshotMade._meta.db_table: []}) == (0, before)
    told = done.json
    found = Snapshot.open(told["folder"], told["verify_key"])
    assert (found.position, told["position"], told["renewed"]) == (ledger.head(), ledger.head(), False)
    assert told["rows"] == {"organizations": 2, "members": 5, "external_ids": 0}
    assert told["bytes"] == sum(file.size for file in found.files)
    assert made == [(found.position, found.manifest_sha256)]
    assert told["decided_at"] == found.decided.isoformat().replace("+00:00", "Z")
    folder = Path(told["folder"])
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder)} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_export_snapshot__pending_events__get_their_positions_first(cast: Cast, tmp_path: Path) -> None:
    assert ledger.head() == 0 and ledger.pending()
    told = run("export_snapshot", str(tmp_path), "--format", "json").json
    assert told["position"] == ledger.head() > 0 and not ledger.pending()


def test_export_snapshot__earlier_position__its_rows_in_a_folder_of_its_own(cast: Cast, tmp_path: Path) -> None:
    ledger.sequence()
    for position in ("0", "1", str(ledger.head())):
        assert run("export_snapshot", str(tmp_path), "--position", position).code == 0
    folders = sorted(tmp_path.iterdir())
    opened = [Snapshot.open(folder, VERIFY_KEY) for folder in folders]
    assert [(each.position, each.rows("organizations")) for each in opened] == [(0, 0), (1, 1), (ledger.head(), 2)]


def test_export_snapshot__same_position_again__says_so_and_has_the_later_instant(cast: Cast, tmp_path: Path) -> None:
    first = run("export_snapshot", str(tmp_path), "--format", "json").json
    done = run("export_snapshot", str(tmp_path), "--format", "json")
    assert done.code == 0 and "The same snapshot was there" in done.err and done.json["renewed"]
    assert done.json["folder"] == first["folder"] and done.json["decided_at"] > first["decided_at"]
    assert Snapshot.open(first["folder"], VERIFY_KEY).decided_at
    assert list(tmp_path.iterdir()) == [Path(first["folder"])]


@pytest.mark.parametrize("position", ["-1", "1000000"])
def test_export_snapshot__position_that_is_not_there__exit_2(cast: Cast, tmp_path: Path, position: str) -> None:
    done = run("export_snapshot", str(tmp_path), "--position", position)
    assert (done.code, done.out) == (2, "") and f"There is no position {position}" in done.err
    assert "Nothing was changed." in done.err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("key", "told"), [("", "MANIFEST_SIGNING_KEY is not set")])
def test_export_snapshot__no_key__exit_2(cast: Cast, settings: Any, tmp_path: Path, key: str, told: str) -> None:
    settings.MANIFEST_SIGNING_KEY = key
    done = run("export_snapshot", str(tmp_path))
    assert (done.code, done.out) == (2, "") and told in done.err and len(done.err.splitlines()) == 1
    assert ledger.head() == 0 and list(tmp_path.iterdir()) == []


def _touched(folder: Path) -> None:
    (folder / "members-000.parquet").write_bytes(b"")


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _by_another_key(folder: Path) -> None:
    position = int(folder.name.removeprefix("position-"))
    _emptied(folder)
    folder.rmdir()
    write(folder.parent, position=position, key=OTHER_KEY)


def _other_rows(folder: Path) -> None:
    position = int(folder.name.removeprefix("position-"))
    _emptied(folder)
    folder.rmdir()
    write(folder.parent, position=position)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_touched, "members-000.parquet has 0 bytes"),
        (_emptied, "manifest.json can't be read: No such file"),
        (_by_another_key, "does not hold"),
        (_other_rows, "is another snapshot of its position"),
    ],
)
def test_export_snapshot__something_else_is_there__exit_2_and_it_stays(
    cast: Cast, tmp_path: Path, change: Any, told: str
) -> None:
    folder = Path(run("export_snapshot", str(tmp_path), "--format", "json").json["folder"])
    change(folder)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = run("export_snapshot", str(tmp_path))
    assert (done.code, done.out) == (2, "") and told in done.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [*tmp_path.iterdir()] == [folder]


def test_export_snapshot__folder_cannot_be_made__exit_1(cast: Cast, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("export_snapshot", str(tmp_path / "file" / "folder"))
    assert done.code == 1 and "can't be written to" in done.err and "Traceback" not in done.err


def test_export_snapshot__without_pyarrow__exit_2_with_one_sentence(tmp_path: Path) -> None:
    script = "import sys; sys.modules['pyarrow'] = None; import manage; sys.argv[0] = 'manage.py'; manage.main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "export_snapshot", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": "sqlite:///:memory:"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "This needs pyarrow: install the packages of requirements/pipeline.txt." in line
