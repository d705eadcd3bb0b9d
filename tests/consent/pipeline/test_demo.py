"""`make pipeline-demo` goes the whole way: from the ledger to training data, and back from an opt-out."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.only_on("sqlite", reason="the demo has a portal of its own, on SQLite")]


def test_demo__few_records__ends_with_a_verified_removal() -> None:
    command = [sys.executable, "scripts/pipeline_demo.py", "--rows", "3000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    read, allowed, denied = map(_number, re.findall(r"(\S+) records read.*\n\s+(\S+) allowed, (\S+) denied", said)[0])
    removed, kept = map(_number, re.findall(r"(\S+) records removed, (\S+) kept", said)[0])
    assert read == 3000 == allowed + denied and removed + kept == allowed
    assert removed > 0 and kept > 0 and f"{kept:,} allowed, none denied" in said
    assert "removal 1 is acknowledged, and verified" in said


def _number(text: str) -> int:
    return int(text.replace(",", ""))
