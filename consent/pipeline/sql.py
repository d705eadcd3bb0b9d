"""Spelling of values and names in the statements of DuckDB."""

from collections.abc import Iterable


def text(value: str | None) -> str:
    """A text, or NULL."""
    return "NULL::VARCHAR" if value is None else "'{}'".format(value.replace("'", "''"))


def texts(values: Iterable[str | None]) -> str:
    """A list of texts."""
    return "[{}]::VARCHAR[]".format(", ".join(map(text, values)))


def name(column: str) -> str:
    """The name of a column."""
    return '"{}"'.format(column.replace('"', '""'))
