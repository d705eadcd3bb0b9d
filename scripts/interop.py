"""Interoperability tests with third-party tools: `make interop`. Needs node and npm.

    python scripts/interop.py NODE_MODULES PYTHON_PROGRAMS

NODE_MODULES is the directory installed from `tests/interop/package-lock.json`, PYTHON_PROGRAMS the directory of
openapi-python-client. Redocly and Spectral lint the OpenAPI description of a running portal. Clients of three
generators make the calls of README and docs/api.md; the TypeScript ones are type-checked too. npm's `standardwebhooks`
must verify a message with two signatures, as after a rotation of secrets, and refuse the same message altered.
"""

import datetime as dt
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from generated_python import INTEROP, make_calls
from own_portal import ROOT, Portal, own_portal

# JavaScript for node: exit code 1 unless the message verifies and its altered copy is refused.
VERIFIER = """
const { Webhook } = require("standardwebhooks");
const { secret, body, headers } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const hook = new Webhook(secret);
const event = hook.verify(body, headers);
let refused = false;
try { hook.verify(body.replace("opted_out", "opted_in"), headers); } catch { refused = true; }
if (event.after !== "opted_out" || !refused) process.exit(1);
"""


def message() -> dict[str, object]:
    """A webhook message signed by the portal's own code after a rotation, with the secret from before it."""
    sys.path.insert(0, str(ROOT))
    os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "ENV_FILE": os.devnull}
    os.environ |= {name: secrets.token_urlsafe(40) for name in ("SECRET_KEY", "API_KEY_PEPPER")}
    import django

    django.setup()
    from consent.models import WebhookEndpoint
    from consent.webhooks.secrets import current_key, rotated, secret_of, signatures

    now = dt.datetime.now(dt.UTC)
    endpoint = WebhookEndpoint(key_id=current_key())
    before = secret_of(endpoint)
    for name, value in rotated(endpoint, now).items():
        setattr(endpoint, name, value)
    body = json.dumps({"kind": "choice.opted_out", "after": "opted_out", "name": "Kvasir — Ægir"})
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures(endpoint, "evt_1", now, body),
    }
    return {"secret": before, "body": body, "headers": headers}


class Workshop:
    """A working directory for generated code, in which node finds the installed packages."""

    def __init__(self, folder: Path, node_modules: Path) -> None:
        self.folder, self.programs = folder, node_modules / ".bin"
        (folder / "node_modules").symlink_to(node_modules)
        for path in INTEROP.iterdir():
            if path.suffix in (".js", ".json", ".ts", ".yaml"):
                shutil.copy(path, folder)

    def run(self, program: str, *arguments: str, stdin: str = "", quiet: bool = False) -> None:
        """Run an npm program, or node. Its output is printed unless `quiet`; if it fails, the script ends with it."""
        found = self.programs / program
        environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "true"}
        done = subprocess.run(
            [str(found) if found.exists() else program, *arguments], cwd=self.folder, env=environment, input=stdin,
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{done.stdout}{done.stderr}\n{program} {' '.join(arguments)}: exit status {done.returncode}")
        if not quiet:
            print(done.stdout, end="")


def lint(shop: Workshop) -> None:
    shop.run("redocly", "lint", "schema.json", "--config", "redocly.yaml", quiet=True)
    shop.run("spectral", "lint", "schema.json", "--ruleset", "spectral.yaml", "--fail-severity", "warn", quiet=True)
    print("Redocly and Spectral find nothing wrong with the description.")


def call_by_typescript(shop: Workshop, portal: Portal) -> None:
    shop.run("openapi-typescript", "schema.json", "--output", "schema.d.ts", quiet=True)
    shop.run("openapi-ts", quiet=True)
    shop.run("tsc", "--project", ".")
    for program in ("fetch", "hey"):
        shop.run("node", f"built/{program}.js", portal.url, portal.key)


def main() -> None:
    if not shutil.which("npm") or not shutil.which("node"):
        sys.exit("make interop needs node and npm.")
    node_modules, python_programs = (Path(each).absolute() for each in sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="portal-interop-") as name:
        shop = Workshop(Path(name), node_modules)
        shop.run("node", "-e", VERIFIER, stdin=json.dumps(message()))
        print("npm's standardwebhooks accepts what the portal signs, and refuses it altered.")
        with own_portal() as portal:
            (shop.folder / "schema.json").write_text(json.dumps(portal.get("/api/schema/")))
            lint(shop)
            call_by_typescript(shop, portal)
            if code := make_calls(python_programs, portal):
                sys.exit(code)


if __name__ == "__main__":
    main()
