"""What `export_state` writes: private, self-describing, signed, and never an incomplete file."""

import hashlib
import json
import stat
from pathlib import Path

import pytest
from django.apps import apps

from accounts.models import NameWord
from consent.transfer import state
from tests.support.commands import run
from tests.support.installations import empty, fill

pytestmark = pytest.mark.django_db


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A file of an installation that is empty again."""
    fill()
    path = tmp_path / "state.jsonl"
    assert run("export_state", str(path)).code == 0
    empty()
    return path


def test_export_state__file__private_described_and_signed(exported: Path) -> None:
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    *lines, closing = exported.read_bytes().splitlines(keepends=True)
    header = json.loads(lines[0])
    assert header["version"] == 1
    assert len(lines) - 1 == sum(table["rows"] for table in header["tables"].values())
    assert json.loads(closing) == {"sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    assert set(header["tables"]) == {
        model._meta.db_table
        for name in ("accounts", "mfa", "consent")
        for model in apps.get_app_config(name).get_models()
        if model is not NameWord  # made of the names
    }


def test_export_state__file_is_there__refused_and_left_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    path.write_text("mine", encoding="utf-8")
    result = run("export_state", str(path))
    assert (result.code, result.out) == (1, "")
    assert "is there already; --force replaces it" in result.err
    assert path.read_text(encoding="utf-8") == "mine"
    assert run("export_state", str(path), "--force").code == 0
    assert json.loads(path.read_bytes().splitlines()[0])["version"] == 1


def test_export_state__no_such_folder__exits_1(tmp_path: Path) -> None:
    result = run("export_state", str(tmp_path / "no" / "state.jsonl"))
    assert result.code == 1
    assert "No such file or directory" in result.err


def test_export_state__fails_on_the_way__leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_count", lambda _model: 0)
    with pytest.raises(RuntimeError, match="changed while"):
        run("export_state", str(tmp_path / "state.jsonl"))
    assert list(tmp_path.iterdir()) == []
