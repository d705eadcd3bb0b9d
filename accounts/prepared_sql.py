"""Raw SELECTs for the few queries on every decision's path: prepared statements, without the ORM and its cursors."""

import functools
from collections.abc import Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper


@functools.cache  # it never changes, and `django.db.connection` is a proxy
def vendor() -> str:
    """What Django calls the kind of database: `sqlite` or `postgresql`."""
    return connections[DEFAULT_DB_ALIAS].vendor


def fetch_prepared(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a SELECT. `sql` is one of few constant texts, because each is prepared; casts type its parameters.

    If the server has closed the connection, it is opened again and the SELECT repeated once, which saves a health
    check before each use. For that, `sql` must not write. Where queries are logged, and on PostgreSQL inside a
    transaction, an ordinary cursor runs it. Raises OperationalError where the connection still is open: then the
    statement or a lock timed out.
    """
    connection = connections[DEFAULT_DB_ALIAS]  # once, because each use of `django.db.connection` goes through a proxy
    on_server = connection.vendor == "postgresql"
    if connection.connection is None or connection.queries_logged or (on_server and connection.in_atomic_block):
        return _plainly(connection, sql, parameters)
    try:
        return connection.fetch_prepared(sql, parameters)  # type: ignore[attr-defined, no-any-return]  # of config's
    except OperationalError:
        if not on_server or not connection.connection.closed:
            raise
        connection.close()
        return _plainly(connection, sql, parameters)


def _plainly(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
