"""Paths of an object store without a store, and without fsspec; with them: tests/lake/test_object_stores.py."""

import sys

import pytest
from django.core.management import CommandError, call_command

from consent.pipeline import cli, filter_records
from consent.pipeline.errors import PipelineError
from tests.support import snapshots
from tests.support.record_files import COLUMNS

FAR = "s3://lake/records"


@pytest.fixture
def arguments(snapshot, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return {
        "": str(data), "snapshot": str(snapshot.directory), "verify-key": snapshots.VERIFY_KEY, "columns": COLUMNS,
        "max-age": "none", "max-unknown": "100%", "allowed": "allowed", "denied": "denied", "report": "report.json",
    }  # fmt: skip


def listed(arguments):
    (records, *rest) = arguments.items()
    return [records[1], *(part for name, value in rest for part in (f"--{name}", value))]


def refused(tmp_path, capsys, arguments, told):
    """By both commands, with the same sentence; nothing is written."""
    before = {path.name for path in tmp_path.iterdir()}
    assert cli.main(["filter", *listed(arguments)]) == 2
    said = capsys.readouterr()
    assert said.err == f"python -m consent.pipeline filter: {told}\n" and said.out == ""
    with pytest.raises(CommandError) as error:
        call_command("filter_records", *listed(arguments))
    assert (str(error.value), error.value.returncode) == (f"{told} Nothing has its final name.", 2)
    assert {path.name for path in tmp_path.iterdir()} == before == {"data"}


@pytest.mark.parametrize("name", ["", "allowed", "denied", "report", "croissant"])
def test_path__of_a_store_without_its_option__exit_2_and_tells_the_option(name, arguments, tmp_path, capsys):
    arguments[name] = FAR
    refused(tmp_path, capsys, arguments, f"{FAR} is not on this machine: say --filesystem s3.")


def test_snapshot__on_a_store__exit_2_and_says_that_it_is_a_local_folder(arguments, tmp_path, capsys):
    arguments |= {"": FAR, "filesystem": "s3", "snapshot": "s3://lake/position-1"}
    refused(tmp_path, capsys, arguments, "s3://lake/position-1 is not on this machine: a snapshot is a local folder.")


@pytest.mark.parametrize("filesystem", ["", "sftp"])
def test_path__with_a_password__exit_2_and_does_not_repeat_it(filesystem, arguments, tmp_path, capsys):
    arguments |= {"": "sftp://me:secret@lake/records"} | ({"filesystem": filesystem} if filesystem else {})
    told = "A path has a password in it: give it as the settings of the store say."
    refused(tmp_path, capsys, arguments, told)


def test_option__all_paths_local__exit_2(arguments, tmp_path, capsys):
    arguments["filesystem"] = "s3"
    refused(tmp_path, capsys, arguments, "--filesystem s3 is given, and no path begins with s3://.")


@pytest.mark.parametrize(
    ("filesystem", "needed"),
    [("s3", "s3fs"), ("gs", "gcsfs"), ("abfs", "adlfs"), ("other", "and its package for that")],
)
def test_option__fsspec_not_installed__exit_2_and_says_what_to_install(
    filesystem, needed, arguments, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    arguments |= {"": f"{filesystem}://lake/records", "filesystem": filesystem}
    refused(tmp_path, capsys, arguments, f"--filesystem {filesystem} needs fsspec: pip install fsspec {needed}")


def test_python__path_of_a_store_without_its_option__is_refused(snapshot, tmp_path):
    with pytest.raises(PipelineError, match="is not on this machine"):
        filter_records(FAR, snapshot=snapshot, allowed=tmp_path / "allowed", columns=COLUMNS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"columns": "product=external:product"}, "Only organization and member have ids"),
        ({"threads": "0"}, "At least one thread is needed"),
    ],
)
def test_options__nonsense__said_before_anything_is_fetched(wrong, told, arguments, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert cli.main(["filter", *listed(arguments | {"": FAR, "filesystem": "s3"} | wrong)]) == 2
    assert told in capsys.readouterr().err
