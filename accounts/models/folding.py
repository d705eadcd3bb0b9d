"""`names.folded` within a query, for the few rows of one organization: no index serves it."""

from typing import Any

from django.db.backends.signals import connection_created
from django.db.models import Func, TextField

from .. import names

_SQLITE = "portal_folded"
# Each of two letters at least, so that `translate` can't do it.
_PAIRS = (("ß", "ss"), ("æ", "ae"), ("œ", "oe"), ("þ", "th"))
# Latin, Greek and Cyrillic accents. The rest of what Python folds is seldom in names, and only makes a search stricter.
_PLAIN = (
    r"lower(translate(regexp_replace(normalize(%(expressions)s, NFKD), '[\u0300-\u036f]', '', 'g'), "
    "'ØøŁłĐđÐðı', 'oollddddi'))"
)


class Folded(Func):
    """The text without case and accents."""

    arity = 1
    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function=_SQLITE, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = _PLAIN
        for pair, plain in _PAIRS:
            template = f"replace({template}, '{pair}', '{plain}')"
        return self.as_sql(compiler, connection, template=template, **context)


def teach(connection: Any, **_signal: Any) -> None:
    """Give a new connection of SQLite the function."""
    if connection.vendor == "sqlite":
        connection.connection.create_function(_SQLITE, 1, _folded, deterministic=True)


def _folded(text: str | None) -> str | None:
    return None if text is None else names.folded(text)


connection_created.connect(teach, dispatch_uid="accounts.folding")
