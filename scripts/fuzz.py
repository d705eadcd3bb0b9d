"""Asks the running server everything that its description allows, and much that it does not: `make fuzz`.

    python scripts/fuzz.py SCHEMATHESIS [--cases N]

On a database of its own with the demo in it. Fails on any server error, on any answer outside the description, and
where a client that is generated from it can't ask what README asks.
"""

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from start import server_command

ROOT = Path(__file__).resolve().parent.parent
SCOPES = (
    "decisions:read", "consent:read", "consent:write", "consent:member", "organizations:read", "organizations:write",
    "events:read", "webhooks:write",
)  # fmt: skip
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout.strip()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url)  # noqa: S310  our own server
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    sys.exit(f"{url} does not answer.")


def config(folder: Path, base: str, key: str) -> Path:
    """What exists, so that the questions get past "there is no such thing"."""
    url = f"{base}/api/v1/organizations/external:kvasir/members/"
    call = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})  # noqa: S310
    members = json.load(urllib.request.urlopen(call))["results"]  # noqa: S310
    path = folder / "schemathesis.toml"
    path.write_text(
        "[parameters]\n"
        '"path.organization" = "external:kvasir"\n'
        f'"path.member" = "{members[0]["id"]}"\n'
        '"path.product" = "le_chat"\n'
    )
    return path


CLIENT = """
import sys
from client import AuthenticatedClient
from client.api.decisions import decide
from client.models import Question

asker = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
question = Question(organization="external:kvasir", member="external:ada", product="le_chat")
answer = decide.sync(client=asker, body=question)
assert answer.allowed is True and answer.reason == "plan_default", answer
print("The generated client was answered:", answer.detail)
"""


def ask_by_generated_client(programs: Path, folder: Path, base: str, key: str) -> int:
    """Generate it, and ask."""
    generate = [str(programs / "openapi-python-client"), "generate", "--url", f"{base}/api/schema/", "--meta", "none"]
    done = subprocess.run(
        [*generate, "--output-path", str(folder / "client")], check=False, capture_output=True, text=True
    )  # fmt: skip
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
        return done.returncode
    return subprocess.run([str(programs / "python"), "-c", CLIENT, base, key], cwd=folder, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("schemathesis", help="the program")
    parser.add_argument("--cases", type=int, default=100, help="generated for each operation (default 100)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portal-fuzz-") as name:
        folder = Path(name)
        environment = {
            **os.environ, "DATABASE_URL": f"sqlite:///{folder / 'fuzz.sqlite3'}", "ENV_FILE": os.devnull,
            "DEBUG": "false", "HTTPS": "false", "LOG_LEVEL": "CRITICAL", "SECRET_KEY": secrets.token_urlsafe(48),
            "API_KEY_PEPPER": secrets.token_urlsafe(48), "DJANGO_SETTINGS_MODULE": "config.settings",
        }  # fmt: skip
        manage(environment, "migrate", "--verbosity", "0")
        manage(environment, "demo")
        key = manage(environment, "create_api_key", "fuzz", "--actor", "operator@demo.example", "--scope", *SCOPES)
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        manage(environment, "collectstatic", "--noinput", "--verbosity", "0")
        process = subprocess.Popen(server_command(port, 1), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            wait_for(f"{base}/healthz")
            schemathesis = Path(options.schemathesis).absolute()
            if code := ask_by_generated_client(schemathesis.parent, folder, base, key):
                return code
            command = [
                str(schemathesis), "--config-file", str(config(folder, base, key)), "run", f"{base}/api/schema/",
                "--header", f"Authorization: Bearer {key}", "--max-examples", str(options.cases), "--workers", "1",
                "--phases", "examples,coverage,fuzzing", "--checks", CHECKS,
            ]  # fmt: skip
            return subprocess.run(command, cwd=folder, check=False).returncode
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
