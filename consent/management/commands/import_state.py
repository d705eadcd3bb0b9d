"""Load a whole installation from a file of `export_state`."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Failed, printable, table
from consent.files.atomic import BadFile
from consent.management.base import ConsentCommand
from consent.models import ConsentEvent
from consent.transfer import state


class Command(ConsentCommand):
    help = (
        "Fill this installation, which has to be empty after `migrate`, with what export_state wrote. The file is "
        "checked before anything is written; all is written in one transaction, in which the ledger is verified at "
        "the end. Take along API_KEY_PEPPER, ENCRYPTION_KEYS, WEBHOOK_KEYS and SECRET_KEY of the old installation: "
        "a file whose secrets need a key that is not here is refused, and what is missing is named."
    )
    examples = """
  manage.py import_state portal.jsonl.gz
  manage.py import_state portal.jsonl.gz --without-keys    # they are lost
"""
    refusals = (*ConsentCommand.refusals, BadFile, state.NotEmpty)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="what export_state wrote, packed or not")
        parser.add_argument(
            "--without-keys", action="store_true",
            help="though secrets can't be used here: second factors open nothing, API keys and webhooks don't work",
        )  # fmt: skip
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        file = state.StateFile(options["file"])
        try:
            moved = self._load(file, without_keys=options["without_keys"])
        except state.NotVerified as error:
            for problem in error.problems:
                self.note_problem(problem)
            raise Failed(f"{options['file']} is not whole: {printable(error)}. {self.done_so_far}") from error
        except state.KeysMissing as error:
            for problem in error.problems:
                self.note_problem(problem)
            hint = "Set the keys of the old installation; if they are lost, give --without-keys."
            raise Failed(
                f"Secrets of {options['file']} need keys that are not here. {hint} Nothing was changed."
            ) from None
        for problem in moved.lost:
            self.note(problem)
        text = table([*((name, f"{rows:,}") for name, rows in moved.tables.items()), ("verified", "yes")])
        self.result(
            {"rows": moved.rows, "tables": moved.tables, "verified": True, "lost": list(moved.lost)}, text, options
        )

    def _load(self, file: state.StateFile, *, without_keys: bool) -> state.Moved:
        """Load the file, with progress: each event counts twice, once when it is read and once when it is verified."""
        rows, events = sum(file.counts.values()), file.counts[ConsentEvent._meta.db_table]
        with self.progress(rows + events, "rows read and events verified") as progress:

            def verified(done: int) -> None:
                progress.reach(rows + done, "verifying")

            moved = state.load_state(file, progress.reach, on_verified=verified, without_keys=without_keys)
            progress.reach(rows + events)
        return moved
