"""What the filter refuses, each with one sentence and exit code, and nothing under a final name."""

import datetime as dt
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consent.pipeline import Options, Snapshot, cli, filter_records
from consent.pipeline.errors import PipelineError
from tests.support import record_files, snapshots
from tests.support.consent_worlds import Oracle
from tests.support.record_files import COLUMNS, RECORDS, plain, read, run, text_file


@pytest.fixture
def source(made, tmp_path):
    return record_files.parquet(made, tmp_path / "in.parquet", group=100)


def refused(tmp_path, told, code, *given, **options):
    """The run is refused with this sentence, and leaves nothing that was not there."""
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(PipelineError, match=told) as error:
        run(*given, tmp_path, **options)
    assert error.value.exit_code == code
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "allowed").exists() and not (tmp_path / "allowed.partial").exists()


# --- The command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("organization", "Columns are given like"),
        ("organization=", "Columns are given like"),
        ("organisation=acct", "Records have no “organisation”"),
        ("organization=acct,organization=usr", "organization is given twice"),
        ("id=@x", "The id of records is a column"),
        ("product=external:product", "Only organization and member have ids"),
        ("organization=external:", "has no name"),
        (COLUMNS.replace("acct", "account"), "has no column account for organization: it has rid, acct, usr"),
        (COLUMNS.replace("acct", "ACCT"), "has no column ACCT for organization"),
        (COLUMNS.replace("member=usr", "member=nobody"), "If the records name no member, say member=@"),
        (COLUMNS.replace("kind=kind", "kind=scores"), "scores in .* is list<.*>: data_kind has to be text"),
        (COLUMNS.replace("acct", "external:acct"), "acct in .* is UUID: organization has to be text"),
        (COLUMNS.replace("id=rid", "id=number"), "has no column number for id"),
    ],
)
def test_columns__not_to_be_understood_or_not_there__exit_2(snapshot, source, tmp_path, columns, told):
    refused(tmp_path, told, 2, source, snapshot, columns=columns)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"memory": "much"}, "Memory is given like"),
        ({"threads": 0}, "At least one thread"),
        ({"max_unknown": 2}, "share of unknown ids"),
    ],
)
def test_options__nonsense__exit_2(snapshot, source, tmp_path, options, told):
    refused(tmp_path, told, 2, source, snapshot, options=options)


@pytest.mark.parametrize("what", ["allowed", "denied", "report"])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling"])
def test_output__is_there__exit_2_and_it_stays(snapshot, source, tmp_path, what, kind):
    there = tmp_path / "there"
    {"file": there.touch, "folder": there.mkdir, "dangling": lambda: there.symlink_to("nowhere")}[kind]()
    given = {"snapshot": snapshot, "allowed": tmp_path / "allowed", what: there}
    with pytest.raises(PipelineError, match="is there already") as error:
        filter_records(source, columns=COLUMNS, **given)
    assert error.value.exit_code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"in.parquet", "there"}


def test_outputs__of_one_name__exit_2(snapshot, source, tmp_path):
    refused(tmp_path, "Two outputs have the same name", 2, source, snapshot, denied=tmp_path / "allowed")


def test_output__of_another_format__exit_2(snapshot, source, tmp_path):
    refused(tmp_path, "gets what is in files of parquet", 2, source, snapshot, name=".csv")
    refused(tmp_path, "gets what is in files of parquet", 2, source, snapshot, denied=tmp_path / "denied.parquet")


# --- The snapshot ---------------------------------------------------------------------------------------------------


def arguments(snapshot, source, tmp_path, *more):
    return [
        "filter", str(source), "--snapshot", str(snapshot.directory), "--verify-key", snapshots.VERIFY_KEY,
        "--allowed", str(tmp_path / "allowed"), "--columns", COLUMNS, "--max-unknown", "100%", *more,
    ]  # fmt: skip


def test_snapshot__older_than_a_day__exit_2_unless_allowed(snapshot, source, tmp_path, capsys):
    assert cli.main(arguments(snapshot, source, tmp_path)) == 2
    said = capsys.readouterr()
    assert "older than" in said.err and said.out == "" and not (tmp_path / "allowed").exists()
    assert cli.main(arguments(snapshot, source, tmp_path, "--max-age", "none")) == 0
    assert f"{RECORDS} records read" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["key", "file", "manifest"])
def test_snapshot__not_as_signed__exit_2(snapshot, source, tmp_path, capsys, what):
    folder = shutil.copytree(snapshot.directory, tmp_path / "copy")
    key = snapshots.VERIFY_KEY
    if what == "key":
        key = snapshots.dsse.public_text(snapshots.OTHER_KEY)
    elif what == "file":
        with (folder / "members-000.parquet").open("r+b") as file:
            file.seek(100)
            file.write(b"\x00\x01")
    else:
        (folder / "manifest.json").unlink()
    given = arguments(snapshot, source, tmp_path, "--max-age", "none")
    given[3], given[5] = str(folder), key
    assert cli.main(given) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "allowed").exists()


# --- Files ----------------------------------------------------------------------------------------------------------


def test_input__none__exit_2(snapshot, tmp_path):
    (tmp_path / "data").mkdir()
    refused(tmp_path, "There are no files", 2, tmp_path / "data", snapshot)
    refused(tmp_path, "can't be read: No such file", 2, tmp_path / "no.parquet", snapshot)
    refused(tmp_path, "No file is named like", 2, str(tmp_path / "*.parquet"), snapshot)
    refused(tmp_path, "There are no files", 2, [], snapshot)


def test_input__of_no_format_or_several__exit_2(made, snapshot, source, tmp_path):
    (tmp_path / "notes.txt").touch()
    refused(tmp_path, "is of no format of records", 2, tmp_path / "notes.txt", snapshot)
    other = text_file(plain(made), tmp_path / "in.csv")
    refused(tmp_path, "several formats, csv and parquet", 2, [source, other], snapshot)


def test_input__two_of_one_name__exit_2(made, snapshot, source, tmp_path):
    (tmp_path / "data").mkdir()
    other = record_files.parquet(made, tmp_path / "data" / "in.parquet")
    refused(tmp_path, "would be written to the same file", 2, [source, other], snapshot)


@pytest.mark.parametrize("name", ["x" * 300 + ".parquet", "x" * 300 + "*.parquet", "x" * 300 + "/*.parquet"])
def test_input__of_a_name_that_no_file_has__exit_2(snapshot, tmp_path, name):
    refused(tmp_path, "can't be read: File name too long", 2, tmp_path / name, snapshot)


@pytest.mark.parametrize("what", ["denied", "report", "croissant"])
@pytest.mark.parametrize("length", [250, 300])  # the first is too long for what it is called until it is done
def test_output__of_a_name_that_no_file_has__exit_2(snapshot, source, tmp_path, what, length):
    path = tmp_path / ("x" * length)
    refused(tmp_path, "can't be written: File name too long", 2, source, snapshot, **{what: path})


@pytest.mark.parametrize("kept", [0, 3, 0.5, 0.99])
def test_parquet__cut_off__refused(snapshot, source, tmp_path, kept):
    data = source.read_bytes()
    source.write_bytes(data[: kept if kept > 1 else int(kept * len(data))])
    refused(tmp_path, "in.parquet can't be read", 2, source, snapshot)


def test_parquet__broken_inside__refused_with_another_code(made, snapshot, source, tmp_path):
    """The columns that name records are whole, and the data is not: it is found while copying."""
    offset = pq.read_metadata(source).row_group(1).column(6).data_page_offset
    with source.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 60)
    refused(tmp_path, "can't be read", 1, source, snapshot)


@pytest.mark.parametrize("form", [".jsonl.gz", ".csv.zst"])
def test_packed_file__cut_off__refused(made, snapshot, tmp_path, form):
    path = text_file(plain(made), tmp_path / f"in{form}")
    path.write_bytes(path.read_bytes()[:-20])
    refused(tmp_path, "can't be read", 2, path, snapshot)


def test_parquet__column_twice_but_for_case__exit_2(made, snapshot, source, tmp_path):
    table = pq.read_table(source)
    pq.write_table(table.append_column("Acct", table["acct"]), source)
    refused(tmp_path, "acct is ambiguous", 2, source, snapshot)


def test_parquet__column_called_like_the_place_of_a_row__exit_2(snapshot, source, tmp_path):
    table = pq.read_table(source)
    pq.write_table(table.append_column("File_Row_Number", pa.array([0] * RECORDS)), source)
    refused(tmp_path, "call it something else", 2, source, snapshot)


def test_csv__header_missing_or_a_name_twice__exit_2(snapshot, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("")
    refused(tmp_path, "no row that names its columns", 2, path, snapshot)
    path.write_text("acct,usr,acct\n")
    refused(tmp_path, "acct is ambiguous", 2, path, snapshot)


def test_files__of_differing_types__exit_2(made, snapshot, source, tmp_path):
    """A file with time zones and one without: the second would be shifted by somebody's zone, silently."""
    other = tmp_path / "other.parquet"
    table = pq.read_table(source)
    for column, to in (("ts", pa.timestamp("us")), ("ts", pa.string()), ("acct", pa.string())):
        values = [None if each is None else str(each) for each in table[column].to_pylist()]
        changed = pa.array(values) if to == pa.string() else table[column].cast(to)
        pq.write_table(table.set_column(table.schema.get_field_index(column), column, changed), other)
        refused(tmp_path, "All files have to have", 2, [source, other], snapshot, options={"assume_utc": True})
    pq.write_table(table.drop_columns(["rid"]), other)
    refused(tmp_path, "has no column rid for id", 2, [source, other], snapshot)


def test_files__columns_in_another_order__by_their_names(made, snapshot, source, tmp_path):
    table = pq.read_table(source)
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "1.parquet")
    pq.write_table(table.select(table.column_names[::-1]), tmp_path / "data" / "2.parquet")
    _report, allowed, _denied = run(tmp_path / "data", snapshot, tmp_path)
    assert [row["rid"] for row in read(allowed / "1.parquet")] == [row["rid"] for row in read(allowed / "2.parquet")]


# --- Instants and ids -----------------------------------------------------------------------------------------------


def test_instants__without_zone__exit_2_unless_assumed(made, snapshot, source, tmp_path):
    table = pq.read_table(source)
    naive = pa.array([row["collected_at"] for row in made.records], pa.timestamp("us"))
    pq.write_table(table.set_column(5, "ts", naive), source)
    refused(tmp_path, "ts in .* is a timestamp without time zone: --assume-utc", 2, source, snapshot)
    report, _allowed, _denied = run(source, snapshot, tmp_path, options={"assume_utc": True})
    record_files.parquet(made, source)
    same, _allowed, _denied = run(source, snapshot, tmp_path, name="2")
    assert report.counts == same.counts


def test_instants__old_timestamps_of_spark__are_without_zone(made, snapshot, source, tmp_path):
    pq.write_table(pq.read_table(source), source, use_deprecated_int96_timestamps=True)
    refused(tmp_path, "timestamp without time zone", 2, source, snapshot)
    report, _allowed, _denied = run(source, snapshot, tmp_path, options={"assume_utc": True})
    assert report.allowed > 0


@pytest.mark.parametrize("unit", ["date", "number"])
def test_instants__days_or_numbers__exit_2(snapshot, source, tmp_path, unit):
    table = pq.read_table(source)
    to = pa.array([1] * RECORDS, pa.date32() if unit == "date" else pa.int64())
    pq.write_table(table.set_column(5, "ts", to), source)
    refused(tmp_path, "collected_at has to be timestamp with time zone", 2, source, snapshot)


@pytest.mark.parametrize("session_zone", ["America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("form", [".jsonl", ".csv", ".parquet"])
def test_instants__as_text__with_zone_or_not_known(made, snapshot, tmp_path, monkeypatch, form, session_zone):
    monkeypatch.setenv("TZ", session_zone)
    n = next(n for n, record in enumerate(made.records) if Oracle(made).reason(record) is None)
    row, micros = plain(made)[n], made.records[n]["collected_at"]
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)
    there = moment.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))
    good = [
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S.%fZ}",
        there.isoformat(),
        there.isoformat().replace("+05:30", "+0530"),
    ]
    bad = [
        f"{moment:%Y-%m-%dT%H:%M:%S.%f}", f"{moment:%Y-%m-%d}", "yesterday", "2026-02-30T10:00:00Z", "24:00",
        "infinity", "2026-01-01T24:00:00Z", "2026-01-01T10:00:00+5", str(micros), f" {moment.isoformat()}",
        f"{moment.isoformat()}\n", "2026-01-01T10:00:60Z", "2026-01-01T10:00Z",
    ]  # fmt: skip
    rows = [{**row, "rid": f"r{place}", "ts": text} for place, text in enumerate([*good, *bad, None])]
    path = tmp_path / f"in{form}"
    if form == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in row])), path)
    else:
        text_file(rows, path)
    report, allowed, denied = run(path, snapshot, tmp_path)
    assert [each["rid"] for each in read(allowed)] == [f"r{place}" for place in range(len(good))]
    assert {each["reason"] for each in read(denied)} == {"collected_at_missing"}
    assert (report.denied, report.unreadable_instants) == (len(bad) + 1, len(bad))


def test_instants__as_text_without_zone__utc_if_assumed(made, snapshot, tmp_path):
    rows = [{**row, "ts": row["ts"] and row["ts"].removesuffix("+00:00")} for row in plain(made)]
    report, allowed, _denied = run(
        text_file(rows, tmp_path / "in.jsonl"), snapshot, tmp_path, options={"assume_utc": True}
    )
    oracle = Oracle(made)
    assert report.unreadable_instants == 0
    assert len(read(allowed)) == sum(oracle.reason(record) is None for record in made.records) > 0


@pytest.mark.parametrize("unit", ["ns", "us"])
def test_instants__finer_than_microseconds__floored(made, snapshot, source, tmp_path, unit):
    table = pq.read_table(source)
    fine = [None if row["collected_at"] is None else row["collected_at"] * 1000 + 999 for row in made.records]
    ts = pa.array(fine, pa.timestamp("ns", "UTC")).cast(pa.timestamp(unit, "UTC"), safe=False)
    pq.write_table(table.set_column(5, "ts", ts), source)
    _report, allowed, _denied = run(source, snapshot, tmp_path)
    oracle = Oracle(made)
    wanted = [f"r{n}" for n, record in enumerate(made.records) if oracle.reason(record) is None]
    assert pq.read_table(allowed, columns=["rid"])["rid"].to_pylist() == wanted


def test_ids__not_in_normal_form__unknown_and_counted(made, snapshot, tmp_path):
    n = next(n for n, record in enumerate(made.records) if Oracle(made).reason(record) is None and record["member"])
    row = plain(made)[n]
    odd = [row["acct"].upper(), f" {row['acct']}", row["acct"].replace("-", ""), f"urn:uuid:{row['acct']}"]
    rows = [{**row, "acct": acct} for acct in odd] + [{**row, "usr": row["usr"].upper()}, row]
    report, _allowed, denied = run(text_file(rows, tmp_path / "in.jsonl"), snapshot, tmp_path)
    assert [each["reason"] for each in read(denied)] == ["unknown_organization"] * 4 + ["unknown_member"]
    assert (report.allowed, report.noncanonical_ids) == (1, 5)


def test_ids__external_not_in_normal_form__unknown_and_counted(made, snapshot, tmp_path):
    names = ["cafe\u0301", " acme", '"acme"', "ac\u200bme", "acme\t", "acme"]
    rows = [{**plain(made)[0], "acct": name, "usr": None} for name in names]
    report, _allowed, denied = run(text_file(rows, tmp_path / "in.jsonl"), snapshot, tmp_path, ids="external")
    assert {each["reason"] for each in read(denied)} == {"unknown_organization"}
    assert report.noncanonical_ids == len(names) - 1


# --- Rows -----------------------------------------------------------------------------------------------------------


def test_lines__that_are_no_records__counted_and_denied(made, snapshot, tmp_path):
    n = next(n for n, record in enumerate(made.records) if Oracle(made).reason(record) is None)
    good = json.dumps(plain(made)[n])
    bad = [
        b"{", b'{"acct": 1', b"[1, 2]", b'"text"', b"null", b"\xff\xfe", good.encode() + b"}", good.encode()[:-1],
        good[:-1].encode() + b', "acct": "x"}', good[:-1].encode() + b', "\\u0061cct": "x"}',
    ]  # fmt: skip
    lines = [b"\xef\xbb\xbf" + good.encode(), *bad, b"", b"   ", good.encode() + b"\r"]
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(lines))
    report, allowed, denied = run(path, snapshot, tmp_path)
    assert len(read(allowed)) == 2
    told = read(denied)
    assert [row["row"] for row in told] == list(range(1, len(bad) + 1))
    assert {row["reason"] for row in told} == {"unreadable_row"}
    assert (report.read, report.unreadable_rows, report.noncanonical_ids) == (len(bad) + 2, len(bad), 0)


def test_rows_of_csv__that_are_no_records__counted_and_denied(made, snapshot, tmp_path):
    """A quotation mark that is never closed, or in the wrong place, must not swallow other people's records."""
    n = next(n for n, record in enumerate(made.records) if Oracle(made).reason(record) is None)
    good = plain(made)[n] | {"content": "x"}
    line = ",".join("" if each is None else each for each in good.values())
    bad = [line + ",more", line.rpartition(",")[0], line[:-1] + '"x"y', line[:-1] + "\udcff"]
    text = "\n".join([",".join(good), line, *bad, line, "", line[:-1] + '"open', line, line])
    path = tmp_path / "in.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    report, allowed, denied = run(path, snapshot, tmp_path)
    assert [row["content"] for row in read(allowed)] == ["x", "x"]
    assert {row["reason"] for row in read(denied)} == {"unreadable_row"}
    assert (report.read, report.unreadable_rows) == (len(bad) + 3, len(bad) + 1)


def test_lines__that_python_would_write_otherwise__whole_lines_come_out(made, snapshot, tmp_path):
    n = next(n for n, record in enumerate(made.records) if Oracle(made).reason(record) is None)
    good = json.dumps(plain(made)[n])
    lines = [good[:-1] + ",}", good[:-1] + ', "score": 1e2, "big": 12345678901234567890123 }  ', good]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(lines))
    _report, allowed, _denied = run(path, snapshot, tmp_path, name=".jsonl")
    said = allowed.read_text().splitlines()
    assert all(json.loads(line)["consent_organization"] == json.loads(good)["acct"] for line in said)
    assert len(said) == 3 and '"score": 1e2, "big": 12345678901234567890123' in said[1]


def test_lines__a_name_that_comes_late__is_a_column_and_one_that_never_comes_is_not(made, snapshot, tmp_path):
    n = next(n for n, record in enumerate(made.records) if Oracle(made).reason(record) is None and record["member"])
    row = plain(made)[n]
    without = {name: value for name, value in row.items() if name != "usr"}
    path = text_file([without] * 500 + [row], tmp_path / "in.jsonl")
    report, _allowed, _denied = run(path, snapshot, tmp_path)
    assert report.read == 501 and report.allowed >= 1
    text_file([without] * 500, path)
    (tmp_path / "again").mkdir()
    refused(tmp_path / "again", "has no column usr for member", 2, path, snapshot)


# --- Exit code 3 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [".parquet", ".jsonl", ".csv"])
def test_records__none__written_and_exit_3(made, snapshot, tmp_path, form):
    path = tmp_path / f"in{form}"
    if form == ".parquet":
        record_files.parquet(made, path, rows=slice(0, 0))
    else:
        path.write_text("" if form == ".jsonl" else "rid,acct,usr,product,kind,ts,content\n")
    report, allowed, _denied = run(path, snapshot, tmp_path, name=form)
    assert (report.exit_code, report.read, report.warnings) == (3, 0, ["No records were read."])
    assert read(allowed) == [] and allowed.exists()


def test_unknown_ids__more_than_allowed__written_and_exit_3(made, snapshot, source, tmp_path, capsys):
    columns = COLUMNS.replace("acct", "usr").replace("member=usr", "member=@")
    report, allowed, _denied = run(source, snapshot, tmp_path, columns=columns, options={"max_unknown": 0.5})
    assert report.exit_code == 3 and "is a column the wrong one?" in report.warnings[0]
    assert allowed.exists() and (tmp_path / "report.json").exists()
    given = arguments(snapshot, source, tmp_path, "--max-age", "none")
    given[given.index("100%")] = "50%"
    given[given.index(str(tmp_path / "allowed"))] = str(tmp_path / "again")
    given[given.index(COLUMNS)] = columns
    assert cli.main(given) == 3
    assert "is a column the wrong one?" in capsys.readouterr().err


def test_unknown_ids__of_later_records__are_not_counted(made, snapshot, tmp_path):
    """An organization that was made after the snapshot: unknown here, and a wrong column does not look like that."""
    row = {**plain(made)[0], "acct": "00000000-0000-4000-8000-000000000000", "usr": None}
    late = {**row, "ts": "2040-01-01T00:00:00Z"}
    path = text_file([late] * 9 + [{**row, "ts": "2020-01-01T00:00:00Z"}], tmp_path / "in.jsonl")
    for share, code in ((0.1, 0), (0.05, 3)):
        report, _allowed, denied = run(path, snapshot, tmp_path, name=str(code), options={"max_unknown": share})
        assert report.exit_code == code
        assert {each["reason"] for each in read(denied)} == {"unknown_organization"}


def test_options__by_default__a_hundredth_of_unknown_ids():
    assert (Options().max_unknown, Options().memory, Options().full_reasons) == (0.01, "1GB", False)


@pytest.mark.parametrize("text", ["x", "5", "1w", "1.5h", "9999999999d", "9" * 400 + "h"])
def test_age__nonsense__exit_2(snapshot, source, tmp_path, text, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments(snapshot, source, tmp_path, "--max-age", text))
    assert end.value.code == 2
    assert "is not an age like" in capsys.readouterr().err


def test_snapshot__opened_in_python__needs_no_options(made, snapshot):
    assert Snapshot.open(snapshot.directory, snapshots.VERIFY_KEY).decided_at == made.decided_at
