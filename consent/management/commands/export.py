"""Export organizations, members, subscriptions, choices or external ids as CSV or JSON Lines."""

import io
from typing import Any

from django.core.management.base import CommandParser

from accounts.access import Actor
from accounts.transactions import snapshot
from consent.files import exports
from consent.files.atomic import BadFile, new_file
from consent.management.base import ConsentCommand
from consent.models import Source
from consent.services.exports import note_export


class Command(ConsentCommand):
    help = (
        "Write all organizations, members, subscriptions, choices or external ids (those withdrawn too), as they are "
        "at one moment, as CSV or JSON Lines. In CSV a value that a spreadsheet would take for a formula, or that "
        "begins with an apostrophe, gets one in front; who imports such a file gets the value. Only its owner can "
        "read the file; to move an installation use export_state. A CSV file begins with a byte-order mark, for "
        "spreadsheets, and in a pipe, or with --plain, does not."
    )
    examples = """
  manage.py export organizations organizations.csv
  manage.py export choices --format jsonl choices.jsonl.gz
  manage.py export members - | wc --lines
  manage.py export organizations --plain organizations.csv
"""
    refusals = (*ConsentCommand.refusals, BadFile)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=list(exports.TABLES), help="what to write")
        parser.add_argument(
            "file", nargs="?", default="-", help="where to; packed where the name ends in .gz; -: stdout"
        )
        parser.add_argument("--format", choices=[exports.CSV, exports.JSON_LINES], default=exports.CSV)
        self.add_plain(parser)
        parser.add_argument("--force", action="store_true", help="replace a file that is there")

    def handle(self, *_args: Any, **options: Any) -> None:
        # Note the export in the ledger before any data is written out.
        note_export(options["what"], organization=None, actor=Actor.system(), source=Source.COMMAND)
        with snapshot(), self.progress(None, options["what"]) as progress:
            if options["file"] == "-":
                form = self._form(options, kept=self.for_spreadsheets(options))
                exports.write(options["what"], self.stdout, form, progress.reach)
                return
            with new_file(options["file"], force=options["force"]) as binary:
                text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
                form = self._form(options, kept=not options["plain"])
                exports.write(options["what"], text, form, progress.reach)
                text.flush()
                text.detach()

    @staticmethod
    def _form(options: dict[str, Any], *, kept: bool) -> str:
        return str(options["format"]) if kept or options["format"] != exports.CSV else exports.PLAIN
