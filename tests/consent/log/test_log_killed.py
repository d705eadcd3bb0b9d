"""A worker that is killed at any point between salts, tiles and checkpoint leaves nothing half done."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from consent import ledger, verification_log
from consent.log import store
from consent.models import EventSalt, LogCheckpoint, LogOrigin, LogTile
from tests.support.log import SETTINGS, add_events, kept, step
from tests.support.processes import database_url

# A step of the worker that kills itself where the nth of these happens: rows are loaded, or a statement has run.
RUNNER = """
import os, signal, sys
import django
django.setup()
from django.db import connection
from consent.log import appending
from consent.log.checkpoints import Step

point, left = sys.argv[1], int(sys.argv[2])
loads, appending.BATCH = appending.load_within, 150

def reached(name):
    global left
    left -= name == point
    if name == point and not left:
        os.kill(os.getpid(), signal.SIGKILL)

def load(table, *args, **kwargs):
    count = loads(table, *args, **kwargs)
    reached(table)
    return count

def wrapper(execute, statement, parameters, many, context):
    result = execute(statement, parameters, many, context)
    if statement.startswith("INSERT"):
        reached(statement.split()[2].strip('"'))
    return result

appending.load_within = load
step = Step()
with connection.execute_wrapper(wrapper):
    while step(at_once=True):
        reached("batch")
"""
# Of 400 events in batches of 150: three batches, a tile in the second, one checkpoint.
POINTS = [
    ("consent_eventsalt", 1), ("consent_eventsalt", 2), ("consent_logtile", 2), ("batch", 1), ("batch", 2),
    ("batch", 3), ("consent_logorigin", 1), ("consent_logcheckpoint", 1),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("point", "occurrence"), POINTS)
def test_step__killed_at_any_point__the_next_one_finishes_it(point: str, occurrence: int) -> None:
    add_events(400)
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, point, str(occurrence)],
        cwd=Path(__file__).parents[3],
        env=os.environ
        | {name: str(value) for name, value in SETTINGS.items() if name != "LOG_VERIFIER_KEY"}
        | {
            "LOG_CHECKPOINT_SECONDS": "31536000",
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        },
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    connection.close()
    before = {salt.pk: bytes(salt.salt) for salt in EventSalt.objects.all()}
    assert len(before) in {0, 150, 300, 400}
    assert LogTile.objects.count() == len(before) // 256
    assert LogCheckpoint.objects.count() == LogOrigin.objects.count() == 0
    with kept():
        step()
        assert store.size() == ledger.head() == 400
        assert {salt.pk: bytes(salt.salt) for salt in EventSalt.objects.filter(pk__in=before)} == before
        assert (LogTile.objects.count(), LogCheckpoint.objects.count()) == (1, 1)
        assert verification_log.problems() == []
