"""The one source of instants: the database server's clock on PostgreSQL, this machine's clock on SQLite."""

import datetime as dt
from contextvars import ContextVar

from django.db import connection

# A past instant to use instead of now. Only the ledger's `history_clock` sets it, to build the demo's history.
travelled: ContextVar[dt.datetime | None] = ContextVar("clock", default=None)


def now() -> dt.datetime:
    return travelled.get() or database_now()


def database_now() -> dt.datetime:
    if connection.vendor == "sqlite":
        return dt.datetime.now(dt.UTC)
    with connection.cursor() as cursor:
        # Not now(), which stays at the start of the transaction.
        cursor.execute("SELECT clock_timestamp()")
        (instant,) = cursor.fetchone()
    return instant.astimezone(dt.UTC)  # type: ignore[no-any-return]
