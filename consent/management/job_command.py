"""Base class of the commands of bulk jobs: show the preview, ask for confirmation, run the job, print its result."""

import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from accounts.access import Actor, Forbidden
from accounts.fields import parse_id
from accounts.leases import LostLease
from accounts.management.base import Failed, NotConfirmed, counted, printable, table
from consent.errors import Refused
from consent.imports import outcomes
from consent.imports.parsing import shown
from consent.imports.reading import UNREAD
from consent.jobs import actions, engine, reports, serialization
from consent.jobs.reports import numbers
from consent.ledger import clock
from consent.management.base import ConsentCommand
from consent.models import BulkJob, JobStatus

# The next step for a job that can't be run in its current status.
_WAY = {
    JobStatus.PREVIEWED: "Run it by its digest: manage.py set_consent --digest {digest} --actor EMAIL.",
    JobStatus.AWAITING_APPROVAL: "A second operator approves it first: manage.py job approve {id} --actor EMAIL.",
    JobStatus.PAUSED: "Let it go on first: manage.py job resume {id} --actor EMAIL.",
    JobStatus.FAILED: "Let it go on first: manage.py job resume {id} --actor EMAIL.",
}
_NAMED = 20  # the most names of unread columns in the note about them


class JobCommand(ConsentCommand):
    def add_run(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="show what would change, and keep the preview")
        parser.add_argument("--yes", action="store_true", help="don't ask")
        parser.add_argument(
            "--background", action="store_true", help="leave it to a worker, instead of running it here"
        )
        self.add_actor(parser)
        self.add_format(parser)

    def job(self, ident: str) -> BulkJob:
        pk = parse_id(ident)
        job = BulkJob.objects.filter(pk=pk).select_related("author", "submitter", "approver").first() if pk else None
        if job is None:
            raise Failed(f"There is no job “{printable(ident)}”. The jobs there are: manage.py job list.")
        return job

    # --- From preview to end ---

    def carry_out(self, job: BulkJob, what: str, actor: Actor, options: dict[str, Any]) -> None:
        """Show the preview (--dry-run), or confirm `what` and run the job.

        A job without rows is not run, unless it sets a plan's default, which has an effect without rows.
        """
        if options["dry_run"]:
            self.show_preview(job, options)
            return
        if job.matched or job.plan:
            self._ask(job, what, options)
            # With --yes and without --digest nobody has seen the preview, so a selection that has drifted from it
            # surprises nobody: accept the drift.
            seen = not options["yes"] or bool(options.get("digest"))
            accept = bool(options.get("accept_drift")) or not seen
            job = self.submit(job, actor, accept_drift=accept, here=not options["background"])
            if job.status == JobStatus.RUNNING:
                job = self.run_here(job)
        self.show_result(job, options)

    def _ask(self, job: BulkJob, what: str, options: dict[str, Any]) -> None:
        refused = actions.outcome_counts(job)["refused"]
        passed_over = f", {refused:,} passed over" if refused else ""
        self.confirm(what + passed_over, options, f"Nothing was changed; the preview is kept as job {job.pk}.")

    def confirm(self, what: str, options: dict[str, Any], otherwise: str) -> None:
        """Ask for confirmation of `what`, unless --yes was given. Raises NotConfirmed, with `otherwise` as message."""
        if options["yes"]:
            return
        if not sys.stdin.isatty():
            raise NotConfirmed(f"{what}? Say so with --yes. {otherwise}")
        self.stderr.write(f"{printable(what)}? [y/N] ", str, ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise NotConfirmed(otherwise)

    @transaction.atomic
    def submit(self, job: BulkJob, actor: Actor, *, accept_drift: bool, here: bool) -> BulkJob:
        """Queue the job and, if it runs `here`, claim it in the same transaction, before a worker can take it."""
        job = actions.submit(job=job, actor=actor, digest=job.digest, accept_drift=accept_drift)
        return engine.claim(job) if here and job.status == JobStatus.QUEUED else job

    def claim(self, job: BulkJob) -> BulkJob:
        try:
            return engine.claim(job)
        except Refused as error:
            job.refresh_from_db()
            if error.code == "running" and job.leased_until is not None:
                seconds = max(1, round((job.leased_until - clock()).total_seconds()))
                raise Failed(
                    f"Another process runs this job, and holds it for {counted(seconds, 'more second')}. If that one "
                    f"was killed, try again then: it goes on after row {job.cursor:,}."
                ) from None
            way = _WAY.get(JobStatus(job.status), "").format(id=job.pk, digest=job.digest)
            raise Failed(f"{error} {way}".strip()) from None

    def run_here(self, job: BulkJob) -> BulkJob:
        """Run a claimed job to its end. Raises Failed if it fails or is taken over.

        Ctrl-C pauses the job. If this process is killed, a worker continues at the job's cursor once the lease expires.
        """
        self._remember(job)
        with self.progress(job.matched, "rows", job.cursor) as progress:

            def reach(job: BulkJob) -> None:
                self._remember(job)
                progress.reach(job.cursor, _speed(job))

            try:
                job = engine.run(job, on_chunk=reach)
            except KeyboardInterrupt:
                self._pause(job)
                raise
            except BrokenPipeError:  # the reader of the output is gone: leave the job to the next runner
                engine.release(job)
                raise
            except LostLease:
                raise Failed(f"Another process has taken the job over: manage.py job show {job.pk}.") from None
            except engine.Quarantined as error:
                raise Failed(
                    f"The job waits: {printable(error.__cause__)} {self.done_so_far} After that a worker goes on with "
                    f"it, or manage.py job run {job.pk}."
                ) from None
            except Exception as error:
                raise Failed(
                    f"The job failed: {printable(error)} {self.done_so_far} "
                    f"Once that is mended: manage.py job resume {job.pk} --actor EMAIL, manage.py job run {job.pk}."
                ) from error
        if job.status != JobStatus.DONE:
            raise Failed(f"Somebody has stopped the job ({job.get_status_display()}). {self.done_so_far}")
        return job

    def _remember(self, job: BulkJob) -> None:
        self.done_so_far = f"{job.cursor:,} of {job.matched:,} rows are done and stay so."

    def _pause(self, job: BulkJob) -> None:
        # In the author's name, because `job run` has no --actor.
        try:
            actions.pause(job=job, actor=Actor.from_command(job.author))
        except (Refused, Forbidden):
            return
        engine.release(job)
        self.done_so_far += (
            f" The job is paused: manage.py job resume {job.pk} --actor EMAIL, then manage.py job run {job.pk};"
            f" to take it back: manage.py job cancel {job.pk} --actor EMAIL, then manage.py undo_job {job.pk}."
        )

    # --- What is told ---

    def show_preview(self, job: BulkJob, options: dict[str, Any]) -> None:
        facts = [*_counts(job, ("would change", "would stay")), ("job", job.pk), ("digest", job.digest)]
        data = _result(job, dry_run=True) | serialization.preview(job)
        self.result(data, table(facts) + what_it_would_do(job), options)
        if job.loosens:
            self.note("What this loosens waits for a second operator, once it is run.")

    def show_result(self, job: BulkJob, options: dict[str, Any]) -> None:
        text = table([*_counts(job, ("changed", "unchanged")), ("job", job.pk), ("status", job.status)])
        self.result(_result(job, dry_run=False), text, options)
        self.note_unread(job.selection.get(UNREAD, ()))
        self.say_how_on(job)

    def note_unread(self, columns: Sequence[str]) -> None:
        """Print a note about unread columns: one with another name than expected may hold choices, now ignored."""
        if columns:
            names = ", ".join(f"“{shown(column)}”" for column in columns[:_NAMED])
            more = f" and {len(columns) - _NAMED:,} more" if len(columns) > _NAMED else ""
            self.note(f"Not read: {names}{more}. --map says what a column holds, --ignore that it is left out.")

    def say_how_on(self, job: BulkJob) -> None:
        """Print a note about the job's next step, if it waits for an approval or for a worker."""
        if job.status == JobStatus.AWAITING_APPROVAL:
            self.note(
                f"Nothing was changed yet: a second operator approves it (manage.py job approve {job.pk} "
                f"--actor EMAIL); then a worker runs it, or manage.py job run {job.pk}."
            )
        elif job.status == JobStatus.QUEUED:
            self.note(f"A worker runs it; see manage.py job show {job.pk}.")


def _result(job: BulkJob, *, dry_run: bool) -> dict[str, Any]:
    """The job as the API describes it, plus its id as `job`, as in the result of every command that makes a job."""
    return serialization.described(job) | {"job": str(job.pk), "dry_run": dry_run}


def _counts(job: BulkJob, words: tuple[str, str]) -> list[tuple[str, object]]:
    changed, unchanged, refused = numbers(job)
    lines: list[tuple[str, object]] = [(words[0], f"{changed:,}"), (words[1], f"{unchanged:,}")]
    return [*lines, *refusals(refused)]


def refusals(counts: dict[str, int]) -> list[tuple[str, object]]:
    """Lines of a table: the refusal's reason in words, and the number of rows."""
    return [(f"refused: {outcomes.in_words(code)}", f"{count:,}") for code, count in sorted(counts.items())]


def what_it_would_do(job: BulkJob) -> str:
    """The preview as two tables: numbers of rows by plan, choice before and after; and a sample of the rows."""
    sample = reports.sample(job)
    names = ("plan", "before", "after", "used_before", "used_after", "outcome", "count")
    text = ""
    if job.summary:
        told = [row | {"outcome": outcomes.in_words(row["outcome"])} for row in job.summary]
        lines = [[_word(row.get(name)) for name in names] for row in told]
        text += f"\n\n{table(lines, ['plan', 'now', 'then', 'used now', 'used then', 'outcome', 'rows'])}"
    if sample:
        cells = [
            (row.external_id or row.organization, row.name, row.before, row.after, outcomes.in_words(row.outcome))
            for row in sample
        ]
        text += f"\n\n{table(cells, ['organization', 'name', 'now', 'then', 'outcome'])}"
    return text


def _word(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else value


def _speed(job: BulkJob) -> str:
    """The speed as text, like `12,000 a second, 8 s to go`; '' as long as no rate is known."""
    progress = engine.progress(job)
    if not progress.rate:
        return ""
    return f"{progress.rate:,.0f} a second" + (f", {progress.eta:,.0f} s to go" if progress.eta else "")
