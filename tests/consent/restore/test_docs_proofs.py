"""The commands of docs/proofs.md for an operator with a restored backup, run as they stand there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from consent import ledger
from consent.log import checkpoints, origins
from consent.models import LogCheckpoint, Restore, Trouble
from consent.services import locks
from consent.witness import guard, keeper
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.factories import OPERATOR
from tests.support.log import SETTINGS, step
from tests.support.restoring import lost, witness_paths

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = (Path(__file__).parents[3] / "docs/proofs.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## An operator with a restored backup\n")[2].partition("\n## ")[0]


def commands() -> dict[str, list[str]]:
    """What each command of the section begins with, or has that others have not → its arguments."""
    found = {}
    for block in re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)[1:]
            named = [word for word in words if word in ("--replay", "--tail-unknown", "--rebuild")]
            found[" ".join([*words[:2], *named]) if words[0] == "restore" else words[0]] = words
    return found


def go(words: list[str], **instead: str) -> int:
    given = {"odin@provider.example": OPERATOR} | instead
    done = run(*[given.get(word, word) for word in words])
    assert "Traceback" not in done.err
    return done.code


def whole() -> None:
    assert keeper.keep() == "" and guard.check() == ""
    ledger.sequence()
    assert keeper.keep() == "" and guard.check() == ""


def signed() -> set[int]:
    """Numbers of the origins that have checkpoints, after the worker has appended, witnessed and signed."""
    for _round in range(2):
        step()
        whole()
    step()
    assert checkpoints.standing().waiting == 0 or origins.is_paused()
    return set(LogCheckpoint.objects.values_list("origin", flat=True))


@pytest.fixture(autouse=True)
def log_kept(settings: Any) -> None:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)


def test_commands__one_after_the_other__do_what_the_page_says(watched: Cast, tmp_path: Path) -> None:
    told, feed = commands(), tmp_path / "feed.jsonl"
    feed.write_text("[]\n")
    lock = {"organization": watched.labs, "reason": "Contract", "reference": "C-1", "actor": watched.provider}
    assert go(told["restore status"]) == 0
    assert signed() == {1}
    with lost():
        locks.place_lock(product="le_chat", source="admin", **lock)
    assert go(told["restore status"]) == 1
    assert go(told["restore adopt"]) == 0
    whole()
    assert signed() == {1, 2}
    assert go(told["verify_ledger"]) == 0
    with lost():
        locks.place_lock(product="ai_studio", source="admin", **lock)
    copies = {"feed.jsonl": str(feed), "hooks.jsonl": str(feed)}
    assert go(told["restore adopt --replay"], **copies) == 0
    whole()
    assert signed() == {1, 2, 3}
    Path(witness_paths()[0]).unlink()
    assert keeper.keep() == Trouble.WITNESS_LOST
    assert go(told["restore witness --rebuild"]) == 0
    whole()
    Path(witness_paths()[0]).unlink()
    assert keeper.keep() == Trouble.WITNESS_LOST
    assert go(told["restore adopt --tail-unknown"], **{"120000": str(ledger.head() + 3)}) == 0
    whole()
    assert signed() == {1, 2, 3}  # and not 4, until somebody says so
    assert go(told["log_resume"]) == 0
    assert signed() == {1, 2, 3, 4}
    assert go(told["verify_ledger"]) == 0
    assert Restore.objects.count() == 3
