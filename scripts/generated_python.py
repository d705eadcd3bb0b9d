"""Generates a Python client from the running portal's OpenAPI description, and makes the calls of the docs with it."""

import subprocess
import sys
from pathlib import Path

from own_portal import ROOT, Portal

INTEROP = ROOT / "tests" / "interop"
CONFIG, PROGRAM = INTEROP / "openapi-python-client.yaml", INTEROP / "calls.py"


def make_calls(programs: Path, portal: Portal) -> int:
    """Returns the exit status. `programs`: the directory of openapi-python-client and of the Python it runs in."""
    generate = [str(programs / "openapi-python-client"), "generate", "--url", f"{portal.url}/api/schema/"]
    generate += ["--meta", "none", "--config", str(CONFIG), "--fail-on-warning"]
    generate += ["--output-path", str(portal.folder / "client")]
    done = subprocess.run(generate, check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
        return done.returncode
    command = [str(programs / "python"), str(PROGRAM), portal.url, portal.key]
    return subprocess.run(command, env={"PYTHONPATH": str(portal.folder)}, check=False).returncode
