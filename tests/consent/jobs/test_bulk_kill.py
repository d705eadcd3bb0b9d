"""`kill -9` after each statement of a chunk, in a separate process: the resumed job does every row exactly once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consent.errors import Refused
from consent.jobs import engine
from consent.models import BulkJob, ConsentEvent, JobStatus
from tests.support.jobs import IN, OUT, Team, assert_each_once, choices_of, counts, events_of, lapse
from tests.support.ledger_guards import refusal
from tests.support.processes import RUNNER, database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
# After which statement it dies, and after how many of its kind: the one in the second of three chunks.
POINTS = {
    "job read and locked": ('SELECT "consent_bulkjob"', 6),  # before them: the runner's, three of the claim, a chunk's
    "settings made": ("INSERT INTO consent_privacysetting", 2),
    "shapes counted": ("SELECT COALESCE(s.subscribed", 2),
    "last event looked up": ("SELECT COALESCE(MAX(id)", 2),
    "events inserted": ("INSERT INTO consent_consentevent", 2),
    "settings updated": ("UPDATE consent_privacysetting AS s", 2),
    "new last event looked up": ("SELECT MAX(id)", 2),
    "refusals noted": ("UPDATE consent_bulkjobrow", 2),
    "mark moved, not committed": ('UPDATE "consent_bulkjob"', 3),  # before them, the claim's
    "committed": ("", 2),
}


def run_until_killed(job: BulkJob, fragment: str, occurrence: int) -> int:
    return subprocess.run(
        [sys.executable, "-c", RUNNER, str(job.pk), fragment, str(occurrence)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "config.settings"},
        check=False,
        timeout=60,
    ).returncode


@pytest.mark.parametrize("point", POINTS)
def test_job__killed_at_any_point_of_a_chunk__is_resumed_and_does_every_row_once(point: str) -> None:
    team = Team()
    made = team.organizations(12)
    for n in (0, 4, 8):  # in each chunk one who said no, one who said yes, and two who said nothing
        team.choose(made[n], OUT)
        team.choose(made[n + 1], IN)
    job = team.queued(team.previewed(IN))
    assert run_until_killed(job, *POINTS[point]) == -signal.SIGKILL

    job.refresh_from_db()
    chunks = 2 if point == "committed" else 1
    assert (job.status, job.cursor) == (JobStatus.RUNNING, 4 * chunks)
    assert (counts(job), len(events_of(job))) == ((2 * chunks, chunks, chunks), 2 * chunks)
    with refusal(Refused, "running"):  # nobody knows yet that its runner is gone
        engine.claim(job)
    lapse(job)
    found = engine.claim_next()
    assert found is not None
    job = engine.run(found)
    assert (job.status, job.fence, counts(job)) == (JobStatus.DONE, 2, (6, 3, 3))
    assert choices_of(made) == [OUT, IN, IN, IN] * 3
    assert ConsentEvent.objects.filter(job=job).count() == 6
    assert_each_once(job)
