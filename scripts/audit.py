"""`make audit`: looks up the packages of the given requirements files in an advisory database.

Exit code 1 if a vulnerability is known, 2 if pip-audit failed. If no service can be reached, that is printed, and the
exit code is 0.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = [str(Path(sys.executable).parent / "pip-audit")]
SERVICES = ("pypi", "osv")
# Parts of pip-audit's messages that mean that a service could not be reached.
_AWAY = re.compile("Connection|Timeout|timed out|Max retries|ProxyError|SSLError|HTTPError|ServiceError")


class Broken(Exception):
    """pip-audit failed for a reason other than an unreachable service."""


def ask(service: str, path: str) -> list[dict[str, Any]] | None:
    """What the service knows of each package; None if it can't be reached. Raises Broken."""
    options = ["--requirement", path, "--require-hashes", "--disable-pip", "--vulnerability-service", service]
    options += ["--format", "json", "--progress-spinner", "off", "--timeout", "20"]
    done = subprocess.run([*PROGRAM, *options], capture_output=True, text=True, check=False)
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        if not _AWAY.search(last):
            raise Broken(f"{path}: {last}") from None
        print(f"{path}: {service} doesn't answer ({last[:200]})")
        return None
    return dependencies


def audit(path: str) -> list[str] | None:
    """The vulnerabilities, one line each; None if no service could be reached or knew any package. Raises Broken."""
    for service in SERVICES:
        found = ask(service, path)
        if found is None:
            continue
        known = [each for each in found if "skip_reason" not in each]
        unknown = sorted(each["name"] for each in found if "skip_reason" in each)
        # A package mirror may answer for the advisory service without knowing any vulnerability: that is no audit.
        if not known:
            print(f"{path}: {service} knows none of {len(unknown)} packages; a mirror may answer in its place")
            continue
        also = f"; not known there: {', '.join(unknown)}" if unknown else ""
        print(f"{path}: {len(known)} packages looked up at {service}{also}")
        return [_line(each, vulnerability) for each in known for vulnerability in each["vulns"]]
    return None


def _line(package: dict[str, Any], vulnerability: dict[str, Any]) -> str:
    mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {vulnerability['id']}, mended in {mended}"


def main(paths: list[str]) -> int:
    try:
        results = {path: audit(path) for path in paths}
    except Broken as error:
        print(error, file=sys.stderr)
        return 2
    vulnerabilities = sorted({line for found in results.values() for line in found or []})
    for line in vulnerabilities:
        print(f"VULNERABLE: {line}")
    missed = [path for path, found in results.items() if found is None]
    if missed:
        print(f"NOT AUDITED, no advisory service answered: {', '.join(missed)}")
    elif not vulnerabilities:
        print("No vulnerability is known.")
    return 1 if vulnerabilities else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
