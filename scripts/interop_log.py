"""Has aics-tlog, a verifier of others, check the log of a running portal: `make interop-log`.

    python scripts/interop_log.py PROGRAMS

PROGRAMS is the directory of a Python that has aics-tlog. The portal's log is signed at two sizes; tests/interop/aics.py
then reads it over HTTP, with what an auditor and members would have kept: the key, the checkpoints, some receipts.
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from own_portal import ROOT, Portal, own_portal

CHECKS = ROOT / "tests" / "interop" / "aics.py"
TILE = 256


def sign(portal: Portal, path: Path) -> int:
    """Let the worker sign the log, and keep the checkpoint; returns how many leaves it has."""
    portal.manage("worker", "--once")
    with urllib.request.urlopen(f"{portal.url}/log/checkpoint") as answer:  # noqa: S310  our own server
        path.write_bytes(answer.read())
    return int(path.read_text(encoding="utf-8").split("\n")[1])


def keep_receipt(portal: Portal, index: int, path: Path) -> None:
    event = portal.get(f"/api/v1/events/?after={index}&limit=1")["results"][0]
    receipt = portal.get(f"/api/v1/events/{event['id']}/receipt/")
    path.write_text(json.dumps(receipt), encoding="utf-8")


def main() -> int:
    python = Path(sys.argv[1]).absolute() / "python"
    with own_portal(keeps_log=True) as portal:
        kept = portal.folder / "kept"
        kept.mkdir()
        (kept / "key").write_text(portal.environment["LOG_VERIFIER_KEY"], encoding="utf-8")
        old = sign(portal, kept / "old")
        # Beyond the end of the tile that the older tree had in part: the newer one has it full, and begins another.
        for number in range(TILE - old % TILE + 16):
            portal.call("POST", "/api/v1/organizations/", {"name": f"Interop {number}", "kind": "team"})
        new = sign(portal, kept / "new")
        if old < TILE or new // TILE == old // TILE or not new % TILE:
            sys.exit(f"Trees of {old} and {new} leaves have no full tiles with a partial one after them.")
        for index in sorted({0, 1, TILE - 1, TILE, old - 1, old, new - new % TILE - 1, new - new % TILE, new - 1}):
            keep_receipt(portal, index, kept / f"receipt-{index:04}.json")
        return subprocess.run([python, CHECKS, f"{portal.url}/log/", kept], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
