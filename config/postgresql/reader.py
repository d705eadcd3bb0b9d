"""Runs the few SELECTs on every decision's path, one level below psycopg's cursors: in half of their time."""

import functools
import itertools
import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import generators, pq
from psycopg.adapt import Transformer
from psycopg.types.datetime import TimestamptzLoader

# The statement was deallocated, by a pooler for example; or a migration has changed the type of one of its columns.
_OUTDATED = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.FeatureNotSupported)


class Reader:
    """The prepared statements of one connection, outside of transactions."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection, self._pgconn = connection, connection.pgconn
        self._names: dict[str, bytes] = {}  # statement → its name on the server
        self._numbers = itertools.count()
        context = psycopg.Cursor(connection)
        # psycopg's own loader, in C: Django's, in Python, takes 10 µs for each value.
        context.adapters.register_loader("timestamptz", TimestamptzLoader)
        # Kept, because a new one finds out anew how each column is converted.
        self._converter = Transformer(context)

    def fetch(
        self, sql: str, parameters: Sequence[str | int | None], *, prepared: bool = True
    ) -> list[tuple[Any, ...]]:
        """The rows of a SELECT, in which casts type the parameters. Raises the errors of psycopg."""
        values = [None if value is None else _text(value) for value in parameters]
        with self._connection.lock:
            if not prepared:
                self._pgconn.send_query_params(_numbered(sql), values)
                return self._rows()
            try:
                return self._fetch_prepared(sql, values)
            except _OUTDATED:
                self._names.clear()
                return self._fetch_prepared(sql, values)

    def _fetch_prepared(self, sql: str, values: list[bytes | None]) -> list[tuple[Any, ...]]:
        name = self._names.get(sql)
        if name is None:
            name = f"reader_{next(self._numbers)}".encode()
            self._pgconn.send_prepare(name, _numbered(sql))
            self._result()
            self._names[sql] = name
        self._pgconn.send_query_prepared(name, values)
        return self._rows()

    def _rows(self) -> list[tuple[Any, ...]]:
        result = self._result()
        self._converter.set_pgresult(result)
        try:
            return self._converter.load_rows(0, result.ntuples, tuple)
        finally:
            self._converter.set_pgresult(None)  # a batch's is large

    def _result(self) -> Any:
        results = self._connection.wait(generators.execute(self._pgconn))
        for result in results:
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise psycopg.errors.error_from_result(result)
        (result,) = results
        return result


def _text(value: str | int) -> bytes:
    text = str(value).encode()
    if b"\0" in text:  # libpq would take it for the end
        raise psycopg.DataError("a text of PostgreSQL can't contain NUL")
    return text


@functools.cache  # of few constant texts
def _numbered(sql: str) -> bytes:
    """The statement with the parameters of the server, `$1`, instead of `%s`."""
    numbers = itertools.count(1)
    return re.sub("%[s%]", lambda found: f"${next(numbers)}" if found[0] == "%s" else "%", sql).encode()
