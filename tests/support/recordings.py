"""Records the rows that a function writes into an empty database once, and loads them in each test that needs them.

Creating people and organizations through the services takes sixty statements, loading their rows one for each table.
The rows are written in the transaction of the test that asks for them: other tests see an empty database, and the rows
are undone together with the test's own. This also works for tests that commit.
"""

import pickle
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from django.db import connection, transaction

from consent import triggers

Value = TypeVar("Value")
Recorded = Callable[[Callable[[], Value]], "Recording[Value]"]
Rows = dict[str, list[str]]  # table → its rows, each as a list of SQL literals in parentheses


class Recording(Generic[Value]):
    """`load` writes the rows and returns what the function returned, as new objects for each test."""

    def __init__(self, make: Callable[[], Value]) -> None:
        """Run `make` and roll it back. It may add rows, and write a table that `migrate` has filled anew."""
        with transaction.atomic():
            before = _rows()
            self._value = pickle.dumps(make())
            after = _rows()
            placed = _placed_events()
            transaction.set_rollback(True)
        anew = [table for table in before if not set(before[table]) <= set(after[table])]
        known = {table: set() if table in anew else set(rows) for table, rows in before.items()}
        added = {table: [row for row in after[table] if row not in known[table]] for table in after}
        self._statements = [f"DELETE FROM {table}" for table in anew]
        self._statements += [
            f"INSERT INTO {table} ({', '.join(_columns(table))}) VALUES {', '.join(rows)}"
            for table, rows in added.items()
            if rows and table != triggers.PENDING  # which a trigger fills, with each event
        ]
        if connection.vendor == "postgresql":
            self._statements += [each for table, rows in added.items() if rows for each in _past_sequences(table)]
        if placed:
            self._statements.append(f"DELETE FROM {triggers.PENDING} WHERE event_id IN ({', '.join(placed)})")

    def load(self) -> Value:
        # Foreign keys are checked at the end of a transaction, and rows may come before those that they point to.
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in self._batches():
                cursor.execute(statement)
        value: Value = pickle.loads(self._value)  # noqa: S301  pickled above
        return value

    def _batches(self) -> Iterator[str]:
        """All statements at once for PostgreSQL, to save round trips; one by one for SQLite, which has none."""
        if connection.vendor == "postgresql":
            yield "; ".join(self._statements)
        else:
            yield from self._statements


def _placed_events() -> list[str]:
    """The ids of the events that have a position."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {triggers.LEDGER} WHERE id NOT IN (SELECT event_id FROM {triggers.PENDING})")
        return [str(found) for (found,) in cursor.fetchall()]


def _past_sequences(table: str) -> Iterator[str]:
    """Statements that give later rows later ids: a sequence counts no id that was written, and a test may reset it."""
    with connection.cursor() as cursor:
        for each in connection.introspection.get_sequences(cursor, table):
            column, name = connection.ops.quote_name(each["column"]), each["name"]
            highest = f"(SELECT MAX({column}) FROM {table})"
            yield f"SELECT setval('{name}', GREATEST({highest}, (SELECT last_value FROM {name})))"


def _columns(table: str) -> list[str]:
    with connection.cursor() as cursor:
        # Not `introspection.get_table_description`: for SQLite that parses the table's statement, for a second in all.
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        return [connection.ops.quote_name(column[0]) for column in cursor.description]


def _rows() -> Rows:
    """Every row of every table as SQL literals made by the database itself, so that nothing is lost."""
    literal = "quote({})" if connection.vendor == "sqlite" else "quote_nullable({}::text)"
    found = {}
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.django_table_names(only_existing=True)):
            fields = ", ".join(literal.format(column) for column in _columns(table))
            cursor.execute(f"SELECT {fields} FROM {table}")
            found[table] = [f"({', '.join(row)})" for row in cursor.fetchall()]
    return found
