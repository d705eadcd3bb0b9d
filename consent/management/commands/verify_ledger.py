"""Verify the ledger: triggers exist, positions have no gap, replayed events give the stored states, the log says so."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Failed, counted, printable, table
from accounts.transactions import snapshot
from consent import ledger, verification
from consent.management.base import ConsentCommand
from consent.models import Verification


class Command(ConsentCommand):
    help = (
        "Check triggers, order and every setting against the ledger, and every event against the log. Reads one "
        "snapshot, and leaves nothing but its result, for the dashboard: events "
        "that have no position yet are counted as pending. The exit code is 1 if anything is not as it should be."
    )
    examples = """
  manage.py verify_ledger
  manage.py verify_ledger --format json
"""

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        with snapshot(), self.progress(None, "events checked") as progress:
            report = verification.verify(on_progress=progress.reach)
        # After the read-only snapshot: store the result, for the operators' dashboard.
        Verification.objects.create(at=ledger.clock(), head=report.head, problems=len(report.problems))
        counts = {
            "events": report.events,
            "settings": report.settings,
            "head": report.head,
            "pending": report.pending,
            "leaves": report.leaves,
            "checkpoints": report.checkpoints,
            "problems": len(report.problems),
        }
        text = table([(name, f"{count:,}") for name, count in counts.items()])
        text = "\n".join([text, *(printable(problem) for problem in report.problems)])
        self.result({**counts, "problems": report.problems, "ok": not report.problems}, text, options)
        if report.problems:
            raise Failed(f"The ledger is not as it should be: {counted(len(report.problems), 'problem')}.")
