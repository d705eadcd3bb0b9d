"""The work beside requests: bulk jobs, and the order of events."""

import signal
from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import PortalCommand
from consent.bulk import tidying, worker

_IDLE_SECONDS = 0.5


class Command(PortalCommand):
    help = (
        "Run what is queued, until told to stop (SIGTERM, Ctrl-C): it then ends after the chunk at hand, and the next "
        "worker goes on there. Any number of workers may run."
    )
    examples = """
  manage.py worker
  manage.py worker --once
"""
    done_so_far = "What was done stays; the next worker goes on there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is there to do, then end")

    def handle(self, *_args: Any, **options: Any) -> None:
        told: list[int] = []
        before = {
            each: signal.signal(each, lambda number, _frame: told.append(number))
            for each in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            if options["once"]:
                while not told and (worker.work_once(lambda: bool(told)) or tidying.tidy_up(lambda: bool(told))):
                    pass
            else:
                worker.work(lambda: bool(told), _IDLE_SECONDS)
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
