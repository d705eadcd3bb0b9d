"""Lets npm's `standardwebhooks` verify what the portal signs: `make interop`. Needs node and npm.

Installs the package into a temporary folder, and shows it one message with two signatures (as after a rotation) and
the same message altered.
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

ROOT = Path(__file__).resolve().parent.parent
VERSION = "1.1.1"
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
    """What one delivery sends, signed by the portal's own code; the secret is the one before the rotation."""
    sys.path.insert(0, str(ROOT))
    os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "ENV_FILE": os.devnull}
    os.environ |= {name: secrets.token_urlsafe(40) for name in ("SECRET_KEY", "API_KEY_PEPPER")}
    import django

    django.setup()
    from consent.webhook_models import WebhookEndpoint
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


def main() -> None:
    if not shutil.which("npm") or not shutil.which("node"):
        sys.exit("make interop needs node and npm.")
    with tempfile.TemporaryDirectory(prefix="portal-interop-") as folder:
        package = f"standardwebhooks@{VERSION}"
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", package], cwd=folder, check=True)
        checked = subprocess.run(
            ["node", "-e", VERIFIER], cwd=folder, input=json.dumps(message()), text=True, check=False
        )
    if checked.returncode:
        sys.exit(f"npm's {package} did not accept what the portal signs.")
    print(f"npm's {package} accepts what the portal signs, and refuses it altered.")


if __name__ == "__main__":
    main()
