"""Files whose names or columns one library reads otherwise than another: the verdict is on what is copied."""

import json
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consent.pipeline import Snapshot
from consent.pipeline.errors import PipelineError
from tests.support import record_files, snapshots
from tests.support.consent_worlds import Oracle
from tests.support.record_files import COLUMNS, RECORDS, plain, read, run

HALF = RECORDS // 2


@pytest.fixture(scope="module")
def usable(made):
    """The ids of the records that may be used."""
    oracle = Oracle(made)
    return {f"r{n}" for n, row in enumerate(made.records) if oracle.reason(row) is None}


def refused(source, snapshot, tmp_path, told, **options):
    """The run is refused with this sentence, and leaves nothing."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PipelineError, match=told) as error:
        run(source, snapshot, tmp_path, **options)
    assert error.value.exit_code == 2
    assert sorted(tmp_path.rglob("*")) == before


# --- Names that are patterns to DuckDB ------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["plain", "a[b]c", "link"])
@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("part[1].parquet", "part1.parquet"),
        ("part*.parquet", "part-of-others.parquet"),
        ("part?.parquet", "part9.parquet"),
        ("[!x].parquet", "y.parquet"),
        ("{a,b}.parquet", "a.parquet"),
    ],
)
def test_file__named_like_a_pattern__is_judged_itself(made, snapshot, usable, tmp_path, folder, name, other):
    (tmp_path / "plain").mkdir()
    (tmp_path / "link").symlink_to("plain")
    for each in (tmp_path / folder, tmp_path / "abc"):
        each.mkdir(exist_ok=True)
        for n in (name, other):  # a file with the same records in another order
            record_files.parquet(made, each / n, rows=slice(None, None, -1))
    source = record_files.parquet(made, tmp_path / folder / name)
    _report, allowed, _denied = run(source, snapshot, tmp_path)
    assert {row["rid"] for row in read(allowed)} == usable


def test_snapshot__in_a_folder_named_like_a_pattern__is_read_itself(made, snapshot, usable, tmp_path):
    source = record_files.parquet(made, tmp_path / "in.parquet")
    folder = shutil.copytree(snapshot.directory, tmp_path / "day[12]" / snapshot.directory.name)
    generous = [
        {**row, **{f"{product}_allowed": True for product in made.catalogue}} for row in made.organizations
    ]  # fmt: skip
    snapshots.write(
        tmp_path / "day1", organizations=generous, members=made.members,
        decided_at=made.decided_at, catalogue=made.catalogue,
    )  # fmt: skip
    _report, allowed, _denied = run(source, Snapshot.open(folder, snapshots.VERIFY_KEY), tmp_path)
    assert {row["rid"] for row in read(allowed)} == usable


def test_snapshot__with_a_product_that_has_no_kinds_of_data__knows_none_of_its_records(made, tmp_path):
    catalogue = made.catalogue | {"ai_studio": made.catalogue["ai_studio"]._replace(data_kinds=())}
    folder = snapshots.write(
        tmp_path / "snapshots", organizations=made.organizations, members=made.members,
        decided_at=made.decided_at, catalogue=catalogue,
    )  # fmt: skip
    source = record_files.parquet(made, tmp_path / "in.parquet")
    report, _allowed, _denied = run(source, Snapshot.open(folder, snapshots.VERIFY_KEY), tmp_path)
    of_studio = [each for each in report.counts if each["product"] == "ai_studio"]
    assert of_studio and {each["data_kind"] for each in of_studio} == {None}
    assert {each["reason"] for each in of_studio} == {"unknown_data_kind", "unknown_organization"}


# --- Names of columns -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twice", [("x", "X"), ("x", "x"), ("content", "CONTENT")])
def test_parquet__two_columns_alike__exit_2_whatever_they_hold(snapshot, made, tmp_path, twice):
    """DuckDB calls the second of them like a third, `x_1`, which it then does not find."""
    source = record_files.parquet(made, tmp_path / "in.parquet")
    table = pq.read_table(source)
    for name in twice:
        table = table.append_column(name, table["acct"].take(list(reversed(range(RECORDS)))))
    pq.write_table(table.append_column("x_1", table["acct"]), source)
    refused(source, snapshot, tmp_path, "is ambiguous in", columns=COLUMNS.replace("acct", "x_1"))


# --- What can't be named or copied ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [os.fsdecode(b"x\xff.parquet"), "x\ny.parquet", ".journal.parquet"])
def test_file__whose_name_no_report_could_say__exit_2(made, snapshot, tmp_path, name):
    source = record_files.parquet(made, tmp_path / "in.parquet")
    refused(source.rename(tmp_path / name), snapshot, tmp_path, "can't be filtered")


def test_parquet__of_a_type_that_is_not_copied__one_sentence_and_nothing_left(made, snapshot, tmp_path):
    source = record_files.parquet(made, tmp_path / "in.parquet")
    table = pq.read_table(source)
    pq.write_table(table.append_column("view", pa.array(["x"] * RECORDS, pa.string_view())), source)
    with pytest.raises(PipelineError, match="can't be copied") as error:
        run(source, snapshot, tmp_path)
    assert error.value.exit_code == 1 and "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize("owner", ["consent_organization", "consent_member"])
@pytest.mark.parametrize("more", ["nan", "9" * 5_000, "[" * 50_000 + "]" * 50_000, "1,"])
def test_lines__that_only_one_reader_reads__denied_where_they_have_to_be_read(
    made, snapshot, usable, tmp_path, more, owner
):
    """DuckDB takes a number that is none, a comma too many, any depth; Python does not, and it writes owners anew."""
    rows = plain(made)
    lines = [f'{json.dumps(row)[:-1]}, "{owner}": null, "more": {more}}}' for row in rows]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(map(json.dumps, rows[:HALF])) + "\n" + "\n".join(lines[HALF:]))
    report, allowed, _denied = run(source, snapshot, tmp_path)
    assert (report.read, report.unreadable_rows) == (RECORDS, HALF)
    assert {row["rid"] for row in read(allowed)} == usable & {row["rid"] for row in rows[:HALF]}


# --- Folders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "told"),
    [("folder", "is a link to a folder"), ("nowhere", "No such file"), ("pipe", "is not a file")],
)
def test_folder__with_what_is_no_file__exit_2_instead_of_leaving_it_out(made, snapshot, tmp_path, kind, told):
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    record_files.parquet(made, tmp_path / "data" / "in.parquet")
    odd = tmp_path / "data" / "odd.parquet"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to("../elsewhere" if kind == "folder" else "nowhere")
    refused(tmp_path / "data", snapshot, tmp_path, told)
    odd.rename(tmp_path / "data" / "_odd.parquet")
    assert run(tmp_path / "data", snapshot, tmp_path)[0].read == RECORDS


@pytest.mark.parametrize("folders", ["KIND=output", "Kind=output/kind=output"])
def test_folder__and_column_of_the_same_name_but_for_case__exit_2(made, snapshot, tmp_path, folders):
    (tmp_path / "data" / folders).mkdir(parents=True)
    record_files.parquet(made, tmp_path / "data" / folders / "in.parquet")
    refused(tmp_path / "data", snapshot, tmp_path, "in its folder's name too")


# --- Nobody, and somebody without a name ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", [".csv", ".jsonl", ".parquet"])
def test_member__empty_text__nobody_in_csv_and_an_unknown_one_where_null_could_be_said(
    made, snapshot, usable, tmp_path, form
):
    rows = [{**row, "usr": row["usr"] or ""} for row in plain(made)]
    source = tmp_path / f"in{form}"
    if form == ".parquet":
        table = pq.read_table(record_files.parquet(made, source))
        ids = {name: pa.array([row[name] for row in rows], pa.string()) for name in ("acct", "usr")}
        for name, column in ids.items():
            table = table.set_column(table.schema.get_field_index(name), name, column)
        pq.write_table(table, source)
    else:
        record_files.text_file(rows, source)
    named = {row["rid"] for row in rows if row["usr"]}
    assert usable & named and usable - named
    _report, allowed, _denied = run(source, snapshot, tmp_path)
    assert {row["rid"] for row in read(allowed)} == (usable if form == ".csv" else usable & named)


# --- Whose a record is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [".csv", ".jsonl", ".parquet"])
def test_allowed_records__said_before_whose_they_are_in_other_letters__say_it_once(made, snapshot, tmp_path, form):
    """By whichever spelling an engine finds it, a removal meets the owner that the filter found."""
    source = tmp_path / f"in{form}"
    if form == ".parquet":
        table = pq.read_table(record_files.parquet(made, source))
        pq.write_table(table.append_column("Consent_Organization", table["acct"].take([0] * RECORDS)), source)
    else:
        record_files.text_file([{**row, "Consent_Organization": "of others"} for row in plain(made)], source)
    _report, allowed, _denied = run(source, snapshot, tmp_path)
    said = [[name for name in row if name.lower() == "consent_organization"] for row in read(allowed)]
    assert said and set(map(tuple, said)) == {("consent_organization",)}
