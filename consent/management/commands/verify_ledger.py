"""Prove that the ledger is whole: its guards are there, its order has no gap, every state is what its events say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandParser
from django.db import connection, transaction

from accounts.management.base import Failed, counted, printable, table
from consent import verification
from consent.management.base import ConsentCommand


class Command(ConsentCommand):
    help = (
        "Check triggers, order and every setting against the ledger. Reads one snapshot and changes nothing: events "
        "that have no position yet are counted as pending. The exit code is 1 if anything is not as it should be."
    )
    examples = """
  manage.py verify_ledger
  manage.py verify_ledger --format json
"""

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        with _snapshot(), self.progress(None, "events checked") as progress:
            report = verification.verify(on_progress=progress.reach)
        counts = {
            "events": report.events,
            "settings": report.settings,
            "head": report.head,
            "pending": report.pending,
            "problems": len(report.problems),
        }
        text = table([(name, f"{count:,}") for name, count in counts.items()])
        text = "\n".join([text, *(printable(problem) for problem in report.problems)])
        self.result({**counts, "problems": report.problems, "ok": not report.problems}, text, options)
        if report.problems:
            raise Failed(f"The ledger is not as it should be: {counted(len(report.problems), 'problem')}.")


@contextmanager
def _snapshot() -> Iterator[None]:
    """All reads see one moment, and nobody's write waits for them."""
    if connection.in_atomic_block:  # the caller's transaction is the snapshot
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        with _deferred(), transaction.atomic():
            yield


@contextmanager
def _deferred() -> Iterator[None]:
    """SQLite's transactions take the write lock at once (see the settings); this one must not."""
    connection.ensure_connection()
    mode: str | None = connection.transaction_mode  # type: ignore[attr-defined]
    connection.transaction_mode = "DEFERRED"  # type: ignore[attr-defined]
    try:
        yield
    finally:
        connection.transaction_mode = mode  # type: ignore[attr-defined]
