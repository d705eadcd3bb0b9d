"""Write what has to be removed from a training run, as entries by key."""

import io
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Misuse, printable
from consent.files.atomic import BadFile, new_file
from consent.files.exports import CSV, JSON_LINES, PLAIN
from consent.management.base import ConsentCommand
from consent.models import RemovalBatch, Source, TrainingRun
from consent.pipeline.errors import PipelineError
from consent.services import removal_entries, removal_files, removals, runs
from consent.services.exports import Export, note_export
from consent.services.removal_entries import Entry


class Command(ConsentCommand):
    help = (
        "Write what has to be removed from a training run since its data was filtered: for each key and product, from "
        "when and until when what was collected may be kept. All of it, up to now, or one removal. It says who opted "
        "out, members included: a file can be read by its owner alone, and the export is noted in the ledger. Parquet "
        "needs the packages of requirements/pipeline.txt."
    )
    examples = """
  manage.py removals 0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f --actor odin@provider.example --out removals.jsonl
  manage.py removals external:exp-12 --batch 2 --format parquet --out removal-2.parquet --actor EMAIL
  manage.py removals external:exp-12 --actor EMAIL | wc --lines
"""
    refusals = (*ConsentCommand.refusals, BadFile)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="the run's id, or external: and its external id")
        parser.add_argument("--batch", metavar="NUMBER", type=int, help="only this removal of the run, by its number")
        parser.add_argument("--format", choices=removal_files.FORMS, default=JSON_LINES)
        parser.add_argument("--out", metavar="FILE", default="-", help="where to; packed if it ends in .gz; -: stdout")
        self.add_plain(parser)
        parser.add_argument("--force", action="store_true", help="replace a file that is there")
        self.add_actor(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        actor = self.actor(options["actor"])
        run = runs.get_run(actor, options["run"])
        batch = self._batch(run, options["batch"])
        form, path = str(options["format"]), str(options["out"])
        if form == removal_files.PARQUET and (path == "-" or path.endswith(".gz")):
            raise Misuse("--format parquet needs a file, by --out, that is not packed.")
        if form == CSV and (options["plain"] or (path == "-" and not self.for_spreadsheets(options))):
            form = PLAIN
        # Noted before any data is written out.
        note_export(Export.REMOVALS, organization=None, actor=actor, source=Source.COMMAND, target=run.pk)
        entries = removal_entries.entries_of(removals.range_of(run, batch))
        try:
            with self.progress(None, "entries") as progress:
                number = self._write(entries, path, form, progress.reach, force=options["force"])
        except PipelineError as error:
            raise Misuse(f"{error} {self.done_so_far}") from error
        self.note(f"{number:,} {'entry' if number == 1 else 'entries'} of {printable(run.name)}.")

    def _write(
        self, entries: Iterable[Entry], path: str, form: str, on_rows: removal_files.OnRows, *, force: bool
    ) -> int:
        if path == "-":
            return removal_files.write_text(entries, self.stdout, form, on_rows)
        with new_file(path, force=force) as file:
            if form == removal_files.PARQUET:
                return removal_files.write_parquet(entries, file, on_rows)
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            number = removal_files.write_text(entries, text, form, on_rows)
            text.flush()
            text.detach()
            return number

    @staticmethod
    def _batch(run: TrainingRun, number: int | None) -> RemovalBatch | None:
        if number is None:
            return None
        batch = run.batches.filter(number=number).first()
        if batch is None:
            raise Misuse(f"--batch: the run has no removal {number}.")
        return batch
