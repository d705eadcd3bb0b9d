"""A temporary portal for tests: its own database with the demo in it, served as in production."""

import base64
import contextlib
import dataclasses
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from start import server_command

ROOT = Path(__file__).resolve().parent.parent
SCOPES = (
    "decisions:read", "consent:read", "consent:write", "consent:member", "organizations:read", "organizations:write",
    "events:read", "webhooks:write", "pipeline:read", "runs:write",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Portal:
    """`url` has no trailing slash; `key` is an operator key with all scopes; `folder` is deleted afterwards.

    `environment` is that of its commands.
    """

    url: str
    key: str
    folder: Path
    environment: dict[str, str]

    def get(self, path: str) -> Any:
        """GET the path with the key; returns the parsed JSON."""
        return self.call("GET", path)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request with the key, and a body as JSON; returns the parsed answer. Raises HTTPError."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        call = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310  our own server
        return json.load(urllib.request.urlopen(call))  # noqa: S310

    def manage(self, *arguments: str) -> str:
        """Run a management command; returns what it printed."""
        return _manage(self.environment, *arguments)


@contextlib.contextmanager
def own_portal(*, keeps_log: bool = False) -> Iterator[Portal]:
    """`keeps_log`: with a log that everybody may read, and a checkpoint whenever the worker has run."""
    with tempfile.TemporaryDirectory(prefix="portal-own-") as name:
        folder = Path(name)
        environment = {
            **os.environ, "DATABASE_URL": f"sqlite:///{folder / 'portal.sqlite3'}", "ENV_FILE": os.devnull,
            "DEBUG": "false", "HTTPS": "false", "LOG_LEVEL": "CRITICAL", "SECRET_KEY": secrets.token_urlsafe(48),
            "API_KEY_PEPPER": secrets.token_urlsafe(48), "DJANGO_SETTINGS_MODULE": "config.settings",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "MANIFEST_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        }  # fmt: skip
        if keeps_log:
            environment |= {"LOG_ORIGIN": "portal.example/log", "LOG_PUBLIC": "true", "LOG_CHECKPOINT_SECONDS": "0"}
            made = _manage(environment, "make_log_key").splitlines()
            environment |= {name: value for name, _, value in (line.partition("=") for line in made)}
        _manage(environment, "migrate", "--verbosity", "0")
        _manage(environment, "demo")
        key = _manage(environment, "create_api_key", "own", "--actor", "operator@demo.example", "--scope", *SCOPES)
        _manage(environment, "collectstatic", "--noinput", "--verbosity", "0")
        # Another process could take the port before the server does; that is rare enough for a test.
        port = _free_port()
        process = subprocess.Popen(server_command(port, 1), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            _wait_for(f"http://127.0.0.1:{port}/healthz")
            yield Portal(f"http://127.0.0.1:{port}", key, folder, environment)
        finally:
            process.terminate()
            process.wait()


def _manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout.strip()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url)  # noqa: S310  our own server
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    sys.exit(f"{url} does not answer.")
