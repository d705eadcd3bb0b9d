"""The commands of docs/proofs.md for an auditor with two checkpoints, run as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from consent import ledger, manifests
from tests.support import log
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.training import register, report

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "proofs.md").read_text("utf-8")
PART = PAGE.partition("\n## An auditor with two checkpoints")[2].partition("\n## ")[0]
EXPORT, COMPARE, VERIFY = re.findall(r"```sh\n(.*?)```", PART, re.DOTALL)
COMPARED, VERIFIED = re.findall(r"```text\n(.*?)```", PART, re.DOTALL)

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept(settings: Any, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, with a portal that keeps the log of the page's key."""
    for name, value in log.SETTINGS.items():
        setattr(settings, name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export() -> None:
    """The command of the operator, who has the portal."""
    ((program, *words),) = [shlex.split(line) for line in EXPORT.splitlines()]
    assert program == "manage.py" and run(*words).code == 0


def go(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """The command of the auditor, who has neither settings nor a database."""
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env["PYTHONIOENCODING"] = "utf-8"
    return subprocess.run(["bash", "-euc", command], cwd=folder, env=env, capture_output=True, text=True, check=False)


def says(done: subprocess.CompletedProcess[str], said: str) -> bool:
    """Whether it prints what the page says, with anything for each “…”."""
    return bool(re.fullmatch(".*".join(map(re.escape, said.removesuffix("\n").split("…"))), done.stdout.rstrip("\n")))


def test_compare__the_log_has_grown__prints_what_the_page_says(kept: Path) -> None:
    log.add_events(300)
    log.step()
    export()
    (kept / "kept-checkpoint").write_bytes((kept / "audit" / "log" / "checkpoint").read_bytes())
    log.add_events(300)
    log.step()
    export()
    done = go(kept, COMPARE)
    assert (done.returncode, done.stderr) == (0, "") and says(done, COMPARED)
    tile = kept / "audit" / "log" / "tile" / "0" / "000"
    tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])
    assert go(kept, COMPARE).returncode == 0, "a checkpoint of 300 events takes only what is above this tile"
    tile = kept / "audit" / "log" / "tile" / "1" / "000.p" / str(ledger.head() // 256)
    tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])
    assert go(kept, COMPARE).returncode == 1


def test_manifest__of_a_run__prints_what_the_page_says(kept: Path) -> None:
    ledger.sequence()
    log.step()
    (kept / "R-77.json").write_text(register(report(1)).manifest, "utf-8")
    key = manifests.signing_key().public_key()
    (kept / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    done = go(kept, VERIFY)
    assert (done.returncode, done.stderr) == (0, "") and says(done, VERIFIED)
