"""Take over a whole installation from a file of export_state."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Failed, printable, table
from consent.bulk import transfer
from consent.bulk.files import BadFile
from consent.management.base import ConsentCommand


class Command(ConsentCommand):
    help = (
        "Fill this installation, which has to be empty after `migrate`, with what export_state wrote. The file is "
        "checked before anything is written; all is written in one transaction, in which the ledger is verified at "
        "the end. Use the API_KEY_PEPPER of the old installation, or its API keys no longer work."
    )
    examples = """
  manage.py import_state portal.jsonl.gz
"""
    refusals = (*ConsentCommand.refusals, BadFile, transfer.NotEmpty)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="what export_state wrote, packed or not")
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        file = transfer.StateFile(options["file"])
        try:
            with self.progress(sum(file.counts.values()), "rows") as progress:
                moved = transfer.load_state(file, progress.reach)
        except transfer.NotVerified as error:
            for problem in error.problems:
                self.note(problem)
            raise Failed(f"{options['file']} is not whole: {printable(error)}. {self.done_so_far}") from error
        text = table([*((name, f"{rows:,}") for name, rows in moved.tables.items()), ("verified", "yes")])
        self.result({"rows": moved.rows, "tables": moved.tables, "verified": True}, text, options)
