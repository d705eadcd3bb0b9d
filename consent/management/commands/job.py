"""List, show and control bulk jobs."""

import json
from argparse import SUPPRESS
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandParser

from accounts.access import Actor, Forbidden
from accounts.management.base import Failed, table
from consent.errors import Refused
from consent.files.exports import CSV, PLAIN
from consent.imports.reading import UNREAD
from consent.jobs import actions, serialization
from consent.jobs.reports import listed_rows, write_rows
from consent.management.job_command import JobCommand, refusals, what_it_would_do
from consent.models import BulkJob, JobStatus, Source
from consent.services.exports import Export, note_export

_VERBS: dict[str, tuple[str, Callable[..., BulkJob]]] = {
    "approve": ("let a job run that another operator made", actions.approve),
    "pause": ("stop it after the chunk at hand, for now", actions.pause),
    "resume": ("go on with a paused or failed one, at its mark", actions.resume),
    "cancel": ("end it after the chunk at hand; what is done stays", actions.cancel),
}


class Command(JobCommand):
    help = (
        "Bulk jobs: list and show them, approve, run, pause, resume and cancel them, and see which rows were refused."
    )
    examples = """
  manage.py job list --status awaiting_approval
  manage.py job approve ID --actor second@demo.example
  manage.py job run ID
  manage.py job rows ID --refused --format csv > refused.csv
"""

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        listing = self._add_parser(verbs, "list", "the latest jobs")
        listing.add_argument("--status", choices=JobStatus.values)
        listing.add_argument("--limit", type=int, default=20, help="so many at most (20)")
        self.add_format(listing)
        for name, words in (("show", "a job and how far it is"), ("run", "run it here, from its mark on")):
            self._add_verb(verbs, name, words)
        for name, (words, _act) in _VERBS.items():
            self.add_actor(self._add_verb(verbs, name, words))
        listed = self._add_parser(verbs, "rows", "its rows, in order; the result is made for --from-file")
        listed.add_argument("id", metavar="ID")
        listed.add_argument("--refused", action="store_true", help="only those that were refused")
        listed.add_argument("--format", choices=["csv", "json"], default="csv")
        self.add_plain(listed)

    def _add_verb(self, verbs: Any, name: str, words: str) -> CommandParser:
        parser = self._add_parser(verbs, name, words)
        parser.add_argument("id", metavar="ID")
        self.add_format(parser)
        return parser

    def _add_parser(self, verbs: Any, name: str, words: str) -> CommandParser:
        parser: CommandParser = verbs.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        self.add_quiet(parser, default=SUPPRESS)  # a default would override a --quiet that stands before the verb
        return parser

    def handle(self, *_args: Any, **options: Any) -> None:
        verb = options["verb"]
        if verb == "list":
            self._list(options)
            return
        job = self.job(options["id"])
        if verb == "run":
            self.show_result(self.run_here(self.claim(job)), options)
        elif verb == "rows":
            self._rows(job, options)
        else:
            if verb in _VERBS:
                job = self._act(verb, job, self.actor(options["actor"]))
            self._show(job, options)

    def _act(self, verb: str, job: BulkJob, actor: Actor) -> BulkJob:
        try:
            return _VERBS[verb][1](job=job, actor=actor)
        except Forbidden as error:
            if error.detail:
                raise Failed(f"{error.detail} Nothing was changed.") from None
            raise
        except Refused as error:
            raise Failed(f"{error} Nothing was changed.") from None

    def _list(self, options: dict[str, Any]) -> None:
        found = BulkJob.objects.select_related("author", "submitter", "approver").order_by("-pk")
        if options["status"]:
            found = found.filter(status=options["status"])
        listed = [serialization.described(job) for job in found[: max(options["limit"], 0)]]
        cells = [
            [
                data["id"], data["kind"], data["status"], data["surface"] or data["plan"], data["choice"],
                data["matched"], data["processed"], data["author"]["label"], data["created_at"],
            ]
            for data in listed
        ]  # fmt: skip
        header = ["job", "kind", "status", "on", "to be", "rows", "done", "author", "created"]
        self.result({"jobs": listed}, table(cells, header) if cells else "There are no jobs.", options)

    def _show(self, job: BulkJob, options: dict[str, Any]) -> None:
        job = self.job(str(job.pk))
        data = serialization.described_with_preview(job)
        text = what_it_would_do(job) if "sample" in data else ""
        left_out = ("select", "refused_because", "summary", "sample")
        lines = [(name.replace("_", " "), _serialize(value)) for name, value in data.items() if name not in left_out]
        facts = table([*(line for line in lines if line[1] not in ("", None)), *refusals(data["refused_because"])])
        self.result(data, facts + text, options)
        self.note_unread(job.selection.get(UNREAD, ()))

    def _rows(self, job: BulkJob, options: dict[str, Any]) -> None:
        if job.cursor < job.matched:
            self.note(f"{job.cursor:,} of {job.matched:,} rows are done; refusals are known of those alone.")
        note_export(Export.JOB_ROWS, organization=None, actor=Actor.system(), source=Source.COMMAND, target=job.pk)
        self.answered = True
        if options["format"] == "csv":
            form = CSV if self.for_spreadsheets(options) else PLAIN
            write_rows(job, self.stdout, form, refused=options["refused"])
            return
        # Write the JSON array row by row: a job may have millions of rows.
        between = "["
        for row in listed_rows(job, refused=options["refused"]):
            self.stdout.write(f"{between}\n  {json.dumps(row._asdict())}", ending="")
            between = ","
        self.stdout.write("[]" if between == "[" else "\n]")


def _serialize(value: object) -> object:
    if isinstance(value, dict):
        return value["label"]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else value
