"""Raw SELECTs for the few queries on every decision's path: without the ORM, as prepared statements on PostgreSQL."""

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
    """The rows of a SELECT. `sql` is one of few constant texts, because each is prepared; casts type its parameters.

    If the server has closed the connection, it is opened again and the SELECT repeated once, which saves a health
    check before each use. For that, `sql` must not write. Inside a transaction, or where queries are logged, an
    ordinary cursor runs it. Raises OperationalError where the connection still is open: then the statement or a lock
    timed out.
    """
    connection = connections[DEFAULT_DB_ALIAS]  # once, because each use of `django.db.connection` goes through a proxy
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
