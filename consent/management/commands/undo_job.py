"""Undo the changes of a bulk job, except where somebody has made or confirmed a choice since."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import counted
from consent.jobs import actions
from consent.management.job_command import JobCommand
from consent.models import Source


class Command(JobCommand):
    help = (
        "Take back what a bulk job changed, or an import of choices, by events of its own, where nobody has chosen or "
        "confirmed since. What members chose stays theirs. Where that loosens, a second operator approves it first."
    )
    examples = """
  manage.py undo_job ID --actor operator@demo.example --dry-run
  manage.py undo_job ID --reason "Wrong list" --actor operator@demo.example --yes
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", help="of the job to be undone")
        parser.add_argument("--reason", default="", help="kept in the ledger")
        self.add_run(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        actor = self.actor(options["actor"])
        undone = self.job(options["id"])
        job = actions.preview_undo(job=undone, actor=actor, source=Source.COMMAND, reason=options["reason"])
        change = actions.outcome_counts(job)["change"]
        asked = "Ask a second operator to undo" if job.loosens else "Undo"
        what = f"{asked} job {undone.pk} for {change:,} of the {counted(job.matched, 'organization')} that it changed"
        self.carry_out(job, what, actor, options)
