"""Rebind external ids to organizations or members that they never meant before, by a job with a second approver."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Failed, counted
from consent.files.atomic import BadFile
from consent.files.tables import MissingColumn
from consent.jobs import actions
from consent.jobs.list_errors import BadList
from consent.jobs.rebind_files import RebindFile
from consent.management import files
from consent.management.job_command import JobCommand
from consent.models import Source


class Command(JobCommand):
    help = (
        "Give external ids to other organizations, or members, than they ever meant. A second operator approves it; "
        "asked by such an id, only data collected from then on is used. FILE is CSV or JSON Lines with the columns "
        "external_id and organization, and member where the id is to mean a member of it: ids, or external:ID."
    )
    examples = """
  manage.py rebind_external_ids ids.csv --reason "Merged, ticket 4711" --actor operator@demo.example --dry-run
  manage.py rebind_external_ids ids.csv --reason "Merged, ticket 4711" --actor operator@demo.example --yes
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="CSV, or JSON Lines; packed by gzip too; - for stdin")
        files.add_reading(parser)
        parser.add_argument("--reason", required=True, help="kept in the ledger")
        self.add_run(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        actor = self.actor(options["actor"])
        try:
            with files.as_file(options["file"]) as path:
                wishes = RebindFile(path, files.reading(options))
                files.tell_encoding(self, wishes.table)
                job = actions.preview_rebind(
                    wishes=wishes, actor=actor, source=Source.COMMAND, reason=options["reason"]
                )
        except BadList as error:
            more = error.bad - len(error.problems)
            raise Failed("\n".join([*error.problems, *([f"and {more:,} more."] if more else [])])) from error
        except (BadFile, MissingColumn) as error:
            raise Failed(str(error)) from error
        change = actions.outcome_counts(job)["change"]
        what = f"Ask a second operator to give {change:,} of {counted(job.matched, 'external id')} to others"
        self.carry_out(job, what, actor, options)
