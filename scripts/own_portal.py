"""A temporary portal for tests: its own database with the demo in it, served as in production."""

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
    "events:read", "webhooks:write",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Portal:
    """`url` has no trailing slash; `key` is an operator key with all scopes; `folder` is deleted afterwards."""

    url: str
    key: str
    folder: Path

    def get(self, path: str) -> Any:
        """GET the path with the key; returns the parsed JSON."""
        call = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Bearer {self.key}"})  # noqa: S310
        return json.load(urllib.request.urlopen(call))  # noqa: S310  our own server


@contextlib.contextmanager
def own_portal() -> Iterator[Portal]:
    with tempfile.TemporaryDirectory(prefix="portal-own-") as name:
        folder = Path(name)
        environment = {
            **os.environ, "DATABASE_URL": f"sqlite:///{folder / 'portal.sqlite3'}", "ENV_FILE": os.devnull,
            "DEBUG": "false", "HTTPS": "false", "LOG_LEVEL": "CRITICAL", "SECRET_KEY": secrets.token_urlsafe(48),
            "API_KEY_PEPPER": secrets.token_urlsafe(48), "DJANGO_SETTINGS_MODULE": "config.settings",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }  # fmt: skip
        _manage(environment, "migrate", "--verbosity", "0")
        _manage(environment, "demo")
        key = _manage(environment, "create_api_key", "own", "--actor", "operator@demo.example", "--scope", *SCOPES)
        _manage(environment, "collectstatic", "--noinput", "--verbosity", "0")
        # Another process could take the port before the server does; that is rare enough for a test.
        port = _free_port()
        process = subprocess.Popen(server_command(port, 1), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            _wait_for(f"http://127.0.0.1:{port}/healthz")
            yield Portal(f"http://127.0.0.1:{port}", key, folder)
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
