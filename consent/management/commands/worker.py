"""The work beside requests: bulk jobs, the order of events, and webhooks."""

import signal
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import PortalCommand
from consent.bulk import tidying, worker
from consent.webhooks.delivery import deliver_next, send_next_test
from consent.webhooks.sending import Sender
from consent.webhooks.workers import Deliverers

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
                self._once(lambda: bool(told))
            else:
                with Deliverers(lambda: bool(told)):
                    worker.work(lambda: bool(told), _IDLE_SECONDS)
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    @staticmethod
    def _once(told: Callable[[], bool]) -> None:
        sender = Sender()
        try:
            while not told() and (
                worker.work_once(told)
                or deliver_next(sender, told)
                or send_next_test(sender) is not None
                or tidying.tidy_up(told)
            ):
                pass
        finally:
            sender.close()
