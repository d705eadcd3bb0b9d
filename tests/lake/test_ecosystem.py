"""What the filter tells other tools, as docs/pipeline.md says: OpenLineage's events, and a description in Croissant."""

import contextlib
import datetime as dt
import http.server
import json
import os
import re
import resource
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlcroissant import Dataset

from consent.pipeline import cli, lineage
from consent.pipeline.digests import dataset_digest, sha256_of
from tests.support import snapshots

ROOT = Path(__file__).parents[2]
PART = (
    (ROOT / "docs" / "pipeline.md").read_text("utf-8").partition("## At home in the ecosystem")[2].partition("\n## ")[0]
)
GRAPH, DESCRIPTION = re.findall(r"```sh\n(.*?)```", PART, re.DOTALL)
(READING,) = re.findall(r"```python\n(.*?)```", PART, re.DOTALL)
SCHEMA = json.loads((ROOT / "docs" / "openlineage-training-consent.json").read_text("utf-8"))
TEAM, OTHER, ADA, LEFT = (uuid.UUID(int=n) for n in range(1, 5))
DAY = 24 * 3600 * 1_000_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`records/`, `snapshots/` of this moment and `key.pem`: four records are allowed, two of somebody who has left."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENLINEAGE_API_KEY", "OPENLINEAGE_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    now = dt.datetime.now(dt.UTC)
    decided_at = int(now.timestamp() * 1_000_000)
    layer = {"le_chat_allowed": True, "le_chat_reason": "organization_opted_in", "le_chat_since": decided_at - 9 * DAY}
    no = {"ai_studio_allowed": False, "ai_studio_reason": "organization_opted_out"}
    own = {
        "organization": TEAM,
        "joined_at": decided_at - 9 * DAY,
        "le_chat_allowed": True,
        "le_chat_reason": "default",
    }
    snapshots.write(
        Path("snapshots"), position=41, decided_at=decided_at,
        organizations=[{"organization": TEAM, "personal": False, "created_at": decided_at - 9 * DAY, **layer, **no}],
        members=[{"member": ADA, **own}, {"member": LEFT, **own, "left_at": decided_at - 3 * DAY}],
    )  # fmt: skip
    rows = [
        {
            "id": n, "organization": str(TEAM), "member": str((ADA, ADA, LEFT)[n % 3]), "product": "le_chat",
            "data_kind": "conversation", "collected_at": now - dt.timedelta(days=1), "text": f"number {n}",
        }
        for n in range(6)
    ]  # fmt: skip
    Path("records").mkdir()
    for n in range(2):
        pq.write_table(pa.Table.from_pylist(rows[n * 3 : n * 3 + 3]), f"records/part-{n}.parquet")
    Path("key.pem").write_text(snapshots.VERIFY_KEY, "utf-8")
    return tmp_path


def shell(commands: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = commands.replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def filtered(*more: str, records: Sequence[str] = ("records",)) -> int:
    (snapshot,) = Path("snapshots").iterdir()
    given = ["--snapshot", str(snapshot), "--verify-key", "key.pem", "--allowed", "allowed", "--denied", "denied"]
    return cli.main(["filter", *records, *given, *more])


def events(path: str = "lineage.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def facets(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The facet of each output, which is as its schema says."""
    found = [each["facets"] for each in event["outputs"]]
    for each in found:
        jsonschema.validate(each, SCHEMA, format_checker=jsonschema.FormatChecker())
    return [each["trainingConsent"] for each in found]


# --- OpenLineage ----------------------------------------------------------------------------------------------------


def test_events__by_the_command_of_the_docs__say_what_the_report_says(folder: Path) -> None:
    assert "'snapshotPosition': 41" in shell(GRAPH)
    started, ended = events()
    assert [each["eventType"] for each in (started, ended)] == ["START", "COMPLETE"]
    assert started["run"]["runId"] == ended["run"]["runId"]
    assert ended["job"]["name"] == "chats" and ended["job"]["namespace"] == "training-consent"
    (snapshot,) = (folder / "snapshots").iterdir()
    for each in (started, ended):
        assert [read["name"] for read in each["inputs"]] == [str(folder / "records"), str(snapshot)]
        assert [made["name"] for made in each["outputs"]] == [str(folder / "allowed"), str(folder / "denied")]
    report = json.loads(Path("report.json").read_bytes())
    for what, made in zip(("allowed", "denied"), ended["outputs"], strict=True):
        assert made["facets"]["version"]["datasetVersion"] == dataset_digest(report["outputs"][what])
        assert made["outputFacets"]["outputStatistics"]["rowCount"] == report[what]
    allowed, denied = facets(ended)
    assert allowed == denied
    assert allowed["snapshotManifestSha256"] == sha256_of(snapshot / "manifest.json")
    assert allowed["reportSha256"] == sha256_of(Path("report.json"))
    assert (allowed["products"], allowed["read"], allowed["allowed"]) == (["le_chat"], 6, 4)
    assert Path("lineage.jsonl").stat().st_mode & 0o777 == 0o600


def test_facet__with_full_reasons__does_not_tell_what_members_chose() -> None:
    assert filtered("--reasons", "full", "--openlineage", "lineage.jsonl") == 0
    assert "member_left" in Path("denied/part-0.parquet").read_bytes().decode("latin-1")
    assert facets(events()[-1])[0]["deniedByReason"] == {"member_private": 2}


def test_inputs__given_in_several_ways__are_named_as_they_were_given(folder: Path) -> None:
    records = ["records/*0.parquet", "records/part-1.parquet"]
    assert filtered("--openlineage", "lineage.jsonl", records=records) == 0
    read = events()[-1]["inputs"][:2]
    assert [each["name"] for each in read] == [str(folder / "records"), str(folder / "records" / "part-1.parquet")]
    assert [each["inputFacets"]["inputStatistics"]["rowCount"] for each in read] == [3, 3]


def test_run__refused__fails_in_the_graph_and_the_next_is_added(capsys: pytest.CaptureFixture[str]) -> None:
    Path("denied").mkdir()
    assert filtered("--openlineage", "lineage.jsonl") == 2
    Path("denied").rmdir()
    assert filtered("--openlineage", "lineage.jsonl") == 0
    found = events()
    assert [each["eventType"] for each in found] == ["START", "FAIL", "START", "COMPLETE"]
    assert "is there already" in found[1]["run"]["facets"]["errorMessage"]["message"]
    assert "trainingConsent" not in json.dumps(found[1])


def test_run__stopped_by_ctrl_c__is_aborted_in_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_given: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("consent.pipeline.filtering.filter_records", stop)
    assert filtered("--openlineage", "lineage.jsonl") == 130
    assert [each["eventType"] for each in events()] == ["START", "ABORT"]


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("key.pem", "has no events in it"),
        ("key.pem/lineage.jsonl", "can't be written"),
        ("snapshots", "can't be written"),
        ("/dev/full", "No space left"),
        ("", "it is a folder"),
        ("report.json", "have the same name"),
        ("allowed/lineage.jsonl", "outputs have to be apart"),
        ("records/lineage.jsonl", "would be filtered next time"),
        ("ftp://localhost", "Events go to a file"),
        ("http://", "Events go to a file"),
        ("http://[", "Events go to a file"),
        ("http://me:secret@localhost", "give a key as OPENLINEAGE_API_KEY"),
    ],
)
def test_place__that_takes_no_events__exit_2_and_nothing_is_begun(
    to: str, told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_size for path in sorted(folder.rglob("*"))}
    assert filtered("--report", "report.json", "--openlineage", to) == 2
    said = capsys.readouterr()
    assert told in said.err and said.out == "" and "secret" not in said.err
    assert {path: path.stat().st_size for path in sorted(folder.rglob("*"))} == before


def test_append__no_room_for_the_line__nothing_of_it_is_written() -> None:
    path = Path("lineage.jsonl")
    lineage._append(path, b"first\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            lineage._append(path, b"second\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"first\n"


Asked = tuple[str, str | None, dict[str, Any]]


@contextlib.contextmanager
def server(status: Callable[[int], int], location: str = "") -> Iterator[tuple[str, list[Asked]]]:
    """A server for events, its address and what it was sent. `status`: what it answers, by the number of requests;
    `location`: where else it sends to."""
    asked: list[Asked] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Authorization"], body))
            self.send_response(status(len(asked)))
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"], {}))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_given: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}", asked
        finally:
            made.shutdown()
            thread.join()


def test_server__gets_both_events__with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "k-1\n")
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "lake")
    with server(lambda _n: 201) as (url, asked):
        assert filtered("--openlineage", url) == 0
    assert [(path, key) for path, key, _body in asked] == [("/api/v1/lineage", "Bearer k-1")] * 2
    assert [body["eventType"] for _path, _key, body in asked] == ["START", "COMPLETE"]
    assert asked[1][2]["job"]["namespace"] == "lake" and len(facets(asked[1][2])) == 2


def test_server__address_has_a_path__events_go_there() -> None:
    with server(lambda _n: 200) as (url, asked):
        assert filtered("--openlineage", f"{url}/my/events?team=1") == 0
    assert [(path, key) for path, key, _body in asked] == [("/my/events?team=1", None)] * 2


def test_server__did_not_take_the_first_event__gets_it_with_the_second() -> None:
    with server(lambda n: 403 if n == 1 else 200) as (url, asked):
        assert filtered("--openlineage", url) == 0
    assert [body["eventType"] for _path, _key, body in asked] == ["START", "START", "COMPLETE"]


def test_server__takes_nothing__outputs_are_whole_and_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    with server(lambda _n: 401) as (url, _asked):
        assert filtered("--openlineage", url, "--report", "report.json") == 3
    said = capsys.readouterr()
    assert "4 allowed, 2 denied" in said.out
    assert "The outputs are there" in said.err and "401" in said.err
    report = json.loads(Path("report.json").read_bytes())
    assert report["warnings"] == [] and report["allowed"] == 4
    for what in ("allowed", "denied"):
        assert {path.name: sha256_of(path) for path in Path(what).iterdir()} == {
            each["name"]: each["sha256"] for each in report["outputs"][what]
        }


def test_server__is_down_and_the_run_fails__both_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lineage, "_RETRY", {"total": 0})
    with server(lambda _n: 200) as (url, _asked):
        pass
    Path("denied").mkdir()
    assert filtered("--openlineage", url) == 2
    said = capsys.readouterr().err
    assert "is there already" in said and "does not take events" in said


# --- Croissant ------------------------------------------------------------------------------------------------------


def test_croissant__by_the_command_of_the_docs__is_valid_and_its_rows_are_ours() -> None:
    shell(DESCRIPTION)
    printed = shell(f"{sys.executable} - <<'END'\n{READING}END\n")
    assert [line.split(" ", 1)[0] for line in printed.splitlines()] == ["0", "1", "3", "4"]
    dataset = Dataset("dataset/croissant.json")
    issues = dataset.metadata.ctx.issues
    assert issues.errors == set()
    assert all(re.search("citeAs|datePublished|license", each) for each in issues.warnings), issues.warnings
    assert "position 41" in dataset.metadata.data_collection
    assert dataset.metadata.personal_sensitive_information and dataset.metadata.data_preprocessing_protocol
    rows = [{name.partition("/")[2]: value for name, value in each.items()} for each in dataset.records("records")]
    texts = [{n: v.decode() if isinstance(v, bytes) else v for n, v in row.items()} for row in rows]
    assert texts == pq.read_table("dataset/allowed").to_pylist()


@pytest.mark.parametrize("name", ["one.jsonl", "one.jsonl.gz", "one.csv", "odd [1] ä%20.parquet"])
def test_croissant__of_one_file__its_digest_is_compared_and_its_rows_are_read(name: str) -> None:
    rows = pq.read_table("records").to_pylist()
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), name)
    elif "csv" in name:
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        Path(name).write_text("\n".join(lines).replace(" ", "T").replace("numberT", "number "), "utf-8")
    else:
        text = "".join(json.dumps({**row, "collected_at": row["collected_at"].isoformat()}) + "\n" for row in rows)
        compression = "gzip" if name.endswith("gz") else None
        with pa.output_stream(name, compression=compression) as out:
            out.write(text.encode())
    assert filtered("--allowed", "out", "--croissant", "croissant.json", records=[name]) == 0
    assert [each["records/text"] for each in Dataset("croissant.json").records("records")] == [
        f"number {n}".encode() for n in (0, 1, 3, 4)
    ]
    with next(Path("out").iterdir()).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(Exception, match="Download"):
        list(Dataset("croissant.json").records("records"))
