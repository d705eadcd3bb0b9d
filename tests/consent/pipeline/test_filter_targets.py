"""Where a run writes: never through a link, over a file of somebody else, to an input, or into the snapshot."""

import os
import shutil
from pathlib import Path

import pytest

from consent.pipeline import Options, Snapshot, filter_records, workspace
from consent.pipeline.errors import PipelineError
from tests.support import snapshots
from tests.support.record_files import RECORDS, given, stop_after


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(told, exit_code, inputs, **arguments):
    with pytest.raises(PipelineError, match=told) as error:
        filter_records(inputs, **arguments)
    assert error.value.exit_code == exit_code


# --- What lies beside the outputs until they are done ----------------------------------------------------------------


@pytest.mark.parametrize("what", ["report", "croissant"])
@pytest.mark.parametrize("there", ["link", "loose link", "file", "folder"])
def test_partial_file__of_somebody_else__exit_2_and_it_stays(snapshot, tmp_path, data, what, there):
    target, partial, victim = tmp_path / "x.json", tmp_path / "x.json.partial", data / "day=0" / "part.parquet"
    before = victim.read_bytes()
    if there == "folder":
        partial.mkdir()
    elif there == "file":
        partial.write_text("mine")
    else:
        partial.symlink_to(victim if there == "link" else tmp_path / "nowhere")
    refused("is there already", 2, data, **{**given(snapshot, tmp_path), what: target})
    assert names(tmp_path) == ["data", "x.json.partial"]
    assert victim.read_bytes() == before and partial.is_symlink() == ("link" in there)
    assert there != "file" or partial.read_text() == "mine"


def killed_at_the_end(monkeypatch, data, **arguments):
    """A run that is killed before anything gets its final name."""

    class Killed(BaseException):
        pass

    def killed(*_given):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(workspace, "_rename", killed)
        patched.setattr(workspace.Workspace, "__exit__", lambda self, *_given: self._unlock())
        with pytest.raises(Killed):
            filter_records(data, **arguments)


def test_partial_file__of_a_killed_run__resume_writes_it_anew(snapshot, tmp_path, data, monkeypatch):
    arguments = given(snapshot, tmp_path, croissant=tmp_path / "x.json")
    killed_at_the_end(monkeypatch, data, **arguments)
    left = names(tmp_path)
    assert {"allowed.partial", "denied.partial", "report.json.partial", "x.json.partial"} < set(left)
    refused("--resume", 2, data, **arguments)
    assert names(tmp_path) == left
    assert filter_records(data, **arguments, options=Options(resume=True)).read == RECORDS
    assert names(tmp_path) == ["allowed", "data", "denied", "report.json", "x.json"]
    assert names(tmp_path / "allowed") == names(tmp_path / "denied") == [f"day={n}" for n in range(3)]


@pytest.mark.parametrize("there", ["link", "other link", "file"])
def test_partial_file__not_what_the_killed_run_left__exit_2_and_it_stays(snapshot, tmp_path, data, monkeypatch, there):
    arguments = given(snapshot, tmp_path)
    partial, victim = tmp_path / "report.json.partial", tmp_path / "victim"
    victim.write_text("precious")
    if there == "file":  # that run was stopped before it came to its report
        stop_after(2, data, **arguments)
        partial.write_text("mine")
    else:
        killed_at_the_end(monkeypatch, data, **arguments)
        partial.unlink()
        partial.symlink_to(victim) if there == "link" else os.link(victim, partial)
    refused("is there already", 2, data, **arguments, options=Options(resume=True))
    assert victim.read_text() == "precious" and partial.read_text() in ("precious", "mine")
    assert (tmp_path / "allowed.partial" / "day=0" / "part.parquet").exists()
    partial.unlink()
    assert filter_records(data, **arguments, options=Options(resume=True)).read == RECORDS


def test_partial_file__comes_to_be_there_meanwhile__stays(snapshot, tmp_path, data):
    victim = tmp_path / "victim"
    victim.write_text("precious")

    def progress(done, _all):
        if done == 3:
            (tmp_path / "report.json.partial").symlink_to(victim)

    refused("can't be written", 1, data, **given(snapshot, tmp_path), progress=progress)
    assert (tmp_path / "report.json.partial").is_symlink() and victim.read_text() == "precious"


@pytest.mark.parametrize("resume", [False, True])
def test_partial_folder__is_a_link__exit_2_and_nothing_is_written_there(snapshot, tmp_path, data, resume):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "allowed.partial").symlink_to("elsewhere")
    refused("is there already", 2, data, **given(snapshot, tmp_path), options=Options(resume=resume))
    assert names(tmp_path / "elsewhere") == [] and "allowed" not in names(tmp_path)


def test_journal__is_a_link__nothing_is_written_through_it(snapshot, tmp_path, data):
    victim, folder = tmp_path / "victim", tmp_path / "allowed.partial"
    victim.write_text("one line")
    folder.mkdir()
    (folder / ".journal.jsonl").symlink_to(victim)
    refused("can't be written", 1, data, **given(snapshot, tmp_path), options=Options(resume=True))
    assert victim.read_text() == "one line"


# --- One spelling of each place --------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["report", "croissant", "denied"])
def test_target__by_way_of_an_output__is_where_that_leads(snapshot, tmp_path, data, what):
    arguments = {**given(snapshot, tmp_path), what: f"{tmp_path}/allowed/../new/../x.json"}
    report = filter_records(data, **arguments)
    assert report.read == RECORDS and (tmp_path / "x.json").exists()
    assert {*names(tmp_path), "report.json", "denied"} == {"allowed", "data", "denied", "report.json", "x.json"}


@pytest.mark.parametrize("name", ["..", "allowed/..", "."])
def test_target__has_no_name__exit_2(snapshot, tmp_path, data, name):
    refused("is there already|has no name", 2, data, **given(snapshot, tmp_path, report=f"{tmp_path}/{name}"))
    assert names(tmp_path) == ["data"]


@pytest.mark.parametrize("what", ["allowed", "denied", "report.json"])
def test_end__something_came_to_be_there_meanwhile__nothing_else_has_its_name_and_resume_ends_it(
    snapshot, tmp_path, data, what
):
    def progress(done, _all):
        if done == 3:
            (tmp_path / what).write_text("theirs")

    refused("nothing is overwritten", 1, data, **given(snapshot, tmp_path), progress=progress)
    assert names(tmp_path) == sorted(["allowed.partial", "data", "denied.partial", what])
    (tmp_path / what).unlink()
    assert filter_records(data, **given(snapshot, tmp_path), options=Options(resume=True)).read == RECORDS
    assert names(tmp_path) == ["allowed", "data", "denied", "report.json"]


def test_end__of_one_file__something_came_to_be_there_meanwhile__nothing_else_has_its_name(snapshot, tmp_path, data):
    def progress(_done, _all):
        (tmp_path / "report.json").write_text("theirs")

    places = {what: tmp_path / f"{what}.parquet" for what in ("allowed", "denied")}
    source = data / "day=0" / "part.parquet"
    refused("nothing is overwritten", 1, source, **given(snapshot, tmp_path, **places), progress=progress)
    assert names(tmp_path) == ["data", "report.json"]


# --- Inputs and the snapshot -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["allowed", "croissant"])
@pytest.mark.parametrize(
    ("pattern", "target"),
    [
        ("data/*", "data/out"),
        ("data/*/*", "data/day=0/out.json"),
        ("data/**", "data/new/out"),
        ("data/**/part*", "data/new/other/part-out"),
        ("data/day=*", "data/day=new/out"),
        ("link/d*/p*", "data/day=0/part-out"),
        ("*nk/*/p*", "data/day=0/part-out"),
    ],
)
def test_target__that_a_pattern_would_find__exit_2(snapshot, tmp_path, data, what, pattern, target):
    (tmp_path / "link").symlink_to("data")
    arguments = {**given(snapshot, tmp_path), what: tmp_path / target}
    refused("would be filtered next time", 2, f"{tmp_path}/{pattern}", **arguments)
    assert names(tmp_path) == ["data", "link"] and names(data) == ["day=0", "day=1", "day=2"]


def test_target__that_a_pattern_passes_over__written(snapshot, tmp_path, data):
    """Hidden names, and files at another depth."""
    places = {"report": data / ".report.json", "croissant": tmp_path / "x.parquet"}
    assert filter_records(f"{data}/*/*.parquet", **given(snapshot, tmp_path, **places)).read == RECORDS


@pytest.mark.parametrize("what", ["allowed", "denied", "report", "croissant"])
def test_target__in_the_snapshot__exit_2_and_it_stays_usable(snapshot, tmp_path, data, what):
    folder = tmp_path / "snapshots" / snapshot.directory.name
    shutil.copytree(snapshot.directory, folder)
    (tmp_path / "link").symlink_to(folder)
    for place in (folder / "new" / "out", tmp_path / "link" / "out", folder / ".." / folder.name / "out"):
        copy = Snapshot.open(folder, snapshots.VERIFY_KEY)
        refused("the snapshot", 2, data, **{**given(copy, tmp_path), what: place})
    assert names(folder) == names(Path(snapshot.directory))
