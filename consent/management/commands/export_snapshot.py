"""Export all consent at a position of the ledger, signed, for the filter of training data."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from accounts.fields import rfc3339
from accounts.management.base import Failed, Misuse, table
from consent import manifests
from consent.management.base import ConsentCommand
from consent.pipeline import dsse
from consent.pipeline.errors import PipelineError


class Command(ConsentCommand):
    help = (
        "Write a snapshot of all consent, as it was at a position of the ledger, into a new folder of DIR: Parquet "
        "files with a signed manifest, for `python -m consent.pipeline filter`. It says who opted out, members "
        "included: its owner alone can read it, and it belongs into no repository. Needs the packages of "
        "requirements/pipeline.txt, and MANIFEST_SIGNING_KEY."
    )
    examples = """
  manage.py export_snapshot /srv/consent
  manage.py export_snapshot /srv/consent --position 1234567 --format json
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "directory", metavar="DIR", nargs="?", default=settings.SNAPSHOT_DIR,
            help="where the snapshots are, made if it is missing; by default SNAPSHOT_DIR",
        )  # fmt: skip
        parser.add_argument("--position", type=int, help="of the ledger; by default its head")
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        if not options["directory"]:
            raise Misuse("Give the folder where snapshots are to be, or set SNAPSHOT_DIR.")
        try:
            self._export(Path(options["directory"]), options)
        except PipelineError as error:
            failure = Misuse if error.exit_code == Misuse("").returncode else Failed
            raise failure(f"{error} {self.done_so_far}") from error

    def _export(self, directory: Path, options: dict[str, Any]) -> None:
        # Imported here: without the packages of requirements/pipeline.txt it raises PipelineError.
        from consent.snapshots.exporting import export_snapshot

        with self.progress(None, "rows") as progress:
            done = export_snapshot(directory, options["position"], progress.reach)
        size = sum(file.size for file in done.written.files)
        told = {
            "folder": str(done.written.folder),
            "position": done.position,
            "decided_at": rfc3339(done.decided_at),
            "renewed": done.written.renewed,
            "rows": done.rows,
            "bytes": size,
            "verify_key": dsse.public_text(manifests.signing_key()),
        }
        if done.written.renewed:
            self.note("The same snapshot was there: its manifest is of this moment now.")
        rows = [(name, f"{number:,}") for name, number in done.rows.items()]
        text = table([
            ("folder", done.written.folder), ("position", f"{done.position:,}"), ("decided at", told["decided_at"]),
            *rows, ("bytes", f"{size:,}"), ("verify key", told["verify_key"]),
        ])  # fmt: skip
        self.result(told, text, options)
