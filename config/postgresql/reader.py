"""Runs the few SELECTs on every decision's path, one level below psycopg's cursors."""

import contextlib
import functools
import hashlib
import itertools
import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import generators, pq
from psycopg.adapt import Transformer
from psycopg.types.datetime import TimestamptzLoader

Parameters = Sequence[str | int | None]
Rows = list[tuple[Any, ...]]

# The statement was deallocated, by a pooler for example; or a migration has changed the type of one of its columns.
_OUTDATED = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.FeatureNotSupported)
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class Reader:
    """The prepared statements of one connection, outside of transactions."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection, self._pgconn = connection, connection.pgconn
        self._names: dict[str, bytes] = {}  # statement → its name on the server
        self._outdated = 0  # times that statements had to be prepared anew, under other names
        context = psycopg.Cursor(connection)
        # psycopg's own loader, which is in C; Django's is in Python.
        context.adapters.register_loader("timestamptz", TimestamptzLoader)
        # Kept, because a new one finds out anew how each column is converted.
        self._converter = Transformer(context)

    def fetch(self, sql: str, parameters: Parameters, *, prepared: bool = True) -> Rows:
        """The rows of a SELECT, in which casts type the parameters. Raises the errors of psycopg."""
        values = [None if value is None else _text(value) for value in parameters]
        try:
            return self._fetch(sql, values, prepared=prepared)
        except _OUTDATED:
            self._forget()
            return self._fetch(sql, values, prepared=prepared)

    def _fetch(self, sql: str, values: list[bytes | None], *, prepared: bool) -> Rows:
        self._send(sql, values, prepared=prepared)
        return self._loaded(self._result())

    def _send(self, sql: str, values: list[bytes | None], *, prepared: bool) -> None:
        if not prepared:
            self._pgconn.send_query_params(_numbered(sql), values)
            return
        name = self._names.get(sql)
        if name is None:
            # Named by what it says: behind a pooler that nobody told us of, another's of this name is the same.
            name = f"reader_{hashlib.sha256(sql.encode()).hexdigest()[:32]}_{self._outdated}".encode()
            self._pgconn.send_prepare(name, _numbered(sql))
            with contextlib.suppress(psycopg.errors.DuplicatePreparedStatement):
                self._result()
            self._names[sql] = name
        self._pgconn.send_query_prepared(name, values)

    def _forget(self) -> None:
        self._names.clear()
        self._outdated += 1

    def _result(self) -> Any:
        results = self._connection.wait(generators.execute(self._pgconn))
        for result in results:
            if result.status not in _GOOD:
                raise psycopg.errors.error_from_result(result)
        (result,) = results
        return result

    def _loaded(self, result: Any) -> Rows:
        self._converter.set_pgresult(result)
        try:
            return self._converter.load_rows(0, result.ntuples, tuple)
        finally:
            self._converter.set_pgresult(None)  # a batch's is large


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
