"""The commands of docs/proofs.md for a member with a receipt, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support import proofs

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "proofs.md").read_text("utf-8")
PART = PAGE.partition("\n## A member with a receipt")[2].partition("\n## ")[0]


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    (folder / "receipt-48.tlog-proof").write_text(proofs.receipt().text(), "utf-8")
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env["PYTHONIOENCODING"] = "utf-8"
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_command__as_it_stands_there__prints_what_the_page_says(tmp_path: Path) -> None:
    ((command, said),) = re.findall(r"```sh\n(.*?)```\n\n```text\n(.*?)```", PART, re.DOTALL)
    done = _run(tmp_path, "bash", "-euc", command)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(".*".join(map(re.escape, said.removesuffix("\n").split("…"))), done.stdout, re.DOTALL)


def test_snippet__with_a_library_that_is_not_ours__verifies_and_refuses(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", PART, re.DOTALL)
    done = _run(tmp_path, sys.executable, "-c", snippet)
    assert (done.returncode, done.stdout, done.stderr) == (0, "opted_out\n", "")
    altered = snippet.replace('said["body"].encode()', 'said["body"].replace("opted_out", "opted_in").encode()')
    assert _run(tmp_path, sys.executable, "-c", altered).returncode == 1
