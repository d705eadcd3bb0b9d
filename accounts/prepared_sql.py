"""The few queries that every decision asks: past the ORM, prepared once per connection on PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

try:
    import psycopg
except ImportError:  # an installation on SQLite alone
    psycopg = None  # type: ignore[assignment]


def fetch_prepared(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a SELECT, which must not write; `sql` is one of few texts, its parameters typed by casts.

    A connection that the server has closed meanwhile is opened again, once: instead of the question "are you there?"
    before each use. Within a transaction that is not possible, nor where somebody looks at the queries. One that is
    still open has answered: the statement took too long, or waited for a lock too long.
    """
    connection = connections[DEFAULT_DB_ALIAS]  # not through the proxy at each use
    ours = connection.vendor == "postgresql" and not connection.queries_logged
    if not ours or connection.connection is None or connection.in_atomic_block:
        return _plainly(connection, sql, parameters)
    try:
        connection.apply_limits()  # type: ignore[attr-defined]  # config.postgresql's
        with connection.wrap_database_errors:
            cursor = psycopg.Cursor(connection.connection)
            return cursor.execute(sql, parameters, prepare=settings.PREPARED_STATEMENTS).fetchall()
    except OperationalError:
        if not connection.connection.closed:
            raise
        connection.close()
        return _plainly(connection, sql, parameters)


def _plainly(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
