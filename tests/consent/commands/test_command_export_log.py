"""export_log writes what is served, in the same paths, and goes on where it was."""

from pathlib import Path

import pytest
from django.test import Client

from consent.models import LogCheckpoint
from tests.support.commands import run
from tests.support.log import add_events, kept, step

pytestmark = pytest.mark.django_db


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_export_log__no_checkpoint__refused_and_nothing_written(tmp_path: Path) -> None:
    result = run("export_log", str(tmp_path / "log"))
    assert result.code == 1 and "no checkpoint" in result.err
    assert not (tmp_path / "log").exists()


def test_export_log__again_and_again__same_bytes_as_served(tmp_path: Path, client: Client) -> None:
    with kept():
        add_events(258)
        step()
        assert run("export_log", str(tmp_path), "--format", "json").json == {"size": 258, "written": 5}
        assert run("export_log", str(tmp_path), "--format", "json").json == {"size": 258, "written": 0}
        add_events(2)
        step()
        assert run("export_log", str(tmp_path), "--format", "json").json == {"size": 260, "written": 2}
        found = files(tmp_path)
        assert sorted(found) == [
            ".well-known/training-consent-log.json", "log/checkpoint", "log/tile/0/000", "log/tile/0/001.p/2",
            "log/tile/0/001.p/4", "log/tile/1/000.p/1", "log/tile/entries/000", "log/tile/entries/001.p/2",
            "log/tile/entries/001.p/4",
        ]  # fmt: skip
        for path, content in found.items():
            assert client.get(f"/{path}").content == content, path
        assert found["log/checkpoint"].decode() == LogCheckpoint.objects.get(pk=260).note
