"""The filter on an object store, as docs/pipeline.md says: the same answers as on this machine, all or nothing."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from consent.pipeline import Options, Snapshot, cli, filter_records
from tests.support import snapshots
from tests.support.lineage import events, filtered
from tests.support.object_store import BUCKET, LOST, REPORT, THERE, Objects, Store, files, once, usual
from tests.support.record_files import stop_after

ROOT = Path(__file__).parents[2]
PART = (ROOT / "docs" / "pipeline.md").read_text("utf-8").partition("## Filter on an object store")[2]
COMMANDS = re.findall(r"```sh\n(.*?)```", PART.partition("\n## ")[0], re.DOTALL)


def said(report: bytes) -> dict[str, Any]:
    return {**json.loads(report), "seconds": 0}


# --- The same answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "here"),
    [
        (["s3://lake/records"], ["records"]),
        (["s3://lake/records/"], ["records"]),
        (["s3://lake/rec*"], ["rec*"]),
        (
            ["s3://lake/records/*-0.parquet", "records/part-1.parquet"],
            ["records/part-0.parquet", "records/part-1.parquet"],
        ),
    ],
)
def test_filter__on_a_store__objects_and_report_are_those_of_local_files(
    given: list[str], here: list[str], store: Store, objects: Objects
) -> None:
    assert filtered("--report", "report.json", records=here) == 0
    assert filtered(*THERE, *REPORT, records=given) == 0
    found = objects()
    report = found.pop("report.json")
    made = {key: each for key, each in found.items() if not key.startswith("records/")}
    assert made == files("allowed", "denied") and len(made) == 4
    assert said(report) == said(Path("report.json").read_bytes())
    completed = [path for method, path in store.asked if method == "POST" and "uploadId" in path]
    assert completed[-1].startswith("/lake/report.json") and len(completed) == 5
    assert list(Path("tmp").iterdir()) == []


def test_docs__the_command__filters_a_store_that_fsspec_is_told_of(
    store: Store, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (command,) = COMMANDS
    done = subprocess.run(
        ["bash", "-euc", command.replace(".venv/bin/python", sys.executable)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "") and "4 allowed, 2 denied" in done.stdout
    assert {key.partition("/")[0] for key in objects()} == {"records", "allowed", "denied", "report.json"}


@pytest.mark.parametrize("far", ["allowed", "denied", "report"])
def test_targets__some_on_a_store__each_is_where_it_was_said(far: str, store: Store, objects: Objects) -> None:
    names = {"allowed": "allowed", "denied": "denied", "report": "report.json"}
    places = {what: f"s3://lake/{name}" if what == far else name for what, name in names.items()}
    assert filtered("--filesystem", "s3", *(part for what in names for part in (f"--{what}", places[what]))) == 0
    there = {key.partition("/")[0] for key in objects()} - {"records"}
    assert there == {names[far]}
    assert {name for name in names.values() if Path(name).exists()} == set(names.values()) - there


def test_single_file__and_a_file_of_some_megabytes__are_uploaded_whole(store: Store, objects: Objects) -> None:
    rows = pq.read_table("records/part-0.parquet").to_pylist()
    member, text = rows[0]["member"], "x" * 6_000_000
    lines = [
        {**row, "member": member, "collected_at": row["collected_at"].isoformat(), "text": text} for row in rows[:2]
    ]
    Path("some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    given = ["--filesystem", "s3", "--allowed", "s3://lake/a/some.jsonl", "--denied", "s3://lake/none.jsonl"]
    assert filtered(*given, *REPORT, records=["some.jsonl"]) == 0
    found = objects()
    assert found["none.jsonl"] == b"" and len(found["a/some.jsonl"]) > 12_000_000
    report = json.loads(found["report.json"])
    assert report["allowed"] == 2
    for what, key in (("allowed", "a/some.jsonl"), ("denied", "none.jsonl")):
        assert report["outputs"][what][0]["sha256"] == hashlib.sha256(found[key]).hexdigest()
    parts = [path for method, path in store.asked if method == "PUT" and path.startswith("/lake/a/some.jsonl?partN")]
    assert len(parts) == 2


def test_target__its_name_begins_with_a_dot__is_uploaded_as_any_other(store: Store, objects: Objects) -> None:
    names = [".allowed.parquet", ".denied.parquet", ".report.json"]
    given = (f"--{what}=s3://lake/{name}" for what, name in zip(("allowed", "denied", "report"), names, strict=True))
    assert cli.main(["filter", "s3://lake/records/part-0.parquet", *usual(), "--filesystem", "s3", *given]) == 0
    assert sorted(key for key in objects() if not key.startswith("records/")) == names


def test_folder__hidden_objects_and_empty_folders__are_passed_over(store: Store, client: Any) -> None:
    for key in ("records/", "records/_log/0.json", "records/.part.crc", "records/deep/"):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"" if key.endswith("/") else b"{}")
    assert filtered("--filesystem", "s3", records=["s3://lake/records"]) == 0
    assert sorted(path.name for path in Path("allowed").iterdir()) == ["part-0.parquet", "part-1.parquet"]
    assert not any("_log" in path for method, path in store.asked if method == "GET" and "list-type" not in path)


def test_memory__of_fsspec__takes_what_python_filters(memory: Objects) -> None:
    (path,) = Path("snapshots").iterdir()
    where = {what: f"memory://lake/{what}" for what in ("allowed", "denied", "report")}
    found = filter_records(
        "memory://lake/records", snapshot=Snapshot.open(path, snapshots.VERIFY_KEY), **where, filesystem="memory"
    )
    assert (found.read, found.allowed, found.denied) == (6, 4, 2)
    there = memory()
    assert json.loads(there["/lake/report"]) == json.loads(found.json())
    assert {key for key in there if "allowed" in key} == {
        "/lake/allowed/part-0.parquet",
        "/lake/allowed/part-1.parquet",
    }


def test_resume__what_is_read_is_on_a_store__goes_on_with_what_is_done(store: Store, folder: Path) -> None:
    (path,) = Path("snapshots").iterdir()
    given = {"snapshot": Snapshot.open(path, snapshots.VERIFY_KEY), "allowed": "allowed", "filesystem": "s3"}
    stop_after(1, "s3://lake/records", **given)
    before = Path("allowed.partial/part-0.parquet").stat().st_mtime_ns
    found = filter_records("s3://lake/records", **given, options=Options(resume=True))
    assert (found.read, found.allowed) == (6, 4)
    assert Path("allowed/part-0.parquet").stat().st_mtime_ns == before


# --- Changed, stopped, in the way -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "how"), [("part-0", "replaced"), ("part-0", "deleted"), ("part-1", "longer")])
def test_object__changes_while_it_is_filtered__exit_70_and_nothing_is_written(
    part: str, how: str, store: Store, client: Any, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    key = f"records/{part}.parquet"
    whole = Path(key).read_bytes()

    def change() -> None:
        if how == "deleted":
            client.delete_object(Bucket=BUCKET, Key=key)
        else:
            # Of the same size: only its digest is another one.
            other = whole.replace(b"number", b"NUMBER") if how == "replaced" else whole + b"-"
            client.put_object(Bucket=BUCKET, Key=key, Body=other)

    once(store, "GET", "/lake/records/part-1.parquet", change)
    given = ["s3://lake/records/part-0.parquet", "s3://lake/records/part-1.parquet"]
    assert filtered(*THERE, *REPORT, records=given) == 70
    assert f"s3://lake/{key} has changed while it was filtered: filter it again." in capsys.readouterr().err
    assert {name.partition("/")[0] for name in objects()} == {"records"}


@pytest.mark.parametrize("name", ["denied/part-1.parquet", "report.json"])
def test_target__comes_to_be_there_meanwhile__stays_and_nothing_else_is_written(
    name: str, store: Store, client: Any, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    put = lambda: client.put_object(Bucket=BUCKET, Key=name, Body=b"of somebody else")  # noqa: E731
    once(store, "POST", f"/lake/{name}?uploadId", put)
    assert filtered(*THERE, *REPORT, records=["s3://lake/records"]) == 1
    assert f"s3://lake/{name} has come to be there meanwhile: nothing is overwritten." in capsys.readouterr().err
    found = objects()
    assert found.pop(name) == b"of somebody else"
    assert {key.partition("/")[0] for key in found} == {"records"}
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_target__can_not_be_deleted_again__is_named(
    store: Store, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    store.before = lambda method, path: 403 if method == "DELETE" or "report.json?uploadId" in path else None
    given = ["--filesystem", "s3", "--allowed", "s3://lake/allowed.parquet", *REPORT]
    Path("denied").mkdir()
    assert cli.main(["filter", "s3://lake/records/part-0.parquet", *usual(), *given]) == 1
    left = "s3://lake/allowed.parquet, s3://lake/report.json"
    assert f" Delete these if they are there: {left}." in capsys.readouterr().err
    assert "report.json" not in objects()


def test_object__made_and_the_answer_lost__is_named_and_there_is_no_report(
    store: Store, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    store.before = lambda method, path: LOST if method == "POST" and "allowed/part-1.parquet?uploadId" in path else None
    assert filtered(*THERE, *REPORT, records=["s3://lake/records"]) == 1
    assert "Delete these if they are there: s3://lake/allowed/part-1.parquet." in capsys.readouterr().err
    assert {key for key in objects() if not key.startswith("records/")} == {"allowed/part-1.parquet"}


def test_target__local_and_on_a_store__neither_is_there_if_the_store_refuses(store: Store, objects: Objects) -> None:
    store.before = lambda _method, path: 403 if "report.json?uploadId" in path else None
    given = ["--filesystem", "s3", "--denied", "s3://lake/denied", *REPORT]
    assert filtered(*given, records=["s3://lake/records"]) == 1
    assert {key.partition("/")[0] for key in objects()} == {"records"}
    assert not Path("allowed").exists() and Path("allowed.partial").is_dir()


def killed(store: Store, method: str, part: str) -> None:
    """Filter in a process of its own, which is killed when it asks the store for this."""
    command = [sys.executable, "-m", "consent.pipeline", "filter", "s3://lake/records", *usual(), *THERE, *REPORT]
    started: list[subprocess.Popen[bytes]] = []
    once(store, method, part, lambda: started[0].kill())  # noqa: PLW0108  it is started later
    started.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}))
    assert started[0].wait() == -signal.SIGKILL


def test_run__killed_while_it_uploads__nothing_is_seen_and_it_can_begin_anew(store: Store, objects: Objects) -> None:
    killed(store, "PUT", "/lake/report.json?partNumber")
    assert {key.partition("/")[0] for key in objects()} == {"records"}
    assert [path.stat().st_mode & 0o777 for path in Path("tmp").iterdir()] == [0o700]
    assert filtered(*THERE, *REPORT, records=["s3://lake/records"]) == 0


def test_run__killed_while_objects_are_made__each_is_whole_and_there_is_no_report(
    store: Store, client: Any, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filtered("--report", "report.json") == 0
    killed(store, "POST", "/lake/allowed/part-0.parquet?uploadId")
    made = {key: each for key, each in objects().items() if not key.startswith("records/")}
    assert made.items() <= files("allowed", "denied").items() and len(made) == 3
    assert filtered(*THERE, *REPORT, records=["s3://lake/records"]) == 2
    assert "s3://lake/allowed is there already: nothing is overwritten." in capsys.readouterr().err
    for key in made:
        client.delete_object(Bucket=BUCKET, Key=key)
    assert filtered(*THERE, *REPORT, records=["s3://lake/records"]) == 0
    assert said(objects()["report.json"]) == said(Path("report.json").read_bytes())


# --- The ecosystem --------------------------------------------------------------------------------------------------


def test_lineage_and_croissant__on_a_store__name_the_objects(store: Store, objects: Objects) -> None:
    told = ["--openlineage", "lineage.jsonl", "--croissant", "s3://lake/croissant.json"]
    assert filtered(*THERE, *REPORT, *told, records=["s3://lake/records/*.parquet"]) == 0
    ended = events()[-1]
    assert ended["eventType"] == "COMPLETE"
    read, written = ([(each["namespace"], each["name"]) for each in ended[what]] for what in ("inputs", "outputs"))
    assert read[0] == ("s3://lake", "records") and read[1][0] == "file"
    assert written == [("s3://lake", "allowed"), ("s3://lake", "denied")]
    assert ended["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == 6
    found = objects()
    described = [each for each in json.loads(found["croissant.json"])["distribution"] if "sha256" in each]
    assert {each["contentUrl"]: each["sha256"] for each in described} == {
        key: hashlib.sha256(found[key]).hexdigest() for key in found if key.startswith("allowed/")
    }


def test_lineage__run_on_a_store_fails__the_object_is_named(store: Store) -> None:
    store.before = lambda _method, path: 403 if "report.json?partNumber" in path else None
    assert filtered(*THERE, *REPORT, "--openlineage", "lineage.jsonl", records=["s3://lake/records"]) == 1
    told = events()[-1]["run"]["facets"]["errorMessage"]["message"]
    assert told.startswith("s3://lake/report.json is refused")
