"""The filter on an object store where names are odd, and where somebody else writes at the same time."""

import datetime as dt
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from consent.pipeline import Snapshot, cli, filter_records
from consent.pipeline.errors import Left, PipelineError
from tests.support import snapshots
from tests.support.lineage import events, filtered
from tests.support.object_store import BUCKET, LOST, REPORT, THERE, Objects, Store, once, usual

OTHER = b"of somebody else"


@pytest.fixture(autouse=True)
def _address() -> Iterator[None]:
    """A store of this test, whatever an earlier one has left."""
    S3FileSystem.clear_instance_cache()
    yield
    S3FileSystem.clear_instance_cache()


def line() -> bytes:
    """A record that is allowed, as JSON Lines."""
    row = pq.read_table("records/part-0.parquet").to_pylist()[0]
    return json.dumps(row, default=dt.datetime.isoformat).encode() + b"\n"


def made(objects: Objects) -> dict[str, bytes]:
    return {key: each for key, each in objects().items() if not key.startswith("records/")}


# --- Names ----------------------------------------------------------------------------------------------------------


def test_object__is_named_like_a_version_of_another_one__is_not_taken_for_that(
    store: Store, client: Any, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("in/a", "in/a?versionId=b.jsonl"):
        client.put_object(Bucket=BUCKET, Key=key, Body=line())
    assert filtered(*THERE, *REPORT, records=["s3://lake/in/*.jsonl"]) == 2
    told = "'s3://lake/in/a?versionId=b.jsonl' can't be filtered: its name is not like that of a file."
    assert told in capsys.readouterr().err
    assert {key.partition("/")[0] for key in made(objects)} == {"in"}


def test_file__is_named_like_a_version_of_an_object__is_not_uploaded_as_that(
    store: Store, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a?versionId=b.jsonl").write_bytes(line())
    assert filtered(*THERE, *REPORT, records=["a?versionId=b.jsonl"]) == 2
    assert "denied/a?versionId=b.jsonl' can't be filtered: its name" in capsys.readouterr().err
    assert made(objects) == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("s3:///lake/records", "'s3:///lake/records' can't be filtered: its name is not like that of a file."),
        ("s3://lake/records::old", "s3://lake/records::old has :: in it, by which fsspec joins several stores."),
        ("s3://lake/" + "x" * 256, "can't be filtered: its name is not like that of a file."),
        ("s3://somebody:key/of@lake/records", "A path has a password in it"),
    ],
)
def test_path__is_no_name_of_an_object__one_sentence(
    given: str, told: str, store: Store, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in (["--allowed", "allowed"], ["--allowed", given]):
        records = "records" if given in more else given
        assert cli.main(["filter", records, *usual(), "--filesystem", "s3", *more]) == 2
        said = capsys.readouterr().err
        assert told in said and said.count("\n") == 1 and "key/of" not in said
    assert made(objects) == {} and not Path("allowed").exists()


def test_path_of_an_access_point__with_an_at_sign__is_no_password(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    given = "s3://arn:aws:s3:eu-west-3:123456789012:accesspoint/lake/a@b"
    assert cli.main(["filter", given, *usual(), "--filesystem", "s3", "--allowed", "allowed"]) == 2
    assert "password" not in capsys.readouterr().err


# --- Somebody else writes -------------------------------------------------------------------------------------------


def test_folder_of_outputs__somebody_else_writes_there__fails_and_that_stays(
    store: Store, client: Any, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    put = lambda: client.put_object(Bucket=BUCKET, Key="allowed/part-9.parquet", Body=OTHER)  # noqa: E731
    once(store, "POST", "/lake/allowed/part-0.parquet?uploads", put)
    assert filtered(*THERE, *REPORT, records=["s3://lake/records"]) == 1
    told = "s3://lake/allowed/part-9.parquet has come to be there meanwhile: nothing is overwritten."
    assert told in capsys.readouterr().err
    assert made(objects) == {"allowed/part-9.parquet": OTHER}


@pytest.mark.parametrize("when", ["report.json?uploadId", "allowed/part-1.parquet?uploadId"])
def test_object__replaced_before_the_run_fails__what_somebody_else_made_stays(
    when: str, store: Store, client: Any, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    def before(method: str, path: str) -> int | None:
        if method == "POST" and when in path:
            client.put_object(Bucket=BUCKET, Key="allowed/part-0.parquet", Body=OTHER)
            return 403
        return None

    store.before = before
    assert filtered(*THERE, *REPORT, records=["s3://lake/records"]) == 1
    assert made(objects) == {"allowed/part-0.parquet": OTHER}
    assert "Delete" not in capsys.readouterr().err


def test_report__made_and_not_found_again__is_the_first_that_is_taken_back(store: Store, objects: Objects) -> None:
    refused: list[str] = []

    def before(method: str, path: str) -> int | None:
        is_made = any(asked[0] == "POST" and "report.json?uploadId" in asked[1] for asked in store.asked)
        if is_made and method == "HEAD" and not refused:
            refused.append(path)
            return 403
        return None

    store.before = before
    assert filtered(*THERE, *REPORT, records=["s3://lake/records"]) == 1
    assert refused == ["/lake/report.json"] and made(objects) == {}
    deleted = [path for method, path in store.asked if method == "DELETE"]
    assert len(deleted) == 5 and deleted[0].startswith("/lake/report.json")


def test_object_without_bytes__made_and_the_answer_lost__is_named(
    store: Store, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("one.jsonl").write_bytes(line())
    lost = "/lake/denied/one.jsonl"
    store.before = lambda method, path: LOST if method == "PUT" and path.startswith(lost) else None
    assert filtered(*THERE, *REPORT, records=["one.jsonl"]) == 1
    assert "Delete these if they are there: s3://lake/denied/one.jsonl." in capsys.readouterr().err
    assert made(objects) == {"denied/one.jsonl": b""}


def test_object_without_bytes__somebody_else_made_it__is_not_named_for_deletion(
    store: Store, client: Any, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("one.jsonl").write_bytes(line())
    put = lambda: client.put_object(Bucket=BUCKET, Key="denied/one.jsonl", Body=OTHER)  # noqa: E731
    once(store, "POST", "/lake/report.json?uploads", put)
    assert filtered(*THERE, *REPORT, records=["one.jsonl"]) == 1
    said = capsys.readouterr().err
    assert "s3://lake/denied/one.jsonl has come to be there meanwhile" in said and "Delete" not in said
    assert made(objects) == {"denied/one.jsonl": OTHER}


def test_object__can_not_be_deleted_again_and_a_graph_is_told__is_named_once(
    store: Store, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    store.before = lambda method, path: 403 if method == "DELETE" or "report.json?uploadId" in path else None
    told = ["--openlineage", "lineage.jsonl"]
    assert filtered(*THERE, *REPORT, *told, records=["s3://lake/records/part-0.parquet"]) == 1
    left = [f"s3://lake/{name}" for name in ("allowed/part-0.parquet", "denied/part-0.parquet", "report.json")]
    said = capsys.readouterr().err
    assert said.endswith(f" Delete these if they are there: {', '.join(left)}.\n") and said.count("Delete") == 1
    assert events()[-1]["run"]["facets"]["errorMessage"]["message"].count("Delete") == 1


@pytest.mark.parametrize(("refused", "raised"), [({"POST", "DELETE"}, Left), ({"POST"}, PipelineError)])
def test_python__can_not_take_back__is_told_by_its_own_error(
    refused: set[str], raised: type[PipelineError], store: Store
) -> None:
    (path,) = Path("snapshots").iterdir()
    store.before = lambda method, path: 403 if method in refused and "report.json?uploadId" in path else None
    given = {"allowed": "s3://lake/allowed", "report": "s3://lake/report.json", "filesystem": "s3"}
    with pytest.raises(PipelineError) as error:
        filter_records("records", snapshot=Snapshot.open(path, snapshots.VERIFY_KEY), **given)
    assert type(error.value) is raised


def test_store__that_shows_objects_before_they_are_all_uploaded__keeps_none_of_a_run_that_fails(
    memory: Objects,
) -> None:
    (path,) = Path("snapshots").iterdir()
    before = {**memory(), "/lake/report.json": OTHER}
    put = lambda _done, _all: fsspec.filesystem("memory").pipe_file("/lake/report.json", OTHER)  # noqa: E731
    where = {what: f"memory://lake/{what}" for what in ("allowed", "denied", "report.json")}
    with pytest.raises(PipelineError, match=r"report\.json has come to be there meanwhile"):
        filter_records(
            "records", snapshot=Snapshot.open(path, snapshots.VERIFY_KEY), allowed=where["allowed"],
            denied=where["denied"], report=where["report.json"], filesystem="memory", progress=put,
        )  # fmt: skip
    assert memory() == before


def test_folder__an_object_is_called_like_a_folder__is_refused_by_name(
    store: Store, client: Any, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("in/a.jsonl", "in/a.jsonl/b.jsonl"):
        client.put_object(Bucket=BUCKET, Key=key, Body=line())
    assert filtered(*THERE, *REPORT, records=["s3://lake/in"]) == 2
    assert (
        "s3://lake/in/a.jsonl is an object and a folder, which no file is: move one of them." in capsys.readouterr().err
    )
    assert {key.partition("/")[0] for key in made(objects)} == {"in"}


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("in/tmp", "What is fetched would be in in, which is filtered too: set another TMPDIR."),
        ("t[1]", "What is fetched can't be in a folder with *, ? or [ in its name: set another TMPDIR."),
    ],
)
def test_folder_of_what_is_fetched__in_the_way__exit_2_and_says_so(
    place: str, told: str, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(place).mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(Path(place).absolute()))
    records = ["s3://lake/records/*.parquet", *(["in"] if place.startswith("in") else [])]
    assert filtered("--filesystem", "s3", records=records) == 2
    assert told in capsys.readouterr().err
    assert list(Path(place).iterdir()) == [] and not Path("allowed").exists()
