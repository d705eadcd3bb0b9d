"""The worker: runs bulk jobs, gives events their positions, and sends webhooks and e-mail."""

import os
from collections.abc import Callable, Iterator
from typing import Any

from django.core.management.base import CommandParser

from accounts import outbox
from accounts.management.base import PortalCommand
from accounts.management.stopping import Stopping
from accounts.models import OutgoingMessage
from consent import ledger, retention, worker
from consent.delivery.endpoints import deliver_next, send_next_test
from consent.delivery.sending import Sender
from consent.delivery.threads import Deliverers
from consent.imports.reading import read_next
from consent.models import UNFINISHED, BulkJob, JobStatus, WebhookAttempt
from consent.projections.honour import count_honoured, tell_overdue
from consent.projections.member_emails import tell_next_batch
from consent.projections.runner import follow_all
from consent.witness import guard, keeper
from consent.witness.keeper import Keeper

_IDLE_SECONDS = 0.5


class Command(PortalCommand):
    help = (
        "Run what is queued, until told to stop (SIGTERM, Ctrl-C): it then ends after the chunk at hand, or after a "
        "second, whatever it waits for, and the next worker goes on there. Any number of workers may run."
    )
    examples = """
  manage.py worker
  manage.py worker --once
"""
    done_so_far = "What was done stays; the next worker goes on there."
    # Whether this command has the process for itself, so that it may end it (not when a test calls it).
    alone = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is there when it begins, then end")

    def run_from_argv(self, argv: list[str]) -> None:
        self.alone = True
        super().run_from_argv(argv)

    def handle(self, *_args: Any, **options: Any) -> None:
        with Stopping(may_exit=self.alone) as stopping:
            if options["once"]:
                _work_once(stopping.asked)
            else:
                with Keeper(ledger.sequence), Deliverers(stopping.asked):
                    worker.work(stopping.asked, lambda: stopping.wait(_IDLE_SECONDS))
        if stopping.asked() and self.alone:
            # Exit without clean-up: Python would wait for blocked output and for threads that wait for the network.
            os._exit(0)


def _work_once(asked: Callable[[], bool]) -> None:
    sender = Sender()
    keeper.keep()
    try:
        for _piece in _pieces(sender, asked):
            if asked():
                break
    finally:
        sender.close()
    keeper.keep()


def _pieces(sender: Sender, asked: Callable[[], bool]) -> Iterator[object]:
    """Do one piece of work after each other, limited to what is there now; work that is added meanwhile stays.

    Without these limits, `--once` might never end.
    """
    # Count first: these are the limits for the loops below.
    jobs = BulkJob.objects.filter(status__in=UNFINISHED).count()
    files = BulkJob.objects.filter(status=JobStatus.READING).count()
    tests = WebhookAttempt.objects.filter(waiting_for__isnull=False).count()
    messages = OutgoingMessage.objects.filter(given_up_at=None).count()
    yield ledger.sequence()
    head = ledger.head()
    yield from _while(lambda: worker.log_step(at_once=True))
    yield from _while(lambda: worker.run_next(asked), jobs)
    if guard.quarantined():  # as in `worker.work_once`
        return
    yield from _while(read_next, files)
    yield from _while(lambda: follow_all(head))
    yield from _while(count_honoured)
    yield tell_overdue()
    yield from _while(tell_next_batch)
    yield from _while(lambda: deliver_next(sender, asked, head))
    yield from _while(lambda: send_next_test(sender) is not None, tests)
    yield from _while(lambda: retention.tidy_up(asked))
    yield from _while(outbox.send_next, messages)


def _while(work: Callable[[], bool], at_most: int | None = None) -> Iterator[None]:
    """Call `work` until it finds nothing to do, but at most `at_most` times; yields after each piece of work."""
    done = 0
    while (at_most is None or done < at_most) and work():
        done += 1
        yield
