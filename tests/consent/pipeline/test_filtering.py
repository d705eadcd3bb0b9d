"""Filtering files: what is allowed comes out whole and in order, what is not comes out by name and reason."""

import json
import stat
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consent.pipeline.digests import sha256_of
from tests.support import record_files
from tests.support.consent_worlds import Oracle, world
from tests.support.record_files import COLUMNS, plain, read, run, snapshot_of, text_file

RECORDS = 3_000


@pytest.fixture(scope="module")
def made():
    return world(11, RECORDS, cooling_off_days=1)


@pytest.fixture(scope="module")
def snapshot(made, tmp_path_factory):
    return snapshot_of(made, tmp_path_factory.mktemp("snapshots"))


@pytest.fixture(scope="module")
def expected(made):
    oracle = Oracle(made)
    return {f"r{n}": oracle.reason(record) for n, record in enumerate(made.records)}


def written(made, path, form):
    return record_files.parquet(made, path) if form == ".parquet" else text_file(plain(made), path)


FORMS = [".parquet", ".jsonl", ".csv", ".jsonl.gz", ".csv.zst"]


@pytest.mark.parametrize("form", FORMS)
def test_filter__any_format__each_record_once_by_the_rules(made, snapshot, expected, tmp_path, form):
    source = written(made, tmp_path / f"in{form}", form)
    report, allowed, denied = run(source, snapshot, tmp_path, name=form)
    assert [row["rid"] for row in read(allowed)] == [rid for rid, why in expected.items() if why is None]
    told = [(row["id"], row["reason"]) for row in read(denied)]
    assert told == [(rid, why) for rid, why in expected.items() if why is not None]
    assert (report.read, report.allowed, report.denied) == (RECORDS, len(read(allowed)), len(told))
    assert {stat.S_IMODE(path.stat().st_mode) for path in (allowed, denied, tmp_path / f"report{form}.json")} == {0o600}
    assert json.loads((tmp_path / f"report{form}.json").read_text()) == report.data()


@pytest.mark.parametrize("form", FORMS)
def test_filter__allowed_records__keep_all_they_hold_and_say_whose_they_are(made, snapshot, tmp_path, form):
    source = written(made, tmp_path / f"in{form}", form)
    before = {row["rid"]: row for row in read(source)}
    owners = {row["organization"]: row["owner"] for row in made.organizations}
    _report, allowed, _denied = run(source, snapshot, tmp_path, name=form)
    for row in read(allowed):
        record = made.records[int(row["rid"].removeprefix("r"))]
        member = record["member"] or (record["product"] == "le_chat" and owners[record["organization"]]) or None
        said = (str(row.pop("consent_organization")), str(row.pop("consent_member") or "") or None)
        assert said == (str(record["organization"]), member and str(member))
        assert row == before[row["rid"]]


def test_filter__denied_records__where_they_are_and_what_they_are_called(made, snapshot, tmp_path):
    source = record_files.parquet(made, tmp_path / "in.parquet")
    rows = pq.read_table(source).to_pylist()
    _report, _allowed, denied = run(source, snapshot, tmp_path, name=".parquet")
    for row in read(denied):
        same = rows[row["row"]]
        assert (row["id"], row["organization"], row["member"]) == (same["rid"], same["acct"], same["usr"])
        assert (row["product"], row["data_kind"], row["collected_at"]) == (same["product"], same["kind"], same["ts"])
        assert set(row) == {"row", "id", "organization", "member", "product", "data_kind", "collected_at", "reason"}


def test_filter__counts__by_product_kind_and_reason(made, snapshot, expected, tmp_path):
    source = record_files.parquet(made, tmp_path / "in.parquet")
    report, _allowed, _denied = run(source, snapshot, tmp_path)
    counted = {(each["product"], each["data_kind"], each["reason"]): each["rows"] for each in report.counts}
    wanted = Counter()
    for n, record in enumerate(made.records):
        product = record["product"] if record["product"] in made.catalogue else None
        kind = record["data_kind"] if product and record["data_kind"] in made.catalogue[product].data_kinds else None
        wanted[product, kind, expected[f"r{n}"]] += 1
    assert counted == wanted
    assert report.snapshot == {
        "position": snapshot.position, "decided_at": snapshot.decided_at, "manifest_sha256": snapshot.manifest_sha256
    }  # fmt: skip


def test_filter__files_of_a_folder__one_output_each_named_and_described(made, snapshot, expected, tmp_path):
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    names = ["a.parquet", "b.parquet", "deep/a.parquet"]
    for n, name in enumerate(names):
        record_files.parquet(made, data / name, rows=slice(n * 1000, (n + 1) * 1000))
    (data / "_SUCCESS").touch()
    report, allowed, denied = run(data, snapshot, tmp_path)
    for what, folder in (("allowed", allowed), ("denied", denied)):
        assert [each["name"] for each in report.outputs[what]] == names
        for each in report.outputs[what]:
            path = folder / each["name"]
            assert (each["size"], each["sha256"]) == (path.stat().st_size, sha256_of(path))
            assert each["rows"] == pq.read_metadata(path).num_rows
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {*names}
    assert [row["rid"] for row in read(allowed)] == [rid for rid, why in expected.items() if why is None]
    assert [(each["name"], each["rows"]) for each in report.inputs] == [(name, 1000) for name in names]
    assert all(each["sha256"] == sha256_of(data / each["name"]) for each in report.inputs)


@pytest.mark.parametrize("form", [".parquet", ".jsonl.gz", ".csv"])
def test_filter__again__same_bytes(made, snapshot, tmp_path, form):
    source = written(made, tmp_path / f"in{form}", form)
    for name, threads in (("1", 1), ("2", 2)):
        (tmp_path / name).mkdir()
        run(source, snapshot, tmp_path / name, name=form, options={"threads": threads})
    for what in ("allowed", "denied"):
        assert (tmp_path / "1" / f"{what}{form}").read_bytes() == (tmp_path / "2" / f"{what}{form}").read_bytes()


def test_filter__allowed_alone__nothing_is_told_of_the_others(made, snapshot, tmp_path):
    source = record_files.parquet(made, tmp_path / "in.parquet")
    report, allowed, denied = run(source, snapshot, tmp_path, denied=None, report=None)
    assert report.denied == RECORDS - len(read(allowed)) > 0
    assert not denied.exists() and list(report.outputs) == ["allowed"]
    assert {path.name for path in tmp_path.iterdir()} == {"in.parquet", "allowed"}


def test_filter__by_default__what_members_did_is_private(made, snapshot, expected, tmp_path):
    source = record_files.parquet(made, tmp_path / "in.parquet")
    report, _allowed, denied = run(source, snapshot, tmp_path, options={"full_reasons": False})
    private = {"member_opted_out", "member_left"}
    wanted = ["member_private" if why in private else why for why in expected.values() if why]
    assert [row["reason"] for row in read(denied)] == wanted
    assert not private & {each["reason"] for each in report.counts}
    assert sum(each["rows"] for each in report.counts if each["reason"] == "member_private") == wanted.count(
        "member_private"
    )


@pytest.mark.parametrize("form", [".parquet", ".csv", ".jsonl"])
def test_filter__external_ids__by_the_rules_of_names(made, snapshot, tmp_path, form):
    rows = plain(made, external=True)
    path = tmp_path / f"in{form}"
    if form == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        text_file(rows, path)
    _report, allowed, denied = run(path, snapshot, tmp_path, ids="external")
    oracle = Oracle(made, organization_external=True, member_external=True)
    wanted = {f"r{n}": oracle.reason(record) for n, record in enumerate(made.records)}
    assert {row["id"]: row["reason"] for row in read(denied)} == {rid: why for rid, why in wanted.items() if why}
    found = read(allowed)
    assert [row["rid"] for row in found] == [rid for rid, why in wanted.items() if why is None]
    known = {str(row["organization"]) for row in made.organizations}
    assert {row["consent_organization"] for row in found} <= known


def test_filter__ids_by_column__each_as_it_says(made, snapshot, tmp_path):
    rows = [{**row, "acct": named["acct"]} for row, named in zip(plain(made), plain(made, external=True), strict=True)]
    columns = COLUMNS.replace("acct", "external:acct").replace("usr", "uuid:usr")
    _report, _allowed, denied = run(text_file(rows, tmp_path / "in.jsonl"), snapshot, tmp_path, columns=columns)
    oracle = Oracle(made, organization_external=True)
    wanted = {f"r{n}": oracle.reason(record) for n, record in enumerate(made.records)}
    assert {row["id"]: row["reason"] for row in read(denied)} == {rid: why for rid, why in wanted.items() if why}


def test_filter__what_was_allowed_filtered_again__all_of_it_says_whose_it_is_once(made, snapshot, tmp_path):
    """By whom records belonged to then, as removals do it: an owner who was meant is named now."""
    for form in (".parquet", ".csv", ".jsonl"):
        folder = tmp_path / form
        folder.mkdir()
        _report, first, _denied = run(written(made, folder / f"in{form}", form), snapshot, folder, name=form)
        columns = COLUMNS.replace("acct", "consent_organization").replace("usr", "consent_member")
        report, second, _denied = run(first, snapshot, folder, name=f"2{form}", columns=columns)
        assert report.denied == 0
        assert read(second) == read(first)


def test_filter__constants_and_folders_names__as_if_they_were_columns(made, snapshot, tmp_path):
    chat = [n for n, row in enumerate(made.records) if row["product"] == "le_chat" and row["data_kind"] == "output"]
    folder = tmp_path / "data" / "product=le_chat" / "kind=output"
    folder.mkdir(parents=True)
    table = pq.read_table(record_files.parquet(made, tmp_path / "all.parquet")).take(pa.array(chat))
    pq.write_table(table.drop_columns(["product", "kind"]), folder / "part-0.parquet")
    by_folder, allowed, denied = run(tmp_path / "data", snapshot, tmp_path)
    constants = COLUMNS.replace("data_kind=kind", "data_kind=@output,product=@le_chat")
    by_constant, again, _denied = run(folder, snapshot, tmp_path, name="2", columns=constants)
    assert by_folder.counts == by_constant.counts and by_folder.allowed > 0
    assert read(allowed) == read(again)
    assert {(row["product"], row["data_kind"]) for row in read(denied)} == {("le_chat", "output")}
    assert by_folder.outputs["allowed"][0]["name"] == "product=le_chat/kind=output/part-0.parquet"


def test_filter__parquet__types_and_notes_stay(made, snapshot, tmp_path):
    source = record_files.parquet(made, tmp_path / "in.parquet")
    table = pq.read_table(source)
    table = table.append_column(
        "when", pa.array([n * 10**9 + 1 for n in range(RECORDS)], pa.timestamp("ns", "Asia/Tokyo"))
    )
    table = table.append_column(
        "tags", pa.array([{"a": [n % 100]} for n in range(RECORDS)], pa.struct({"a": pa.list_(pa.int8())}))
    )
    table = table.append_column("label", pa.array([str(n % 3) for n in range(RECORDS)]).dictionary_encode())
    table = table.replace_schema_metadata({"huggingface": '{"info": {}}'})
    pq.write_table(table, source)
    _report, allowed, _denied = run(source, snapshot, tmp_path, name=".parquet")
    found, before = pq.read_table(allowed), pq.read_table(source)
    assert found.schema.metadata[b"huggingface"] == b'{"info": {}}'
    assert found.drop_columns(["consent_organization", "consent_member"]).schema == before.schema
    places = pa.array([int(rid[1:]) for rid in found["rid"].to_pylist()])
    assert found.drop_columns(["consent_organization", "consent_member"]) == before.take(places)
