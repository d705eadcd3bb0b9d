"""The afternoon of docs/pipeline.md: its commands run in order, on the demo's data, and print what the page says."""

import os
import re
import secrets
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import database_url
from tests.support.snapshots import SIGNING_KEY

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "pipeline.md").read_text("utf-8")
PART = PAGE.partition("\n## An afternoon")[2].partition("\n## ")[0]
# Commands, and what the page says that they print; … is anything within a line.
STEPS = re.findall(r"```sh\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", PART, re.DOTALL)
END = "=== end of a step"


def printed(folder: Path) -> list[str]:
    """What each step prints, when all run as one script in a folder that looks like the portal's."""
    for path in ROOT.iterdir():
        (folder / path.name).symlink_to(path)
    environment = {
        **os.environ, "DATABASE_URL": database_url(), "ENV_FILE": os.devnull,
        "SECRET_KEY": secrets.token_urlsafe(48), "API_KEY_PEPPER": secrets.token_urlsafe(48),
        "DJANGO_SETTINGS_MODULE": "config.settings", "MANIFEST_SIGNING_KEY": SIGNING_KEY,
    }  # fmt: skip
    script = "".join(f"{commands}echo '{END}'\n" for commands, _said in STEPS)
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(f"{END}\n")[:-1]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("demo")
def test_afternoon__commands_in_order__print_what_the_page_says(tmp_path: Path) -> None:
    told = [(commands, said, found) for (commands, said), found in zip(STEPS, printed(tmp_path), strict=True) if said]
    assert len(told) == 6
    wrong = [
        f"{commands}{found}"
        for commands, said, found in told
        if not re.fullmatch(".*".join(map(re.escape, said.split("…"))), found)
    ]
    assert not wrong, "\n".join(wrong)
