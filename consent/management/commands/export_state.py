"""Export the whole installation into one file, which `import_state` loads into another installation."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.access import Actor
from accounts.management.base import table
from accounts.models import User
from accounts.transactions import snapshot
from consent.files.atomic import BadFile, new_file
from consent.management.base import ConsentCommand
from consent.models import Source
from consent.services.exports import Export, note_export
from consent.transfer import state


class Command(ConsentCommand):
    help = (
        "Write all organizations, people, keys, choices, jobs and the ledger, as they are at one moment, into a file "
        "for import_state, on whichever database. It holds personal data and the hashes of passwords and keys: its "
        "owner alone can read it. Sessions and the admin site's own log are not in it."
    )
    examples = """
  manage.py export_state portal.jsonl.gz
"""
    refusals = (*ConsentCommand.refusals, BadFile)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="what to write; packed where the name ends in .gz")
        parser.add_argument("--force", action="store_true", help="replace a file that is there")
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        with new_file(options["file"], force=options["force"]) as out:
            with snapshot():
                with self.progress(None, "rows") as progress:
                    moved = state.write_state(out, progress.reach)
                self._note_left_out()
            # Note the export after the snapshot, so that the file does not contain it; but before the file gets its
            # name, so that there is no file without a note.
            note_export(Export.STATE, organization=None, actor=Actor.system(), source=Source.COMMAND)
        text = table([*((name, f"{rows:,}") for name, rows in moved.tables.items()), ("sha256", moved.digest)])
        self.result({"rows": moved.rows, "tables": moved.tables, "sha256": moved.digest}, text, options)

    def _note_left_out(self) -> None:
        # Django's groups and permissions are not exported, because the portal does not use them.
        marked = User.objects.filter(groups__isnull=False) | User.objects.filter(user_permissions__isnull=False)
        if number := marked.distinct().count():
            self.note(f"Groups and permissions of {number:,} users are not in the file: the portal asks for none.")
