"""The one source of instants: the database's clock on PostgreSQL, this machine's on SQLite."""

import datetime as dt
from contextvars import ContextVar

from django.db import connection

# Set by the ledger's `history_clock` alone, for the demo.
travelled: ContextVar[dt.datetime | None] = ContextVar("clock", default=None)


def now() -> dt.datetime:
    return travelled.get() or database_now()


def database_now() -> dt.datetime:
    if connection.vendor == "sqlite":
        return dt.datetime.now(dt.UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (instant,) = cursor.fetchone()
    return instant.astimezone(dt.UTC)  # type: ignore[no-any-return]
