"""A disk that is full and a process that is killed in the middle of each file: nothing under a snapshot's name."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consent.pipeline import Snapshot
from tests.support.snapshots import VERIFY_KEY

ROOT = Path(__file__).parents[3]
# Writes a snapshot of three tables with 3,000 rows each; something happens when half the rows of one are written.
SCRIPT = """
import os, resource, signal, sys, uuid
from pathlib import Path
from consent.pipeline import schema, writing
from tests.support import snapshots

table, happens, target = sys.argv[1:]
columns = schema.schemas(snapshots.CATALOGUE)

def value(field, n):
    kind = str(field.type)
    if "uuid" in kind:
        return uuid.UUID(int=n)
    return {"bool": True, "int64": n}.get(kind, os.urandom(20).hex())

def batches(name):
    for part in range(3):
        rows = [{f.name: value(f, n) for f in columns[name]} for n in range(part * 1000, part * 1000 + 1000)]
        yield snapshots.batch(rows, columns[name])
        if name == table and part == 1 and happens == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == table and part == 1 and happens == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

writing.write_snapshot(
    Path(target), {name: batches(name) for name in schema.TABLES}, position=1, decided_at=snapshots.NOON,
    catalogue=snapshots.CATALOGUE, origin=snapshots.ORIGIN, key=snapshots.KEY,
)
"""


def write(table: str, happens: str, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, table, happens, str(target)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("table", ["organizations", "members", "external_ids"])
@pytest.mark.parametrize("happens", ["kill", "full"])
def test_write_snapshot__fails_in_the_middle_of_a_file__no_snapshot_and_the_next_one_succeeds(
    tmp_path: Path, table: str, happens: str
) -> None:
    done = write(table, happens, tmp_path)
    assert done.returncode == (-signal.SIGKILL if happens == "kill" else 1)
    assert happens == "kill" or "File too large" in done.stderr
    left = list(tmp_path.iterdir())
    assert not left if happens == "full" else all(path.name.startswith(".partial-") for path in left)
    assert write(table, "", tmp_path).returncode == 0
    (folder,) = tmp_path.glob("position-*")
    assert Snapshot.open(folder, VERIFY_KEY).rows(table) == 3000
