"""Files whose names or columns one library reads otherwise than another: the verdict is on what is copied."""

import shutil

import pyarrow.parquet as pq
import pytest

from consent.pipeline import Snapshot
from consent.pipeline.errors import PipelineError
from tests.support import record_files, snapshots
from tests.support.consent_worlds import Oracle, world
from tests.support.record_files import COLUMNS, read, run, snapshot_of

RECORDS = 300


@pytest.fixture(scope="module")
def made():
    return world(5, RECORDS)


@pytest.fixture(scope="module")
def snapshot(made, tmp_path_factory):
    return snapshot_of(made, tmp_path_factory.mktemp("snapshots"))


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
