"""What the filter tells other tools, as docs/pipeline.md says: OpenLineage's events, and a description in Croissant."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlcroissant import Dataset

from consent.pipeline import lineage
from consent.pipeline.digests import dataset_digest, sha256_of
from tests.support.lineage import events, filtered, server

pytestmark = pytest.mark.usefixtures("folder")
ROOT = Path(__file__).parents[2]
PART = (
    (ROOT / "docs" / "pipeline.md").read_text("utf-8").partition("## At home in the ecosystem")[2].partition("\n## ")[0]
)
GRAPH, DESCRIPTION = re.findall(r"```sh\n(.*?)```", PART, re.DOTALL)
(READING,) = re.findall(r"```python\n(.*?)```", PART, re.DOTALL)
SCHEMA = json.loads((ROOT / "docs" / "openlineage-training-consent.json").read_text("utf-8"))


def shell(commands: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = commands.replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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

    monkeypatch.setattr("consent.pipeline.filtering.filter_at", stop)
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
