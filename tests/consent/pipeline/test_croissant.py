"""A Croissant description is there with the outputs or not at all, and says of them what the report says.

That `mlcroissant` reads it is tried in an environment of its own: tests/lake/.
"""

import datetime as dt
import decimal
import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consent.pipeline import Options, filter_records
from consent.pipeline.columns import OWNERS
from consent.pipeline.croissant import Described, describe
from consent.pipeline.errors import PipelineError
from tests.support import record_files
from tests.support.record_files import given, stop_after


def types(described):
    """Column → its type; with [] if it is repeated."""
    fields = [each for found in described["recordSet"] for each in found["field"]]
    return {each["name"]: each["dataType"] + ("[]" if each.get("repeated") else "") for each in fields}


def test_description__of_several_files__has_each_with_its_digest_and_the_snapshot(snapshot, tmp_path, data):
    target = tmp_path / "croissant.json"
    report = filter_records(data, **given(snapshot, tmp_path), croissant=target)
    found = json.loads(target.read_bytes())
    patterns, *files = found["distribution"]
    assert patterns["includes"] == "allowed/*"
    assert [each["sha256"] for each in files] == [each["sha256"] for each in report.outputs["allowed"]]
    assert all(
        hashlib.sha256((tmp_path / each["contentUrl"]).read_bytes()).hexdigest() == each["sha256"] for each in files
    )
    assert found["version"] == f"{snapshot.position}.0.0"
    assert found["isBasedOn"]["identifier"] == f"sha256:{snapshot.manifest_sha256}"
    assert f"{report.denied} denied" in found["rai:dataPreprocessingProtocol"]
    assert "license" not in found
    assert types(found)["ts"] == "sc:DateTime" and types(found)["scores"] == "sc:Float[]"
    # UUIDs have no type in Croissant.
    assert set(OWNERS).isdisjoint(types(found)) and all(name in found["recordSet"][0]["description"] for name in OWNERS)
    assert target.stat().st_mode & 0o777 == 0o600


def test_description__with_full_reasons__does_not_tell_what_members_chose(snapshot, tmp_path, data):
    target = tmp_path / "croissant.json"
    report = filter_records(data, **given(snapshot, tmp_path), croissant=target, options=Options(full_reasons=True))
    assert {"member_opted_out", "member_left"} <= {each["reason"] for each in report.counts}
    text = target.read_text("utf-8")
    assert "member_private" in text and "member_opted_out" not in text and "member_left" not in text


@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz", "in.csv", "in.csv.zst"])
def test_description__of_text__has_its_columns(snapshot, made, tmp_path, name):
    source = record_files.text_file(record_files.plain(made)[:300], tmp_path / name)
    target = tmp_path / "croissant.json"
    filter_records(source, **given(snapshot, tmp_path), croissant=target)
    found = json.loads(target.read_bytes())
    assert types(found)["content"] == "sc:Text" and set(OWNERS) <= set(types(found))
    assert types(found)["ts"] == ("sc:Text" if "csv" in name else "sc:DateTime")
    media = {"in.jsonl": "application/jsonlines", "in.csv": "text/csv"}
    assert (
        found["distribution"][0]["encodingFormat"]
        == {
            **media,
            "in.jsonl.gz": ["application/jsonlines", "application/gzip"],
            "in.csv.zst": ["text/csv", "application/zstd"],
        }[name]
    )


COLUMNS = {
    "a": (pa.array([1]), "sc:Integer"),
    "b": (pa.array(["x"]).dictionary_encode(), "sc:Text"),
    "c": (pa.array([decimal.Decimal("1.5")]), "sc:Float"),
    "d": (pa.array([dt.date(2026, 1, 5)]), "sc:Date"),
    "e": (pa.array([dt.time(12)]), "sc:Time"),
    "f": (pa.array([[True]]), "sc:Boolean[]"),
    "g/%20ä": (pa.array(["x"], pa.large_string()), "sc:Text"),
    "of bytes": (pa.array([b"x"]), None),
    "of lists": (pa.array([[[1]]]), None),
    "of parts": (pa.array([{"a": 1}]), None),
    "differs": (pa.array([1]), None),
}


def test_columns__each_type__or_it_is_named_as_left_out(snapshot, tmp_path, data):
    report = filter_records(data, **given(snapshot, tmp_path))
    table = pa.table({name: column for name, (column, _said) in COLUMNS.items()})
    (tmp_path / "out").mkdir()
    files = []
    for n, each in enumerate((table, table.set_column(10, "differs", pa.array(["x"])).append_column("more", [["x"]]))):
        path = tmp_path / "out" / f"{n}.parquet"
        pq.write_table(each, path)
        files.append(Described({"size": 1, "sha256": "0" * 64}, path, path))
    found = json.loads(describe(report, files, tmp_path / "croissant.json", tmp_path / "out"))
    assert types(found) == {name: said for name, (_column, said) in COLUMNS.items() if said}
    assert found["recordSet"][0]["description"].endswith(": of bytes, of lists, of parts, differs, more.")
    assert describe(report, files, tmp_path / "croissant.json", tmp_path / "out") == describe(
        report, files, tmp_path / "croissant.json", tmp_path / "out"
    )


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("there", "is there already"),
        ("report.json", "have the same name"),
        ("allowed/croissant.json", "outputs have to be apart"),
        ("allowed.partial", "have the same name"),
        ("other/croissant.json", "put it beside"),
    ],
)
def test_place__where_it_can_not_be__exit_2_and_nothing_is_there(snapshot, tmp_path, data, place, told):
    (tmp_path / "there").write_bytes(b"precious")
    with pytest.raises(PipelineError, match=told) as error:
        filter_records(data, **given(snapshot, tmp_path), croissant=tmp_path / place)
    assert error.value.exit_code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"data", "there"}
    assert (tmp_path / "there").read_bytes() == b"precious"


def test_run__stopped_and_resumed__the_description_comes_at_the_end_alone(snapshot, tmp_path, data):
    target = tmp_path / "croissant.json"
    stop_after(2, data, **given(snapshot, tmp_path), croissant=target)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "allowed.partial", "denied.partial"}
    filter_records(data, **given(snapshot, tmp_path), croissant=target, options=Options(resume=True))
    assert len(json.loads(target.read_bytes())["distribution"]) == 4


def test_description__can_not_be_written__exit_1_and_nothing_has_a_final_name(snapshot, tmp_path, data):
    def progress(_done, _all):
        (tmp_path / "croissant.json.partial").mkdir(exist_ok=True)

    arguments = given(snapshot, tmp_path, croissant=tmp_path / "croissant.json")
    with pytest.raises(PipelineError, match="can't be written") as error:
        filter_records(data, **arguments, progress=progress)
    assert error.value.exit_code == 1
    assert not any((tmp_path / name).exists() for name in ("allowed", "denied", "report.json", "croissant.json"))
