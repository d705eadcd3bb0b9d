"""The ledger as a witness sees it: its events in order of position, chained to a hash that is the same everywhere."""

import functools
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.db import connection, models

from ..models import ConsentEvent
from ..proofs.witness import Change, chained, event_text

# The names in a chained event are those of the columns: a column that is renamed must keep its old name here, or no
# earlier line of a witness file would fit any more.
_FIELDS = list(ConsentEvent._meta.local_concrete_fields)
_COLUMNS = [str(field.column) for field in _FIELDS]
_ROWS = f"""
SELECT p.position, {", ".join(f"e.{column}" for column in _COLUMNS)}
FROM consent_eventposition AS p JOIN consent_consentevent AS e ON e.id = p.event_id
WHERE p.position > %s AND p.position <= %s ORDER BY p.position"""


class Witnessed(NamedTuple):
    """An event as it is chained, what it said, and its instant in microseconds since 1970 UTC."""

    text: bytes
    change: Change
    recorded_at: int


def events(after: int, until: int) -> Iterator[Witnessed]:
    """The events with positions beyond `after` up to `until`, in order; fewer where the ledger ends earlier."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(_ROWS, [after, until])
        while rows := cursor.fetchmany(1_000):
            for row in rows:
                yield witnessed(*row)


def hash_at(position: int, after: int, previous: str) -> str | None:
    """The hash at a position, from that at an earlier one; None if the ledger ends before the position."""
    texts = [event.text for event in events(after, position)]
    return chained(previous, texts) if len(texts) == position - after else None


def witnessed(position: int, *row: Any) -> Witnessed:
    plain = {
        column: value if read is None or value is None else read(value)
        for column, read, value in zip(_COLUMNS, _readings(), row, strict=True)
    }
    change = Change(
        position,
        plain["kind"],
        _dashed(plain["organization_id"]),
        _dashed(plain["member_id"]),
        plain["product"],
        plain["allowed"],
    )
    return Witnessed(event_text({"position": position, **plain}), change, plain["recorded_at"])


def _dashed(text: str | None) -> str:
    return str(uuid.UUID(text)) if text else ""


@functools.cache
def _readings() -> list[Callable[[Any], Any] | None]:
    """For each column, what makes its value the same from both databases."""
    return [_reading(field) for field in _FIELDS]


def _reading(field: "models.Field[Any, Any]") -> Callable[[Any], Any] | None:
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(target, models.UUIDField):
        return lambda value: value.hex if isinstance(value, uuid.UUID) else value
    return bool if isinstance(target, models.BooleanField) else None
