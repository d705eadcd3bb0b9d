"""A restore that is killed at any point between epoch, witness and first checkpoint: the next origin begins once."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from consent import ledger, verification
from consent.log import checkpoints
from consent.models import LogCheckpoint, LogOrigin, LogTile
from consent.witness import guard, keeper
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.factories import OPERATOR
from tests.support.log import ORIGIN, SETTINGS, add_events, step
from tests.support.processes import database_url
from tests.support.restoring import lost, witness_all, witness_paths

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
ADOPT = ("restore", "adopt", "--actor", OPERATOR, "--reason", "Disk failed")

# Adopts the database and works on, as command and worker do; kills itself where the nth of these happens.
RUNNER = """
import os, signal, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from consent import ledger
from consent.log import appending
from consent.log.checkpoints import Step
from consent.proofs.witness_files import Held
from consent.restore import adopting
from consent.witness import guard, keeper

point, left = sys.argv[1], int(sys.argv[2])

def reached(name):
    global left
    left -= name == point
    if name == point and not left:
        os.kill(os.getpid(), signal.SIGKILL)

def after(function, name):
    def run(*args, **kwargs):
        result = function(*args, **kwargs)
        reached(args[0] if name is None else name)
        return result
    return run

def wrapper(execute, statement, parameters, many, context):
    result = execute(statement, parameters, many, context)
    if statement.startswith(("INSERT", "UPDATE")):
        reached(" ".join(word.strip('"') for word in statement.split()[:3] if word != "INTO")[:60])
    return result

write_line = adopting._write_line
def line(*args):
    reached("adopted")
    write_line(*args)
adopting._write_line = line
Held.append = after(Held.append, "line")
appending.load_within = after(appending.load_within, None)
with connection.execute_wrapper(wrapper):
    call_command(*sys.argv[3:], verbosity=0)
    step = Step()
    for _round in range(3):
        guard.check()
        ledger.sequence()
        while step(at_once=True):
            reached("step")
        keeper.keep()
reached("end")
"""
POINTS = [
    ("INSERT consent_restore", 1), ("INSERT consent_logorigin", 1), ("UPDATE consent_installation SET", 1),
    ("adopted", 1), ("line", 1), ("consent_eventsalt", 1), ("consent_logtile", 1), ("step", 1), ("line", 2),
    ("INSERT consent_logcheckpoint", 1), ("step", 2), ("end", 1),
]  # fmt: skip


@pytest.fixture(autouse=True)
def log_kept(settings: Any) -> None:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)


@pytest.mark.parametrize(("point", "occurrence"), POINTS)
def test_adopt__killed_at_any_point__the_next_origin_begins_once(watched: Cast, point: str, occurrence: int) -> None:
    add_events(200)
    witness_all()
    work()
    before = list(LogCheckpoint.objects.values_list())
    with lost():
        add_events(100)
        witness_all()
        step()
        witness_all()
        step()
    connection.close()
    assert kill(point, occurrence) == -signal.SIGKILL
    guard.forget(connection=connection)
    assert list(LogCheckpoint.objects.filter(origin=1).values_list()) == before
    assert checkpoints.standing().state != "corrupt"
    again = run(*ADOPT)
    assert again.code == 0 or "Nothing is lost" in again.err, again.err
    work()
    assert list(LogCheckpoint.objects.filter(origin=1).values_list()) == before
    assert [str(each) for each in LogOrigin.objects.all()] == [ORIGIN, f"{ORIGIN}/2"]
    last = checkpoints.latest()
    assert last is not None and (last.size, last.origin_id) == (ledger.head(), 2)
    assert LogTile.objects.count() == 1 and verification.verify().problems == []


def work() -> None:
    assert guard.check() == ""
    for _round in range(2):
        ledger.sequence()
        step()
        assert keeper.keep() == "" and guard.check() == ""
    step()


def kill(point: str, occurrence: int) -> int:
    own = {name: str(value) for name, value in SETTINGS.items() if name != "LOG_VERIFIER_KEY"}
    environment = {
        "WITNESS": ",".join(witness_paths()),
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, point, str(occurrence), *ADOPT],
        cwd=Path(__file__).parents[3],
        env=os.environ | own | environment,
        check=False,
    )
    return done.returncode
