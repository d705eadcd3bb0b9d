"""Let the log be signed again, after an installation was moved, or adopted without a witness."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import NotConfirmed
from consent.log import origins
from consent.management.base import ConsentCommand


class Command(ConsentCommand):
    help = (
        "Sign the log again, which import_state paused, or `restore adopt` where the witness was lost. Two living "
        "copies that sign under one key make two logs out of one, and each would show that the other is false: so "
        "first switch off the installation that this one comes from, for good, and make sure that nobody has a "
        "checkpoint that is not in this log of the name that it goes on under."
    )
    examples = """
  manage.py log_resume --old-one-is-off
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--old-one-is-off", action="store_true", help="nothing signs there any more")
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        if not origins.is_paused():
            self.result({"resumed": False}, "The log is not paused; nothing was changed.", options)
            return
        if not options["old_one_is_off"]:
            raise NotConfirmed(f"The log {origins.current()} stays paused: say --old-one-is-off once that is so.")
        origins.resume()
        self.result({"resumed": True}, f"The log is signed again, as {origins.current()}.", options)
