"""Fuzzes the API of a running portal with Schemathesis, from its OpenAPI description: `make fuzz`.

    python scripts/fuzz.py SCHEMATHESIS [--cases N]

The portal has its own database with the demo in it. The script fails on a server error, on a response that the
description does not allow, and if a generated client can't make the calls of README and docs/api.md.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from generated_python import make_calls
from own_portal import Portal, own_portal

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance"
)


def config(portal: Portal) -> Path:
    """Write a configuration with ids that exist, because random ids would only ever be answered with 404."""
    members = portal.get("/api/v1/organizations/external:kvasir/members/")["results"]
    path = portal.folder / "schemathesis.toml"
    path.write_text(
        "[parameters]\n"
        '"path.organization" = "external:kvasir"\n'
        f'"path.member" = "{members[0]["id"]}"\n'
        '"path.product" = "le_chat"\n'
    )
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("schemathesis", help="the program")
    parser.add_argument("--cases", type=int, default=100, help="generated for each operation (default 100)")
    options = parser.parse_args()
    schemathesis = Path(options.schemathesis).absolute()
    with own_portal() as portal:
        if code := make_calls(schemathesis.parent, portal):
            return code
        command = [
            str(schemathesis), "--config-file", str(config(portal)), "run", f"{portal.url}/api/schema/",
            "--header", f"Authorization: Bearer {portal.key}", "--max-examples", str(options.cases), "--workers", "1",
            "--phases", "examples,coverage,fuzzing", "--checks", CHECKS,
        ]  # fmt: skip
        return subprocess.run(command, cwd=portal.folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
