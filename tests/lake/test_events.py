"""What the events of a run may not do: touch what the run reads, go astray, or tell a key or a record."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consent.pipeline import lineage
from tests.support.lineage import events, filtered, server

pytestmark = pytest.mark.usefixtures("folder")
EVENT = '{"schemaURL": "earlier"}\n'


# --- Files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["itself", "link", "other link"])
@pytest.mark.parametrize("text", ["", EVENT])
def test_file__is_an_input__exit_2_and_it_stays(how: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = Path("one.jsonl"), Path("lineage.jsonl")
    source.write_text(text, "utf-8")
    if how == "itself":
        target = source
    elif how == "link":
        target.symlink_to(source)
    else:
        os.link(source, target)
    assert filtered("--openlineage", str(target), records=["one.jsonl"]) == 2
    assert "is one of the files that are filtered" in capsys.readouterr().err
    assert source.read_text("utf-8") == text and not Path("allowed").exists()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("records/lineage.parquet", "would be filtered next time"),
        ("snapshots/position-{}/lineage.jsonl", "is inside the snapshot"),
        ("snapshots/position-{}/new/lineage.jsonl", "is inside the snapshot"),
    ],
)
def test_file__where_the_run_reads__exit_2_and_nothing_is_begun(
    place: str, told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    place = place.format(next(Path("snapshots").iterdir()).name.removeprefix("position-"))
    assert filtered("--openlineage", place, records=["records/*.parquet"]) == 2
    assert told in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_file__by_way_of_an_output__is_where_that_leads() -> None:
    assert filtered("--openlineage", "allowed/../lineage.jsonl") == 0
    assert [each["eventType"] for each in events()] == ["START", "COMPLETE"]
    assert len(list(Path("allowed").iterdir())) == 2


# --- Servers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
def test_server__leads_elsewhere__does_not_take_events(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    with server(lambda _n: 201) as (other, elsewhere):
        with server(lambda _n: status, location=f"{other}/login") as (url, asked):
            assert filtered("--openlineage", url) == 3
        assert f"does not take events: it answers {status}" in capsys.readouterr().err
        assert {path for path, _key, _body in asked} == {"/api/v1/lineage"} and elsewhere == []


@pytest.mark.parametrize("key", ["sec\nretKEY", "sec\rretKEY", "sécretKEY", "secret\x7fKEY", "secret\tKEY"])
def test_key__that_no_header_can_have__exit_2_and_it_is_not_told(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", key)
    with server(lambda _n: 201) as (url, asked):
        assert filtered("--openlineage", url) == 2
    said = capsys.readouterr().err
    assert "OPENLINEAGE_API_KEY" in said and "KEY" not in said.replace("OPENLINEAGE_API_KEY", "")
    assert asked == [] and not Path("allowed").exists()


@pytest.mark.parametrize("key", ["the-key", None])
def test_key__netrc_has_another__is_not_replaced(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("netrc").write_text("machine 127.0.0.1 login bob password hunter2\n", "utf-8")
    monkeypatch.setenv("NETRC", str(Path("netrc").absolute()))
    if key:
        monkeypatch.setenv("OPENLINEAGE_API_KEY", key)
    with server(lambda _n: 201) as (url, asked):
        assert filtered("--openlineage", url) == 0
    assert {sent for _path, sent, _body in asked} == {f"Bearer {key}" if key else None}


@pytest.mark.parametrize("answers", [True, False])
def test_address__has_a_query__is_told_without(
    answers: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lineage, "_RETRY", {"total": 0})
    with server(lambda _n: 401) as (url, _asked):
        if answers:
            assert filtered("--openlineage", f"{url}/events?token=SECRET#SECRET") == 3
    if not answers:
        assert filtered("--openlineage", f"{url}/events?token=SECRET") == 3
    said = capsys.readouterr().err
    assert f"{url}/events does not take events" in said and "SECRET" not in said
    assert ("401" if answers else "ConnectionError") in said


@pytest.mark.parametrize("to", ["ftp://a?token=SECRET", "http://me:SECRET@[", "http://a:99999999/?SECRET"])
def test_address__is_none__exit_2_and_it_is_not_told(to: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert filtered("--openlineage", to) == 2
    said = capsys.readouterr().err
    assert "Events go to a file" in said and "SECRET" not in said


# --- What is told ---------------------------------------------------------------------------------------------------


def no_text(path: Path) -> None:
    table = pq.read_table(path)
    broken = pa.array([b"anna@example.org \xff"] * len(table), pa.binary()).view(pa.string())
    pq.write_table(table.set_column(table.schema.names.index("product"), "product", broken), path)


def no_header(path: Path) -> None:
    path.unlink()
    path.with_suffix(".csv").write_text("anna@example.org,le_chat,hello\n", "utf-8")


def no_header_twice(path: Path) -> None:
    path.unlink()
    path.with_suffix(".csv").write_text("anna@example.org,anna@example.org,hello\n", "utf-8")


@pytest.mark.parametrize("spoil", [no_text, no_header, no_header_twice])
def test_failure__by_what_a_record_holds__the_graph_is_told_none_of_it(
    spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("records/part-1.parquet").unlink()
    spoil(Path("records/part-0.parquet"))
    assert filtered("--openlineage", "lineage.jsonl") in (1, 2)
    assert "anna" in capsys.readouterr().err  # what helps whoever filters
    failed = events()[-1]
    assert failed["eventType"] == "FAIL" and "anna" not in json.dumps(failed)
    assert failed["run"]["facets"]["errorMessage"]["message"]


def test_ctrl_c__while_the_end_is_told__outputs_are_there_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    append, sent = lineage._append, []

    def stopped(path: Path, line: bytes) -> None:
        sent.append(line)
        if len(sent) == 2:
            raise KeyboardInterrupt
        append(path, line)

    monkeypatch.setattr(lineage, "_append", stopped)
    assert filtered("--openlineage", "lineage.jsonl") == 3
    said = capsys.readouterr()
    assert "4 allowed, 2 denied" in said.out
    assert re.search("The outputs are there, but .* Ctrl\\+C", said.err)
    assert Path("allowed").is_dir() and len(events()) == 1
