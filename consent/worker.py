"""Background work: positions of events, the log, followers, jobs, uploads. Any number of workers may run.

Webhooks and e-mail are sent by the threads of `delivery.threads`, which the command `worker` starts beside this.
"""

import logging
import time
from collections.abc import Callable

from django.db import OperationalError, close_old_connections

from accounts.leases import LostLease
from accounts.management.stopping import Stopped
from accounts.seldom import Seldom, first_line

from . import ledger, retention
from .imports.reading import read_next
from .jobs import engine
from .log import checkpoints
from .models import BulkJob
from .projections.honour import count_honoured, tell_overdue
from .projections.member_emails import tell_next_batch
from .projections.runner import follow_all
from .services import removals
from .witness import guard

logger = logging.getLogger(__name__)
_away = Seldom(logger)
_TIDY_SECONDS = 60


log_step = checkpoints.Step()


class _ToldToStop(Exception):
    """Raised between two chunks; another worker does the rest."""


def work_once(should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Do the work that is due; returns whether there was any. If told to stop, it ends after the current chunk."""
    if guard.quarantined():  # jobs that tighten go on; nothing is derived from a ledger that may end too early
        return run_next(should_stop)
    placed = ledger.sequence()
    # A sum, not `or`: followers and uploads get their turn even if events were placed.
    beside = (log_step, follow_all, count_honoured, tell_overdue, read_next, tell_next_batch, _remove)
    return run_next(should_stop) or sum((*(work() for work in beside), placed > 0)) > 0


def _remove() -> bool:
    """Make the next removal of a training run, or tell of an overdue one; returns whether there was anything to do."""
    return removals.issue_next() or removals.tell_next_overdue()


def run_next(should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Run the oldest waiting job to its end; returns whether there was one."""
    job = engine.claim_next()
    if job is None:
        return False
    logger.info("job %s: running from row %s of %s", job.pk, job.cursor, job.matched)

    def after_chunk(job: BulkJob) -> None:
        ledger.sequence()
        log_step()
        if should_stop():
            raise _ToldToStop

    try:
        job = engine.run(job, on_chunk=after_chunk)
    except _ToldToStop:
        engine.release(job)
        logger.info("job %s: left where it is, for the next worker", job.pk)
    except Stopped:
        engine.release(job)
        raise
    except LostLease:
        logger.warning("job %s: another worker has taken over", job.pk)
    except engine.Quarantined:
        logger.warning("job %s: waits until the database is out of quarantine", job.pk)
    except Exception:
        logger.exception("job %s: failed", job.pk)
    else:
        logger.info("job %s: %s, %s changed, %s refused", job.pk, job.status, job.changed, job.refused)
    return True


def work(should_stop: Callable[[], bool], idle: Callable[[], object]) -> None:
    """Work until told to stop; run retention when there is nothing else to do; outlast a database that is away.

    `idle` is called to wait a moment when there is nothing to do.
    """
    tidy_at = time.monotonic()
    while not should_stop():
        # As at the end of a request: a connection that broke is replaced.
        close_old_connections()
        try:
            if work_once(should_stop):
                continue
            if time.monotonic() >= tidy_at and not guard.quarantined():
                if retention.tidy_up(should_stop):
                    continue
                tidy_at = time.monotonic() + _TIDY_SECONDS
        except OperationalError as error:
            _away.warning("the database does not answer; trying again: %s", first_line(error))
        idle()
