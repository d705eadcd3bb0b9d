"""Back up the embedded database into one file, while the portal runs."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db import connection

from accounts.management.base import Failed, Misuse, table
from consent import ledger
from consent.files.atomic import BadFile
from consent.management.base import ConsentCommand
from consent.transfer import backups

_POSTGRESQL = (
    "The database is a PostgreSQL, which has backups of its own: pgBackRest, or pg_basebackup and an archive of its "
    "write-ahead log, as docs/operations.md shows. Note each by: manage.py backup --made-elsewhere."
)


class Command(ConsentCommand):
    help = (
        "Copy the embedded database (SQLite), as it is at one moment, into a new file that its owner alone can read, "
        "with a checksum beside it, while others go on writing. The copy is read back before it gets its name. It "
        "holds all that the database holds: keep it as safe, on another disk. PostgreSQL has backups of its own."
    )
    examples = """
  manage.py backup /mnt/backups/portal-2027-03-01.sqlite3
  (cd /mnt/backups && sha256sum --check portal-2027-03-01.sqlite3.sha256)
  manage.py backup --made-elsewhere    # another program has made one: for /metrics
"""
    refusals = (*ConsentCommand.refusals, BadFile)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", metavar="FILE", help="what to write; there must be no such file")
        parser.add_argument(
            "--made-elsewhere", action="store_true", help="only note that another program has made a backup just now"
        )
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["made_elsewhere"] is (options["file"] is not None):
            raise Misuse("Give either a file or --made-elsewhere.")
        if options["made_elsewhere"]:
            head = ledger.head()
            backups.note(head)
            self.result(
                {"head": head, "file": None}, f"Noted: a backup, made elsewhere, at position {head:,}.", options
            )
            return
        if connection.vendor == "postgresql":
            raise Failed(f"{_POSTGRESQL} Nothing was written.")
        self._make(Path(options["file"]), options)

    def _make(self, path: Path, options: dict[str, Any]) -> None:
        with self.progress(backups.size_of_database(), "bytes", tell_end=False) as progress:
            made = backups.make(path, progress.reach)
        if made.beside:
            self.note("The backup is on the same disk as the database: copy it to another.")
        facts = [
            ("file", path),
            ("bytes", f"{made.size:,}"),
            ("ledger up to", f"{made.head:,}"),
            ("sha256", made.digest),
        ]
        data = {"file": str(path), "bytes": made.size, "head": made.head, "sha256": made.digest}
        self.result(data, table(facts), options)
