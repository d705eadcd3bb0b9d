"""The wheel of the pipeline filters, verifies and opens in an environment that has neither Django nor the portal."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consent.pipeline import dsse
from tests.support import proofs, snapshots
from tests.support.snapshots import NOON, VERIFY_KEY

ROOT = Path(__file__).parents[3]
TEAM, ADA = (uuid.UUID(int=n) for n in (1, 2))
OPEN = """
import sys
from consent.pipeline import open_allowed
print(open_allowed("run.json", "allowed", verify_key=sys.argv[1]).count_rows())
assert "django" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.only_on("sqlite", reason="it needs no database")
def test_wheel__in_a_new_environment__filters_verifies_and_opens(tmp_path: Path) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    wheel = run(sys.executable, str(ROOT / "scripts" / "pipeline_wheel.py"), "--folder", str(tmp_path))
    run(sys.executable, "-m", "venv", "env")
    python = str(tmp_path / "env" / "bin" / "python")
    run(python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-compile", wheel)

    layer = {"allowed": True, "reason": "organization_opted_in", "since": NOON - 9}
    layers = {f"{product}_{name}": value for product in snapshots.CATALOGUE for name, value in layer.items()}
    organization = {"organization": TEAM, "personal": False, "created_at": NOON - 9, **layers}
    member = {"member": ADA, "organization": TEAM, "joined_at": NOON - 9}
    member |= {"le_chat_allowed": True, "le_chat_reason": "default"}
    folder = snapshots.write(tmp_path / "snapshots", organizations=[organization], members=[member])
    rows = [
        {"organization": str(TEAM), "member": str(ADA), "product": "le_chat", "data_kind": "output", "id": n}
        for n in range(8)
    ]
    table = pa.Table.from_pylist(rows)
    instants = pa.array([NOON - n * 3 for n in range(8)], pa.timestamp("us", "UTC"))
    pq.write_table(table.append_column("collected_at", instants), tmp_path / "records.parquet")

    command = str(tmp_path / "env" / "bin" / "consent-pipeline")
    given = ["--snapshot", str(folder), "--verify-key", VERIFY_KEY, "--max-age", "none", "--report", "report.json"]
    said = run(command, "filter", "records.parquet", "--allowed", "allowed", *given)
    assert "4 allowed, 4 denied" in said
    files = json.loads((tmp_path / "report.json").read_text("utf-8"))["outputs"]["allowed"]
    files = [{**file, "position": 41} for file in files]
    predicate = {"run": {"id": "R-1"}, "snapshots": [{"decided_at": NOON, "position": 41}], "files": files}
    predicate["checkpoint"] = proofs.checkpoint()
    statement = dsse.statement("https://portal.example/training-run/v1", predicate, files)
    (tmp_path / "run.json").write_bytes(dsse.sign(statement, snapshots.KEY))
    assert run(command, "verify", "run.json", "allowed", "--verify-key", VERIFY_KEY).startswith("1 file is as")
    keys = ["--verify-key", VERIFY_KEY, "--vkey", proofs.VKEY]
    assert run(command, "verify", "run.json", "allowed", *keys).startswith("1 file is as")
    assert run(command, "verify-manifest", "run.json", *keys).count("yes  ") == 4
    assert run(python, "-c", OPEN, VERIFY_KEY) == "4"
