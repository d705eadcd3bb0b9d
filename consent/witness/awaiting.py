"""Writes that wait for their line of the witness (WITNESS_SYNC), so that not even the last half second can be lost."""

import time
from collections.abc import Sequence
from contextvars import ContextVar

from django.conf import settings
from django.db import connection, transaction

from config import request_id

from ..models import ConsentEvent
from . import guard, quarantine

SECONDS = 2.0  # the longest that a write is waited for; then it is answered all the same, and says so
_LOOK = 0.02
_WITNESSED = """
SELECT i.witnessed_position >= p.position FROM consent_installation AS i, consent_eventposition AS p
WHERE p.event_id = %s"""
# The id of the last request one of whose writes was answered before its line was written.
_missing: ContextVar[str] = ContextVar("witness_missing", default="")


def after_commit(events: Sequence[ConsentEvent]) -> None:
    """If any of these stored events may have tightened, let the request wait for its line once they are committed.

    Commands and the worker don't wait: nobody takes their end for a confirmation.
    """
    if settings.WITNESS_SYNC and request_id.given():
        ids = [event.pk for event in events if event.product is not None and not quarantine.loosens(event)]
        if ids:
            transaction.on_commit(lambda: _wait(max(ids)))


def missing() -> bool:
    """Whether the current request answers before what it wrote is in the witness file."""
    return _missing.get() == request_id.given() != ""


def _wait(event_id: int) -> None:
    ends = time.monotonic() + SECONDS
    while not guard.quarantined():
        with connection.cursor() as cursor:
            cursor.execute(_WITNESSED, [event_id])
            row = cursor.fetchone()
        if row and row[0]:
            return
        if time.monotonic() >= ends:
            break
        time.sleep(_LOOK)
    _missing.set(request_id.given())
