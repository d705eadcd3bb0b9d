import json
import stat
from pathlib import Path
from typing import Any

import pytest

from consent.models import TrainingRun
from tests.support.cast import Cast
from tests.support.commands import ACTOR, database, run
from tests.support.training import report, with_snapshots


@pytest.fixture
def file(cast: Cast, tmp_path: Path) -> str:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report()))
    return str(path)


def test_register_run__report__registers_it_and_writes_the_manifest(file: str, tmp_path: Path) -> None:
    out = tmp_path / "manifest.json"
    given = ("--report", file, "--name", "R-77", "--purpose", "p", "--external-id", "exp-12", *ACTOR)
    done = run("register_run", *given, "--manifest", str(out), "--format", "json")
    assert done.code == 0
    registered = TrainingRun.objects.get()
    assert done.json == {
        "id": str(registered.pk),
        "name": "R-77",
        "external_id": "exp-12",
        "position": registered.snapshot_position,
        "files": 1,
        "allowed": 70,
        "denied": 30,
        "dataset_digest": registered.dataset_digest,
        "new": True,
    }
    assert out.read_text() == registered.manifest and stat.S_IMODE(out.stat().st_mode) == 0o600
    again = run("register_run", *given)
    assert again.code == 0 and "nothing was changed" in again.err and str(registered.pk) in again.out
    assert TrainingRun.objects.count() == 1


def test_register_run__several_reports__are_one_run(cast: Cast, tmp_path: Path) -> None:
    paths = []
    for n in range(2):
        path = tmp_path / f"{n}.json"
        path.write_text(json.dumps(with_snapshots(report(n + 1, name=f"part-{n}"))[0]))
        paths += ["--report", str(path)]
    assert run("register_run", *paths, "--name", "R-78", *ACTOR).code == 0
    registered = TrainingRun.objects.get()
    assert (registered.snapshot_position, registered.last_position, registered.files.count()) == (1, 2, 2)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{", 2, "is not JSON"),
        ("{}", 1, "reports/0: This is no report of the filter"),
        (json.dumps(report(1, read=7)), 1, "reports/0/read: The numbers do not add up"),
        (json.dumps(report(10**9)), 1, "which the ledger has not reached"),
    ],
)
def test_register_run__wrong_report__says_what_is_wrong(
    cast: Cast, tmp_path: Path, text: str, code: int, words: str
) -> None:
    path, out = tmp_path / "report.json", tmp_path / "manifest.json"
    path.write_text(text)
    done = run("register_run", "--report", str(path), "--name", "R", "--manifest", str(out), *ACTOR)
    assert (done.code, done.out) == (code, "") and words in done.err
    assert not TrainingRun.objects.exists() and list(tmp_path.iterdir()) == [path]


def test_register_run__manifest_is_there__registers_nothing(file: str, tmp_path: Path) -> None:
    out = tmp_path / "manifest.json"
    out.write_text("mine")
    given = ("--report", file, "--name", "R", "--manifest", str(out), *ACTOR)
    before = database()
    done = run("register_run", *given)
    assert done.code == 1 and "--force replaces it" in done.err and out.read_text() == "mine"
    assert database() == before
    assert run("register_run", *given, "--force").code == 0 and out.read_text() != "mine"


def test_register_run__no_file__or_no_key__exits_2(file: str, settings: Any) -> None:
    before = database()
    assert run("register_run", "--report", f"{file}.gone", "--name", "R", *ACTOR).code == 2
    assert database() == before
    settings.MANIFEST_SIGNING_KEY = ""
    done = run("register_run", "--report", file, "--name", "R", *ACTOR)
    assert done.code == 2 and "MANIFEST_SIGNING_KEY is not set" in done.err
    assert not TrainingRun.objects.exists()
