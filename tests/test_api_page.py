"""docs/api.md from top to bottom: every command is run by a shell, against a server with the demo."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as conf

from consent.models import ConsentEvent
from tests.support import log
from tests.support.processes import database_url

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
# Local networks, plain HTTP: as the page says for trying it on one machine.
LOCAL = "127.0.0.0/8,::1/128"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("demo")
def test_page__every_command__does_what_it_says(live_server: Any, settings: Any, tmp_path: Path) -> None:
    settings.DEBUG, settings.WEBHOOK_ALLOWED_NETWORKS = True, LOCAL.split(",")
    for name, value in log.SETTINGS.items():
        setattr(settings, name, value)
    log.step()
    text = "\n".join(BLOCKS)
    for said, here in (
        ("http://localhost:8000", live_server.url),
        (".venv/bin/python", sys.executable),
        ("8900", str(free_port())),
    ):
        assert said in text
        text = text.replace(said, here)
    environment = {
        **os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "true",
        "WEBHOOK_ALLOWED_NETWORKS": LOCAL, "SECRET_KEY": conf.SECRET_KEY, "API_KEY_PEPPER": conf.API_KEY_PEPPER,
        "LOG_SIGNING_KEY": log.SETTINGS["LOG_SIGNING_KEY"], "LOG_ORIGIN": log.ORIGIN,
    }  # fmt: skip
    script = tmp_path / "page.sh"
    # The receiver needs a moment until it listens.
    script.write_text("set -euo pipefail\n" + text.replace("& RECEIVER=$!", "& RECEIVER=$!; sleep 1"))
    done = subprocess.run(
        ["bash", str(script)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for answer in (
        '"allowed": true, "reason": "plan_default"', '"reason":"unknown_organization"', '"decision": ',
        '"le_chat":"le_chat_teams"', '"choice":"opted_out"', '"status":"queued"', '"status":"done"',
        "verified: ", '"delivered":true', "c2sp.org/tlog-proof@v1", "organization.updated",
    ):  # fmt: skip
        assert answer.replace(" ", "") in done.stdout.replace(" ", ""), answer
    assert ConsentEvent.objects.filter(organization__external_id="acme", kind="choice.opted_out").exists()


def test_page__has_commands_for_every_task() -> None:
    assert len(BLOCKS) >= 8
