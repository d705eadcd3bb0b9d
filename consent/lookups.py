"""What questions are decided by, fetched in one statement for any number of them: one snapshot, index look-ups only.

SQLite takes the questions as one JSON array, PostgreSQL as one array per column; all else is the same text. Without an
`at` the settings answer (R7: "now" is the current state); with one, for each layer the last event at or before it.
"""

import dataclasses
import datetime as dt
import json
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import connection

from accounts.access import split_ident
from accounts.catalogue import Product
from accounts.fields import from_micros, to_micros

from .models import STATE_FIELDS
from .rules import MEMBER_START, Membership, Reason, State
from .surfaces import MEMBER_SURFACES

if TYPE_CHECKING:
    from .decisions import Question


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What is known for one question; `owner_meant`: a personal organization's, where no member was named."""

    organization_id: uuid.UUID | None = None
    name: str = ""
    created_at: dt.datetime | None = None
    organization: State = State()
    event: int | None = None
    chosen_at: dt.datetime | None = None
    personal: bool = False
    owner_meant: bool = False
    membership: Membership | None = None
    member: State = MEMBER_START
    member_event: int | None = None


# name → PostgreSQL type of the columns that a question becomes.
_COLUMNS = {
    "n": "int",
    "organization_id": "uuid",
    "organization_external": "text",
    "member_id": "uuid",
    "member_external": "text",
    "owner_meant": "bool",
    "product": "text",
    "at": "bigint",
}
_FROM_JSON = (
    "(SELECT "
    + ", ".join(f"json_extract(value, '$[{n}]') AS {name}" for n, name in enumerate(_COLUMNS))
    + " FROM json_each(%s)) AS q"
)
_FROM_ARRAYS = "unnest(" + ", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values()) + f") AS q({', '.join(_COLUMNS)})"

# Of the current row and the event as of an instant at most one is there.
_STATE = ", ".join(f"COALESCE(s.{name}, e.{name})" for name in STATE_FIELDS)
_MEMBER_STATE = ("choice", "allowed", "reason_code", "since")


def _last_event(alias: str, condition: str) -> str:
    return f"""LEFT JOIN consent_consentevent AS {alias} ON {alias}.id = (
    SELECT x.id FROM consent_consentevent AS x
    WHERE {condition} AND x.recorded_at <= q.at ORDER BY x.recorded_at DESC LIMIT 1)"""


_OF_MEMBERSHIP = "'member.joined', 'member.left', 'since.attested'"
# A personal organization has one member, its owner: then, whoever was there then.
_KIND = """CASE WHEN q.at IS NULL THEN o.kind ELSE (
    SELECT x.after FROM consent_consentevent AS x
    WHERE x.organization_id = o.id AND x.product = '' AND x.member_id IS NULL
      AND x.kind IN ('organization.created', 'organization.kind_changed') AND x.recorded_at <= q.at
    ORDER BY x.recorded_at DESC LIMIT 1) END"""
_SELECT = f"""
SELECT q.n, {{now}}, o.id, o.name, o.status = 'closed' AND q.at IS NULL, o.created_at, o.kind = 'personal', {_STATE},
    COALESCE(s.last_event_id, e.id), c.recorded_at, q.owner_meant AND {_KIND} = 'personal',
    m.id, CASE WHEN q.at IS NULL THEN m.joined_at ELSE j.since END,
    CASE WHEN q.at IS NULL THEN m.left_at WHEN j.kind = 'member.left' THEN j.recorded_at END,
    {", ".join(f"COALESCE(ms.{name}, me.{name})" for name in _MEMBER_STATE)}, COALESCE(ms.last_event_id, me.id)
FROM {{questions}}
LEFT JOIN accounts_organization AS o ON o.id = COALESCE(q.organization_id, (
    SELECT x.id FROM accounts_organization AS x WHERE x.external_id = q.organization_external))
LEFT JOIN consent_privacysetting AS s
    ON s.organization_id = o.id AND s.product = q.product AND s.member_id IS NULL AND q.at IS NULL
{_last_event("e", "x.organization_id = o.id AND x.product = q.product AND x.member_id IS NULL")}
LEFT JOIN consent_consentevent AS c ON c.id = COALESCE(s.choice_event_id, (
    SELECT x.id FROM consent_consentevent AS x
    WHERE x.organization_id = o.id AND x.product = q.product AND x.member_id IS NULL AND x.kind LIKE 'choice.%%'
      AND x.recorded_at <= q.at ORDER BY x.recorded_at DESC LIMIT 1))
LEFT JOIN accounts_member AS m ON m.organization_id = o.id AND m.id = COALESCE(q.member_id, (
    SELECT x.id FROM accounts_member AS x WHERE x.organization_id = o.id AND x.external_id = q.member_external), (
    SELECT x.id FROM accounts_member AS x
    WHERE q.owner_meant AND q.at IS NULL AND o.kind = 'personal' AND x.organization_id = o.id
      AND x.role = 'owner' AND x.status = 'active' LIMIT 1), (
    SELECT x.member_id FROM consent_consentevent AS x
    WHERE q.owner_meant AND {_KIND} = 'personal' AND x.organization_id = o.id AND x.kind = 'member.joined'
      AND x.recorded_at <= q.at AND NOT EXISTS (
        SELECT 1 FROM consent_consentevent AS y
        WHERE y.member_id = x.member_id AND y.product = '' AND y.kind = 'member.left'
          AND y.recorded_at > x.recorded_at AND y.recorded_at <= q.at)
    ORDER BY x.id DESC LIMIT 1))
{_last_event("j", f"x.member_id = m.id AND x.product = '' AND x.kind IN ({_OF_MEMBERSHIP})")}
LEFT JOIN consent_privacysetting AS ms ON ms.member_id = m.id AND ms.product = q.product AND q.at IS NULL
{_last_event("me", "x.member_id = m.id AND x.product = q.product AND x.product <> ''")}
ORDER BY q.n"""
_NOW = {"sqlite": "NULL", "postgresql": "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"}
_SQL = {
    "sqlite": _SELECT.format(now=_NOW["sqlite"], questions=_FROM_JSON),
    "postgresql": _SELECT.format(now=_NOW["postgresql"], questions=_FROM_ARRAYS),
}
_WITH_MEMBERS = frozenset(surface.product.value for surface in MEMBER_SURFACES)


def fetch(questions: Sequence["Question"]) -> tuple[list[Row], dt.datetime]:
    """A row for each question, in their order, and the instant of asking."""
    if not questions:
        return [], dt.datetime.now(dt.UTC)
    items = [_item(n, question) for n, question in enumerate(questions)]
    if connection.vendor == "sqlite":
        # Ids are kept as bare hex there.
        parameters: list[Any] = [
            json.dumps([[v.hex if isinstance(v, uuid.UUID) else v for v in item] for item in items])
        ]
    else:
        parameters = [list(column) for column in zip(*items, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_SQL[connection.vendor], parameters)
        rows = cursor.fetchall()
    now = from_micros(max(row[1] for row in rows)) if rows[0][1] is not None else dt.datetime.now(dt.UTC)
    return [_row(row) for row in rows], now


def _item(n: int, question: "Question") -> tuple[Any, ...]:
    organization_id, organization_external = split_ident(question.organization)
    member_id, member_external = split_ident(question.member)
    return (
        n,
        organization_id,
        organization_external,
        member_id,
        member_external,
        question.member is None and question.product in _WITH_MEMBERS,
        question.product if question.product in Product.values else "",
        None if question.at is None else to_micros(question.at),
    )


def _row(row: Sequence[Any]) -> Row:
    _n, _now, organization_id, name, closed, created_at, personal = row[:7]
    if organization_id is None:
        return Row()
    end = 7 + len(STATE_FIELDS)
    # A product that came into the catalogue after the account was closed has no row of its own yet.
    start = State(closed=True, reason_code=Reason.ORGANIZATION_CLOSED) if closed else State()
    event, chosen_at, owner_meant, member_id, joined_at, left_at = row[end : end + 6]
    return Row(
        organization_id=organization_id if isinstance(organization_id, uuid.UUID) else uuid.UUID(organization_id),
        name=name,
        created_at=from_micros(created_at),
        organization=_state(dict(zip(STATE_FIELDS, row[7:end], strict=True)), start),
        event=event,
        chosen_at=_instant(chosen_at),
        personal=bool(personal),
        owner_meant=bool(owner_meant),
        membership=None if member_id is None or joined_at is None else _membership(joined_at, left_at),
        member=_state(dict(zip(_MEMBER_STATE, row[end + 6 : -1], strict=True)), MEMBER_START),
        member_event=row[-1],
    )


def _membership(joined_at: int, left_at: int | None) -> Membership:
    return Membership(from_micros(joined_at), _instant(left_at))


def _state(values: dict[str, Any], start: State) -> State:
    """The state that these columns say, `start` where there is none."""
    if values["choice"] is None:
        return start
    flags = {name: bool(values[name]) for name in ("subscribed", "locked", "closed", "allowed") if name in values}
    changes: dict[str, Any] = values | flags | {"since": _instant(values["since"])}
    return dataclasses.replace(start, **changes)


def _instant(micros: int | None) -> dt.datetime | None:
    return None if micros is None else from_micros(micros)
