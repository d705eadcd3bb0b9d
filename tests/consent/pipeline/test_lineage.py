"""Without the library of OpenLineage nothing is told and nothing is begun; with it: tests/lake/test_ecosystem.py."""

import sys

from consent.pipeline import cli
from tests.support import snapshots
from tests.support.record_files import COLUMNS


def test_openlineage__library_not_installed__exit_2_and_says_what_to_install(
    snapshot, data, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "openlineage", None)
    monkeypatch.delitem(sys.modules, "consent.pipeline.lineage", raising=False)
    arguments = [
        "filter", str(data), "--snapshot", str(snapshot.directory), "--verify-key", snapshots.VERIFY_KEY,
        "--max-age", "none", "--max-unknown", "100%", "--columns", COLUMNS, "--allowed", str(tmp_path / "allowed"),
    ]  # fmt: skip
    assert cli.main([*arguments, "--openlineage", str(tmp_path / "events.jsonl")]) == 2
    assert "pip install openlineage-python" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
    assert cli.main(arguments) == 0
