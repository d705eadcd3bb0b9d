"""A client that openapi-python-client generates from the running portal's description makes the calls of the docs."""

import subprocess
import sys
from pathlib import Path

from own_portal import ROOT, Portal

INTEROP = ROOT / "tests" / "interop"
CONFIG, PROGRAM = INTEROP / "openapi-python-client.yaml", INTEROP / "calls.py"


def make_calls(programs: Path, portal: Portal) -> int:
    """The exit status; `programs` is the folder of openapi-python-client and of the Python it is installed in."""
    generate = [str(programs / "openapi-python-client"), "generate", "--url", f"{portal.url}/api/schema/"]
    generate += ["--meta", "none", "--config", str(CONFIG), "--fail-on-warning"]
    generate += ["--output-path", str(portal.folder / "client")]
    done = subprocess.run(generate, check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
        return done.returncode
    command = [str(programs / "python"), str(PROGRAM), portal.url, portal.key]
    return subprocess.run(command, env={"PYTHONPATH": str(portal.folder)}, check=False).returncode
