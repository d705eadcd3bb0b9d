"""Spelling of values and names in the statements of DuckDB."""

import re
from collections.abc import Iterable
from pathlib import Path

_MAGIC = re.compile(r"[*?[]")


def text(value: str | None) -> str:
    """A text, or NULL."""
    return "NULL::VARCHAR" if value is None else "'{}'".format(value.replace("'", "''"))


def texts(values: Iterable[str | None]) -> str:
    """A list of texts."""
    return "[{}]::VARCHAR[]".format(", ".join(map(text, values)))


def files(paths: Iterable[str | Path]) -> str:
    """A list of files. DuckDB takes a path for a pattern: one with brackets would be another file, or several."""
    return texts(_MAGIC.sub(r"[\g<0>]", str(Path(path).absolute())) for path in paths)


def name(column: str) -> str:
    """The name of a column."""
    return '"{}"'.format(column.replace('"', '""'))
