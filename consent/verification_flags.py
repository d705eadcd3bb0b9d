"""Flags as the database holds them. SQLite keeps any value in such a column, and 2 is true to its statements but false
to Django: who owns the file could have the same row read both ways."""

from collections.abc import Iterator

from django.apps import apps
from django.db import connection, models

SHOWN = 10  # rows named per table


def problems() -> list[str]:
    """A line for each row with a flag that is neither 0 nor 1. PostgreSQL has no others."""
    return list(_odd()) if connection.vendor == "sqlite" else []


def _odd() -> Iterator[str]:
    quote = connection.ops.quote_name
    for model in apps.get_models():
        flags = [
            str(field.column) for field in model._meta.local_concrete_fields if isinstance(field, models.BooleanField)
        ]
        if not flags or not model._meta.managed:
            continue
        table, pk = model._meta.db_table, str(model._meta.pk.column)
        odd = " OR ".join(
            f"({quote(each)} NOTNULL AND {quote(each)} IS NOT 0 AND {quote(each)} IS NOT 1)" for each in flags
        )
        with connection.cursor() as cursor:
            # Only names of tables and columns are put into it.
            cursor.execute(f"SELECT {quote(pk)} FROM {quote(table)} WHERE {odd} ORDER BY 1 LIMIT {SHOWN}")  # noqa: S608
            yield from (
                f"{model._meta.verbose_name} {found} has a flag that is neither true nor false"
                for (found,) in cursor.fetchall()
            )
