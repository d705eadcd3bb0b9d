"""What a function writes into an empty database, recorded once and written again wherever a test wants it.

Making people and organizations through the services runs sixty statements; writing the rows that came of it takes one
per table. The rows go into the transaction of the test that asks for them, so that a test that doesn't ask sees an
empty database, and whatever undoes a test's own rows undoes these. It is the same for tests that commit.
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
    """`load` writes the rows and gives what the function returned: fresh objects each time, of the test's own."""

    def __init__(self, make: Callable[[], Value]) -> None:
        """Runs `make` and takes back what it did. Raises AssertionError if that was more than adding rows."""
        with transaction.atomic():
            before = _rows()
            self._value = pickle.dumps(make())
            after = _rows()
            placed = _placed_events()
            transaction.set_rollback(True)
        assert all(set(before[table]) <= set(after[table]) for table in before), "a recording only adds rows"
        added = {table: [row for row in after[table] if row not in before[table]] for table in after}
        self._statements = [
            f"INSERT INTO {table} ({', '.join(_columns(table))}) VALUES {', '.join(rows)}"
            for table, rows in added.items()
            if rows and table != triggers.PENDING  # which a trigger fills, with each event
        ]
        if placed:
            self._statements.append(f"DELETE FROM {triggers.PENDING} WHERE event_id IN ({', '.join(placed)})")

    def load(self) -> Value:
        with connection.cursor() as cursor:
            for statement in self._batches():
                cursor.execute(statement)
        value: Value = pickle.loads(self._value)  # noqa: S301  pickled above
        return value

    def _batches(self) -> Iterator[str]:
        """PostgreSQL takes all statements in one go; SQLite knows no round trips."""
        if connection.vendor == "postgresql":
            yield "; ".join(self._statements)
        else:
            yield from self._statements


def _placed_events() -> list[str]:
    """The ids of those that wait for no position any more."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {triggers.LEDGER} WHERE id NOT IN (SELECT event_id FROM {triggers.PENDING})")
        return [str(found) for (found,) in cursor.fetchall()]


def _columns(table: str) -> list[str]:
    with connection.cursor() as cursor:
        description = connection.introspection.get_table_description(cursor, table)
    return [connection.ops.quote_name(column.name) for column in description]


def _rows() -> Rows:
    """Every row of every table, in the spelling of the database itself, which reads it back without a loss."""
    literal = "quote({})" if connection.vendor == "sqlite" else "quote_nullable({}::text)"
    found = {}
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.django_table_names(only_existing=True)):
            fields = ", ".join(literal.format(column) for column in _columns(table))
            cursor.execute(f"SELECT {fields} FROM {table}")
            found[table] = [f"({', '.join(row)})" for row in cursor.fetchall()]
    return found
