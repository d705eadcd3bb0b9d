"""Which column of the records is what: `organization=external:acct,member=usr,product=@le_chat`."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .errors import PipelineError

ORGANIZATION, MEMBER, PRODUCT = "organization", "member", "product"
DATA_KIND, COLLECTED_AT, ID = "data_kind", "collected_at", "id"
FIELDS = (ORGANIZATION, MEMBER, PRODUCT, DATA_KIND, COLLECTED_AT, ID)
OWNERS = ("consent_organization", "consent_member")  # whom a record belonged to when it was allowed
# However they are written: many engines find a column by any letters, and take the first.
OWNED = re.compile("|".join(OWNERS), re.IGNORECASE)
# Instants as text, as RFC 3339 has them, in expressions that RE2 and Java read alike. Engines read more, some of it by
# the day on which they do.
INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?"
ZONE = r"(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])"
UUID, EXTERNAL = "uuid", "external"
IDS = (UUID, EXTERNAL)


class Column(NamedTuple):
    """Where a field of the records is read: a column of this name, or one value for all of them (`name` None).

    `constant` None: the records have no such thing. `external`: its ids are the provider's own, not the portal's.
    """

    name: str | None
    constant: str | None = None
    external: bool = False
    said: bool = True  # somebody named it; else it is the column of the field's own name

    def __str__(self) -> str:
        if self.name is None:
            return f"@{self.constant or ''}"
        return f"external:{self.name}" if self.external else self.name


Columns = Mapping[str, Column]


def parse(given: str | Iterable[str] | Mapping[str, str] | None, ids: str = UUID) -> dict[str, Column]:
    """Every field with its column. A field that is not given is read from the column of its own name.

    `given`: texts like `organization=acct,product=@le_chat`, or the same as a mapping. A value that begins with `@` is
    a constant; `external:` or `uuid:` before a column says which ids it has, else `ids` does. Raises PipelineError.
    """
    if ids not in IDS:
        raise PipelineError(f"Ids are uuid or external, not “{ids}”.")
    said = dict(_pairs(given))
    if unknown := [field for field in said if field not in FIELDS]:
        raise PipelineError(f"Records have no “{unknown[0]}”: the columns are of {', '.join(FIELDS)}.")
    return {
        field: _column(field, said[field], ids) if field in said else _unsaid(field, ids)
        for field in FIELDS
    }  # fmt: skip


def _pairs(given: str | Iterable[str] | Mapping[str, str] | None) -> Iterable[tuple[str, str]]:
    if isinstance(given, Mapping):
        return list(given.items())
    texts = [given] if isinstance(given, str) else list(given or ())
    pairs: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",") if part.strip()):
        field, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise PipelineError(f"Columns are given like organization=acct,product=@le_chat, and not “{part.strip()}”.")
        if field in pairs:
            raise PipelineError(f"The column of {field} is given twice.")
        pairs[field] = value
    return list(pairs.items())


def _unsaid(field: str, ids: str) -> Column:
    return Column(field, external=ids == EXTERNAL and field in (ORGANIZATION, MEMBER), said=False)


def _column(field: str, text: str, ids: str) -> Column:
    if text.startswith("@"):
        if field == ID:
            raise PipelineError("The id of records is a column, not one value for all of them.")
        external = ids == EXTERNAL and field in (ORGANIZATION, MEMBER)
        return Column(None, text[1:] or None, external)
    kind, colon, name = text.partition(":")
    if not colon or kind not in IDS:
        kind, name = ids, text
    elif field not in (ORGANIZATION, MEMBER):
        raise PipelineError(f"Only organization and member have ids that are {kind}: {field}={text}.")
    if not name:
        raise PipelineError(f"The column of {field} has no name.")
    return Column(name, external=kind == EXTERNAL and field in (ORGANIZATION, MEMBER))
