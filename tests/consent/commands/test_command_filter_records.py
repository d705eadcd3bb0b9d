"""The same as `python -m consent.pipeline filter`, with the portal's own key."""

import json
from pathlib import Path

import pytest

from consent import ledger
from tests.support.cast import Cast
from tests.support.commands import Run, database, run
from tests.support.snapshots import OTHER_KEY, VERIFY_KEY, dsse

COLUMNS = "organization,member,product,data_kind,collected_at"


@pytest.fixture
def snapshot(cast: Cast, tmp_path: Path) -> str:
    ledger.sequence()
    return str(run("export_snapshot", str(tmp_path / "snapshots"), "--format", "json").json["folder"])


@pytest.fixture
def records(cast: Cast, tmp_path: Path) -> Path:
    path = tmp_path / "records.csv"
    chat = f"{cast.labs_member.pk},le_chat,document,2020-01-01T00:00:00Z"
    rows = [f"{organization},{chat}" for organization in (cast.labs.pk, "nobody")]
    path.write_text("\n".join([COLUMNS, *rows, ""]))
    return path


def filtered(snapshot: str, records: Path, *more: str) -> Run:
    outputs = [word for what in ("allowed", "denied") for word in (f"--{what}", str(records.with_name(f"{what}.csv")))]
    return run("filter_records", str(records), "--snapshot", snapshot, *outputs, *more)


def test_filter_records__portals_own_key__files_and_counts_and_nothing_changed(snapshot: str, records: Path) -> None:
    before = database()
    done = filtered(snapshot, records, "--max-unknown", "50%", "--format", "json")
    assert (done.code, done.err, database()) == (0, "", before)
    assert (done.json["read"], done.json["denied"]) == (2, 2)
    denied = records.with_name("denied.csv").read_text().splitlines()
    assert denied[0] == f"row,{COLUMNS},reason"
    assert [line.rpartition(",")[2] for line in denied[1:]] == ["collected_before_allowed", "unknown_organization"]


def test_filter_records__report__what_register_run_reads(snapshot: str, records: Path) -> None:
    report = records.with_name("report.json")
    done = filtered(snapshot, records, "--max-unknown", "50%", "--report", str(report), "--verify-key", VERIFY_KEY)
    assert done.code == 0 and "2 records read, by the snapshot at position" in done.out
    found = json.loads(report.read_text())
    assert found["format"] == 1 and found["snapshot"]["position"] == ledger.head()
    assert [each["name"] for each in found["inputs"]] == ["records.csv"]
    assert {what: [each["name"] for each in files] for what, files in found["outputs"].items()} == {
        "allowed": ["allowed.csv"], "denied": ["denied.csv"]
    }  # fmt: skip


def test_filter_records__many_unknown_ids__exit_3_with_the_outputs(snapshot: str, records: Path) -> None:
    done = filtered(snapshot, records)
    assert done.code == 3 and "is a column the wrong one?" in done.err and "2 records read" in done.out
    assert records.with_name("allowed.csv").exists() and records.with_name("denied.csv").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--columns", "organization=acct"), "has no column acct"),
        (("--verify-key", dsse.public_text(OTHER_KEY)), "signature of the manifest"),
        (("--max-age", "0s"), "older than"),
        (("--max-age", "soon"), "is not an age"),
        (("--max-unknown", "200%"), "is not a share"),
    ],
)
def test_filter_records__refused__exit_2_and_no_file(
    snapshot: str, records: Path, more: tuple[str, ...], told: str
) -> None:
    before = sorted(records.parent.iterdir())
    done = filtered(snapshot, records, *more)
    assert (done.code, done.out) == (2, "") and told in done.err
    assert sorted(records.parent.iterdir()) == before


def test_filter_records__without_a_key__exit_2(snapshot: str, records: Path, settings: pytest.FixtureRequest) -> None:
    settings.MANIFEST_SIGNING_KEY = ""  # type: ignore[attr-defined]
    done = filtered(snapshot, records)
    assert done.code == 2 and "MANIFEST_SIGNING_KEY is not set" in done.err
