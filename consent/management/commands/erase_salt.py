"""Erase the salt of an event, so that nobody can show what its leaf in the log says."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import NotConfirmed
from consent.management.base import ConsentCommand
from consent.services import log_salts


class Command(ConsentCommand):
    help = (
        "Erase what links an event to its leaf in the log, for good: the event stays in the ledger and the leaf in the "
        "log, but nobody can show any more that they belong together. Receipts that were given out go on proving. The "
        "erasure is an event itself. Copies in backups stay."
    )
    examples = """
  manage.py erase_salt 17 --reason "Asked for by the person" --actor odin@provider.example --yes
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("position", metavar="POSITION", type=int, help="of the event, in the ledger")
        parser.add_argument("--reason", required=True, help="why; it names nobody")
        parser.add_argument("--yes", action="store_true", help="do it; it can't be taken back")
        self.add_actor(parser)
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        actor = self.actor(options["actor"])
        if not options["yes"]:
            raise NotConfirmed("This can't be taken back. Nothing was changed; add --yes.")
        event = log_salts.erase_salt(position=options["position"], reason=options["reason"], actor=actor)
        text = f"Erased the salt of position {options['position']}; event {event.pk} says so."
        self.result({"position": options["position"], "event": str(event.pk)}, text, options)
