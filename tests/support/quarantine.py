"""A database in quarantine, and one that is restored to an earlier moment."""

import contextlib
from collections.abc import Iterator

from django.db import connection
from django.utils import timezone

from consent.models import Installation, Trouble
from consent.witness import guard


def begin(trouble: Trouble = Trouble.HEAD_LOWER) -> None:
    Installation.objects.update(quarantine=trouble, quarantined_at=timezone.now())
    guard.forget(connection=connection)


def end() -> None:
    Installation.objects.update(quarantine="", quarantined_at=None)
    guard.forget(connection=connection)
    guard.trouble()


@contextlib.contextmanager
def in_quarantine(trouble: Trouble = Trouble.HEAD_LOWER) -> Iterator[None]:
    """The block runs as in a database that was found to be older than what was witnessed."""
    begin(trouble)
    try:
        yield
    finally:
        end()
