"""A run that is killed, finds the disk full or its input changed leaves nothing under a final name, and is resumed."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from consent.pipeline import Options, filter_records
from consent.pipeline.errors import PipelineError
from tests.support import record_files, snapshots
from tests.support.record_files import COLUMNS, RECORDS, given, plain, read, run, stop_after, text_file

ROOT = Path(__file__).parents[3]


def command(snapshot, source, tmp_path, *more, form=""):
    return [
        sys.executable, "-m", "consent.pipeline", "filter", str(source), "--snapshot", str(snapshot.directory),
        "--verify-key", snapshots.VERIFY_KEY, "--columns", COLUMNS, "--max-age", "none", "--max-unknown", "100%",
        "--allowed", str(tmp_path / f"allowed{form}"), "--denied", str(tmp_path / f"denied{form}"),
        "--report", str(tmp_path / "report.json"), *more,
    ]  # fmt: skip


def final_names(tmp_path, form=""):
    return [name for name in (f"allowed{form}", f"denied{form}", "report.json") if os.path.lexists(tmp_path / name)]


def many(made, source, form):
    """The same records over and over: enough to be caught in the middle."""
    if form == ".parquet":
        table = pq.read_table(record_files.parquet(made, source))
        with pq.ParquetWriter(source, table.schema) as writer:
            for _n in range(400):
                writer.write_table(table)
    else:
        rows = plain(made)
        text_file(rows * 100, source)
    return source


@pytest.mark.slow
@pytest.mark.parametrize("form", [".parquet", ".jsonl", ".csv"])
@pytest.mark.parametrize("moment", [".scratch", "allowed", "denied"])
def test_filter__killed_in_the_middle__no_final_name_and_the_next_run_says_so(made, snapshot, tmp_path, form, moment):
    source = many(made, tmp_path / f"in{form}", form)
    watched = {
        ".scratch": tmp_path / f"allowed{form}.partial" / ".scratch",
        "allowed": tmp_path / f"allowed{form}.partial" / f"allowed{form}",
        "denied": tmp_path / f"denied{form}.partial" / f"denied{form}",
    }[moment]
    started = subprocess.Popen(command(snapshot, source, tmp_path, form=form), cwd=ROOT)
    while not watched.exists():
        assert started.poll() is None
        time.sleep(0.001)
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    assert final_names(tmp_path, form) == []
    again = command(snapshot, source, tmp_path, form=form)
    refused = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is of a run that did not end: --resume goes on with it" in refused.stderr
    done = subprocess.run([*again, "--resume"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert final_names(tmp_path, form) == [f"allowed{form}", f"denied{form}", "report.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*final_names(tmp_path, form), source.name])


@pytest.mark.slow
@pytest.mark.parametrize("form", [".parquet", ".jsonl.gz", ".csv"])
@pytest.mark.parametrize("size", [2, 10_000, 60_000])
def test_filter__disk_full__one_sentence_and_nothing_left(made, snapshot, tmp_path, form, size):
    source = (
        text_file(plain(made) * 20, tmp_path / f"in{form}")
        if form != ".parquet"
        else many(made, tmp_path / "in.parquet", form)
    )
    done = subprocess.run(
        command(snapshot, source, tmp_path, form=form), cwd=ROOT, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and "File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_filter__memory_too_small__one_sentence_and_nothing_left(made, snapshot, tmp_path):
    source = many(made, tmp_path / "in.parquet", ".parquet")
    with pytest.raises(PipelineError, match="raise --memory") as error:
        run(source, snapshot, tmp_path, options={"memory": "1MB"})
    assert error.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize("which", [0, 2])
@pytest.mark.parametrize("change", ["touched", "longer", "other rows", "gone"])
def test_input__changes_meanwhile__refused(made, snapshot, tmp_path, data, which, change):
    def progress(done, _all):
        path = data / f"day={which}" / "part.parquet"
        if done == 1:
            if change == "touched":
                os.utime(path, ns=(1, 1))
            elif change == "longer":
                with path.open("ab") as file:
                    file.write(b"x")
            elif change == "other rows":
                record_files.parquet(made, path, rows=slice(0, 150))
            else:
                path.unlink()

    with pytest.raises(PipelineError, match=r"has changed|rows than it had|can't be read") as error:
        filter_records(data, **given(snapshot, tmp_path), progress=progress)
    assert error.value.exit_code != 0
    assert final_names(tmp_path) == []


def test_run__stopped_and_resumed__does_the_rest_alone_to_the_same_bytes(snapshot, tmp_path, data):
    (tmp_path / "whole").mkdir()
    whole, _allowed, _denied = run(data, snapshot, tmp_path / "whole", options={"full_reasons": False})
    stop_after(2, data, **given(snapshot, tmp_path))
    assert final_names(tmp_path) == []
    first = tmp_path / "allowed.partial" / "day=0" / "part.parquet"
    os.utime(first, ns=(1, 1))
    with pytest.raises(PipelineError, match="did not end"):
        filter_records(data, **given(snapshot, tmp_path))
    resumed = _resume(data, snapshot, tmp_path)
    assert (tmp_path / "allowed" / "day=0" / "part.parquet").stat().st_mtime_ns == 1
    for what in ("allowed", "denied"):
        for path in (tmp_path / "whole" / what).rglob("*.parquet"):
            assert (tmp_path / what / path.relative_to(tmp_path / "whole" / what)).read_bytes() == path.read_bytes()
    same = {"seconds": 0.0, "warnings": []}
    assert {**resumed.data(), **same} == {**whole.data(), **same}
    assert {path.name for path in tmp_path.iterdir()} == {"data", "whole", "allowed", "denied", "report.json"}


def _resume(data, snapshot, tmp_path, **more):
    return filter_records(data, **given(snapshot, tmp_path, **more), options=Options(resume=True))


@pytest.mark.parametrize("change", ["output", "input", "journal"])
def test_run__resumed_after_a_change__does_that_file_again(made, snapshot, tmp_path, data, change):
    stop_after(2, data, **given(snapshot, tmp_path))
    partial = tmp_path / "allowed.partial"
    if change == "output":
        (partial / "day=0" / "part.parquet").write_bytes(b"half")
    elif change == "input":
        record_files.parquet(made, data / "day=0" / "part.parquet", rows=slice(0, 150))
    else:
        with (partial / ".journal.jsonl").open("ab") as journal:
            journal.write(b'{"input": {"na')
    report = _resume(data, snapshot, tmp_path)
    (tmp_path / "whole").mkdir()
    whole, _allowed, _denied = run(data, snapshot, tmp_path / "whole", options={"full_reasons": False})
    assert (report.outputs, report.counts) == (whole.outputs, whole.counts)
    assert len(read(tmp_path / "allowed")) == report.allowed


def test_run__resumed_with_other_columns__refused(snapshot, tmp_path, data):
    stop_after(1, data, **given(snapshot, tmp_path))
    with pytest.raises(PipelineError, match="another snapshot, other columns or options"):
        _resume(data, snapshot, tmp_path, columns=COLUMNS.replace("member=usr", "member=@"))
    assert final_names(tmp_path) == []
    assert (tmp_path / "allowed.partial" / "day=0" / "part.parquet").exists()


def test_run__beside_another__refused(snapshot, tmp_path, data):
    stop_after(1, data, **given(snapshot, tmp_path))
    with (tmp_path / "allowed.partial" / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PipelineError, match="Another run is writing"):
            _resume(data, snapshot, tmp_path)
    assert (tmp_path / "allowed.partial" / "day=0" / "part.parquet").exists()
    assert _resume(data, snapshot, tmp_path).read == RECORDS


@pytest.mark.parametrize("what", ["allowed", "report.json"])
def test_run__something_came_to_be_there_meanwhile__it_stays(snapshot, tmp_path, data, what):
    def progress(done, _all):
        if done == 3:
            (tmp_path / what).write_text("theirs")

    with pytest.raises(PipelineError, match="nothing is overwritten"):
        filter_records(data, **given(snapshot, tmp_path), progress=progress)
    assert (tmp_path / what).read_text() == "theirs"
