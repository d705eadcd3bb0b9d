"""The same as `python -m consent.pipeline filter`, with the portal's own key."""

import json
from pathlib import Path

import pytest

from consent import ledger
from consent.services import plans
from tests.support.cast import Cast
from tests.support.commands import Run, database, run
from tests.support.factories import OrganizationFactory
from tests.support.snapshots import OTHER_KEY, VERIFY_KEY, dsse
from tests.support.training import register

COLUMNS = "organization,member,product,data_kind,collected_at"


@pytest.fixture
def snapshot(cast: Cast, tmp_path: Path) -> str:
    return exported(tmp_path / "snapshots")


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


# --- The data of a training run, once more ---


def test_filter_records__data_of_a_run__says_what_has_to_be_removed(cast: Cast, tmp_path: Path) -> None:
    used = OrganizationFactory(plan="ai_studio_experiment", actor=cast.provider)
    records, report = tmp_path / "records.csv", tmp_path / "report.json"
    at = ledger.clock().isoformat(timespec="microseconds")
    rows = [f"{used.pk},,ai_studio,api_input,{at},r-{n}" for n in range(3)]
    records.write_text("\n".join([f"{COLUMNS},id", *rows, ""]))
    first = exported(tmp_path / "first")
    assert filtered(first, records, "--report", str(report)).code == 0
    register(json.loads(report.read_text()), external_id="exp-12", actor=cast.provider)
    data = tmp_path / "data.csv"
    records.with_name("allowed.csv").rename(data)
    records.with_name("denied.csv").unlink()
    plans.end_subscription(organization=used, product="ai_studio", actor=cast.provider, source="admin")
    again = filtered(exported(tmp_path / "second"), data, "--run", "external:exp-12", "--format", "json")
    assert (again.code, again.json["denied"]) == (0, 3)
    denied = data.with_name("denied.csv").read_text()
    assert all(f"r-{n}" in denied for n in range(3)) and "no_subscription" in denied
    for what in ("allowed", "denied"):
        data.with_name(f"{what}.csv").unlink()
    # Another file than the run's is looked at first.
    data.write_text(data.read_text().replace("r-0", "r-9"))
    other = filtered(exported(tmp_path / "third"), data, "--run", "external:exp-12")
    assert other.code == 3 and "data.csv: not the data of R-77 as it was registered" in other.err


@pytest.mark.parametrize(
    ("ident", "code", "told"), [("nonsense", 1, "no such training run"), ("", 1, "data of the run was filtered at")]
)
def test_filter_records__run_that_is_not_there_or_snapshot_too_early__is_refused(
    cast: Cast, snapshot: str, records: Path, ident: str, code: int, told: str
) -> None:
    register(actor=cast.provider)  # after the snapshot, so that what follows is later
    ident = ident or str(register(actor=cast.provider).pk)
    done = filtered(snapshot, records, "--run", ident)
    assert done.code == code and told in done.err
    assert not records.with_name("allowed.csv").exists()


def exported(folder: Path) -> str:
    ledger.sequence()
    return str(run("export_snapshot", str(folder), "--format", "json").json["folder"])
