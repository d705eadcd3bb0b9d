"""Base class of the import commands: read and preview the file, report bad rows, then run the job or queue it."""

import dataclasses
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from accounts.access import Actor
from accounts.management.base import Failed, Misuse, counted, table
from consent import retention
from consent.errors import Invalid
from consent.files.atomic import BadFile, new_file
from consent.files.exports import CSV, JSON_LINES, PLAIN
from consent.files.tables import MissingColumn, column_name, open_table
from consent.imports import reading
from consent.imports.error_report import write_problems
from consent.imports.fields import FIELDS, ImportPlan, guess_columns, standing_columns
from consent.imports.judging import BAD, PAST
from consent.imports.staging import DUPLICATE
from consent.jobs import cases
from consent.management import files
from consent.management.job_command import JobCommand
from consent.models import BulkJob, ImportTable, JobStatus, ProblemKind, Source

_TOLD = 100  # the most problems on stderr
_LISTED = 1_000  # the most problems of each kind in the JSON; --problems writes all of them
_OPTIONS = {
    "columns": "map", "plans": "plan", "default_choice": "default-choice",
    "ignored": "map FIELD=COLUMN, or --ignore COLUMN",
}  # fmt: skip


class ImportCommand(JobCommand):
    """A subclass sets `table`, and in `made` the name under which rows that change something are counted."""

    table: ClassVar[ImportTable]
    made: ClassVar[str] = "made"
    done_so_far = "Nothing was written."

    def add_arguments(self, parser: CommandParser) -> None:
        fields = FIELDS[self.table]
        parser.add_argument("file", metavar="FILE", help="CSV, or JSON Lines; packed by gzip too; - for stdin")
        parser.add_argument(
            "--map", action="append", default=[], metavar="FIELD=COLUMN",
            help="which column holds what; without any, those named like the fields but since; fields: "
            + ", ".join(field.name for field in fields),
        )  # fmt: skip
        parser.add_argument(
            "--ignore", action="append", default=[], metavar="COLUMN",
            help="don't read this column, though it is called like one that says whom a row is about, or what has "
            "ended, left or closed",
        )  # fmt: skip
        self.add_table_arguments(parser)
        parser.add_argument("--reason", default="", help="kept in the ledger; needed where the file opts in")
        parser.add_argument("--reference", default="", help="where an attested since can be looked up")
        files.add_reading(parser)
        parser.add_argument("--skip-bad", action="store_true", help="import the good rows, though there are bad ones")
        parser.add_argument(
            "--problems", metavar="PATH", help="write all that is wrong into this new file (.csv, .jsonl)"
        )
        self.add_plain(parser)
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and change nothing")
        parser.add_argument("--background", action="store_true", help="leave it to a worker, once the file is read")
        self.add_actor(parser)
        self.add_format(parser)

    def add_table_arguments(self, parser: CommandParser) -> None:
        """Hook for a subclass: add the options of this table."""

    def import_plan(self, columns: dict[str, str], _options: dict[str, Any]) -> ImportPlan:
        return ImportPlan(self.table, columns)

    def handle(self, *_args: Any, **options: Any) -> None:
        actor = self.actor(options["actor"])
        with files.as_file(options["file"]) as path:
            job = self._read(path, actor, options)
        # All or nothing: one bad row stops the import, unless --skip-bad was given.
        bad = job.preview.get(BAD, 0)
        stopped = bool(bad) and not options["skip_bad"]
        try:
            self._tell(job, options)
        except BadFile as error:
            reading.discard(job)
            raise Failed(f"--problems: {error} Nothing was written.") from error
        if not options["dry_run"] and not stopped and job.preview[cases.CHANGE]:
            job = self._run(job, actor, options)
        self._print(job, options, written=job.status == JobStatus.DONE or not (stopped or options["dry_run"]))
        if stopped:
            raise Failed(f"{counted(bad, 'bad row')}, so nothing was written. Mend them, or use --skip-bad.")

    # --- Reading ---

    def _read(self, path: str, actor: Actor, options: dict[str, Any]) -> BulkJob:
        given = _columns(options["map"], self.table)
        try:
            file = open_table(path, files.reading(options), wanted=given.values())
            file.require(*options["ignore"])
            there = [column for column in file.columns if column not in options["ignore"]]
            columns = self._completed(given, there)
            file.require(*columns.values())
        except MissingColumn as error:
            raise Misuse(f"--map: {error}") from error
        except BadFile as error:
            raise Failed(f"{error} Nothing was written.") from error
        files.tell_encoding(self, file)
        ignored = tuple(options["ignore"])
        plan = dataclasses.replace(self.import_plan(columns, options), ignored=ignored)
        self.note_unread(self._checked(plan, file.columns))
        more = {reading.ENCODING: str(file.encoding), reading.SEPARATOR: file.separator}
        try:
            job = reading.prepare(
                plan=plan,
                actor=actor,
                source=Source.COMMAND,
                name=options["file"],
                reason=options["reason"],
                reference=options["reference"],
                **more,
            )
        except Invalid as error:
            raise Misuse(f"--{error.field}: {error}") from error
        # `read` renews this lease as it goes, and so notices when somebody has stopped the job.
        reading.take(job)
        try:
            with self.progress(None, "rows read", tell_end=False) as progress:
                return reading.read(job, path, progress.reach)
        # Also on Ctrl-C: a half-read import must not stay.
        except BaseException as error:
            reading.discard(job)
            if isinstance(error, BadFile):
                raise Failed(f"{error} Nothing was written.") from error
            if isinstance(error, Invalid):
                raise Misuse(f"--{error.field}: {error} Nothing was written.") from error
            raise

    def _completed(self, given: dict[str, str], there: list[str]) -> dict[str, str]:
        """Field → column. Without --map, columns are matched to fields by name.

        With --map, that mapping; in addition, columns that say what has ended, left or closed are matched by name, so
        that ended rows are not imported as live ones.
        """
        if not given:
            return guess_columns(self.table, there)
        standing = standing_columns(self.table, there, given)
        for name, column in standing.items():
            self.note(f"The column “{column}” is read too, as {name}; --ignore leaves it out.")
        return given | standing

    @staticmethod
    def _checked(plan: ImportPlan, columns: Sequence[str]) -> list[str]:
        """The columns that are not read. Raises Misuse for an invalid plan."""
        try:
            return plan.checked().unread(columns)
        except Invalid as error:
            where = error.field.partition("/")[0]
            option = _OPTIONS.get(where, where)
            raise Misuse(f"--{option}: {error}") from error

    # --- Running ---

    def _run(self, job: BulkJob, actor: Actor, options: dict[str, Any]) -> BulkJob:
        job = self.submit(job, actor, accept_drift=True, here=not options["background"])
        if job.status == JobStatus.RUNNING:
            job = self.run_here(job)
        if job.status == JobStatus.DONE:
            for problem in job.problems.filter(kind=ProblemKind.REFUSED)[:_TOLD]:
                self.note_problem(str(problem))
        return job

    def _tell(self, job: BulkJob, options: dict[str, Any]) -> None:
        for problem in job.problems.all()[:_TOLD]:
            self.note_problem(str(problem))
        more = job.problems.count() - _TOLD
        if more > 0 and not options["problems"]:
            self.note_problem(f"… and {more:,} more: --problems FILE has all of them.")
        if options["problems"]:
            form = JSON_LINES if options["problems"].endswith(".jsonl") else PLAIN if options["plain"] else CSV
            with new_file(options["problems"]) as out:
                text = TextIOWrapper(out, "utf-8", newline="", write_through=True)
                write_problems(job, text, form)
                text.detach()  # `new_file` closes the file

    # --- Telling ---

    def outcome(self, job: BulkJob) -> dict[str, int]:
        """Numbers of rows by outcome: of the preview until the job has started, then of what was done."""
        found = job.preview if job.started_at is None else {cases.CHANGE: job.changed, cases.SAME: job.unchanged}
        refusals = job.preview if job.started_at is None else job.refusals
        known = (cases.CHANGE, cases.SAME, BAD, DUPLICATE, PAST, "differing")
        refused = sum(count for name, count in refusals.items() if name not in known)
        return {
            self.made: found.get(cases.CHANGE, 0),
            "unchanged": found.get(cases.SAME, 0),
            "differing": job.problems.filter(kind=ProblemKind.DIFFERING).count(),
            "refused": refused,
        }

    def _print(self, job: BulkJob, options: dict[str, Any], *, written: bool) -> None:
        lists = {
            f"{kind.value}_rows": [str(problem) for problem in job.problems.filter(kind=kind)[:_LISTED]]
            for kind in ProblemKind
        }
        found = self.outcome(job) | {
            name: job.preview.get(outcome, 0)
            for name, outcome in (("past", PAST), ("duplicates", DUPLICATE), ("bad", BAD))
        }
        shown = {name: count for name, count in found.items() if count or name != "past"}
        lines: list[tuple[str, object]] = [(name.replace("_", " "), f"{count:,}") for name, count in shown.items()]
        waits = job.status in (JobStatus.AWAITING_APPROVAL, JobStatus.QUEUED)
        lines.append(("written", "not yet" if waits else "yes" if written else "no"))
        unread = job.selection.get(reading.UNREAD, [])
        data = {**found, "written": written and not waits, "loosens": job.loosens, "unread": unread, **lists}
        if job.status == JobStatus.PREVIEWED:  # dry run, bad rows, or nothing to do: drop the preview
            reading.discard(job)
        else:
            data |= {"job": str(job.pk), "status": job.status}
            retention.tidy(job)
        self.result(data, table(lines), options)
        self.say_how_on(job)


def _columns(pairs: list[str], which: ImportTable) -> dict[str, str]:
    known = [field.name for field in FIELDS[which]]
    columns: dict[str, str] = {}
    for pair in pairs:
        field, equals, column = (column_name(part) for part in pair.partition("="))
        if not (equals and column) or field not in known:
            raise Misuse(f"--map: “{pair}” is not FIELD=COLUMN; the fields are {', '.join(known)}.")
        if field in columns:
            raise Misuse(f"--map: {field} is given twice.")
        columns[field] = column
    return columns
