"""Fetches the facts that decide questions, by one statement for any number of questions, so from one snapshot.

Without `at` they come from the settings (R7: "now" is the current state); with `at`, from the last event of each layer
at or before it.
"""

import dataclasses
import datetime as dt
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from accounts import prepared_sql
from accounts.catalogue import Product
from accounts.fields import from_micros, from_raw_flag, from_raw_id, hex_id, split_text, to_micros

from .lookup_sql import STATEMENTS
from .rules import MEMBER_START, NO_COOLING_OFF, Membership, Reason, Standing, State
from .surfaces import WITH_MEMBERS

_PRODUCTS = frozenset(Product.values)
_UNSUBSCRIBED = Standing(False, Reason.NO_SUBSCRIPTION, None)
_CLOSED = Standing(False, Reason.ORGANIZATION_CLOSED, None)


@dataclasses.dataclass(slots=True)  # not frozen, which would make it slower to make; nothing changes one
class Question:
    """May this data be used? Ids are strings (also `external:` ones), instants are aware, `at` None means now."""

    organization: str
    product: str
    member: str | None = None
    data_kind: str | None = None
    collected_at: dt.datetime | None = None
    at: dt.datetime | None = None


class Row(NamedTuple):
    """The facts for one question, as the statements select them; instants in microseconds.

    `alone`: the organization is personal and never had a second member. `owner_meant`: it is personal and the question
    names no member, so its owner is meant. `days`: the product's cooling-off; None if it never had any.
    """

    n: int
    now: int | None
    organization_id: uuid.UUID | None
    name: str
    closed: bool
    created_at: int
    alone: bool
    days: int | None
    allowed: bool | None
    reason_code: str
    since: int | None
    event: int | None
    chosen_at: int | None
    owner_meant: bool
    member_id: uuid.UUID | None
    member_user_id: uuid.UUID | None
    joined_at: int | None
    left_at: int | None
    member_allowed: bool | None
    member_reason: str
    member_since: int | None
    member_event: int | None
    # If asked by external ids: since when each may be used in questions (R16), and the event that gave it.
    named_since: int | None
    named_event: int | None
    member_named_since: int | None
    member_named_event: int | None

    def named(self) -> dt.datetime | None:
        """Since when all external ids of the question may be used in questions; None if it has none."""
        if self.named_since is None and self.member_named_since is None:
            return None  # as for most
        return instant(max(filter(None, (self.named_since, self.member_named_since)), default=None))

    def naming_event(self) -> int | None:
        """The event that gave the later of the question's external ids."""
        later = (self.member_named_since or 0) > (self.named_since or 0)
        return self.member_named_event if later else self.named_event

    def cooling_off(self) -> dt.timedelta:
        return dt.timedelta(self.days) if self.days else NO_COOLING_OFF

    def organization(self) -> Standing:
        if self.allowed is None:
            # No setting: a product that was added to the catalogue after the account was closed has none yet.
            return _CLOSED if self.closed else _UNSUBSCRIBED
        return Standing(from_raw_flag(self.allowed), self.reason_code, instant(self.since))

    def member(self) -> Standing | State:
        if self.member_allowed is None:
            return MEMBER_START
        return Standing(from_raw_flag(self.member_allowed), self.member_reason, instant(self.member_since))

    def membership(self) -> Membership | None:
        if self.member_id is None or self.joined_at is None:
            return None
        return Membership(from_micros(self.joined_at), instant(self.left_at))


def instant(micros: int | None) -> dt.datetime | None:
    return None if micros is None else from_micros(micros)


def fetch(questions: Sequence[Question]) -> tuple[list[Row], dt.datetime]:
    """A row for each question, in the same order, and the instant of asking."""
    if not questions:
        return [], dt.datetime.now(dt.UTC)
    # The statement for a single question is cheaper to plan.
    if len(questions) == 1:
        row, now, _key = fetch_one(questions[0])
        return [row], now
    vendor = prepared_sql.vendor()
    items = [asked_of(vendor, n, question) for n, question in enumerate(questions)]
    as_of = any(question.at is not None for question in questions)
    # PostgreSQL takes one array per column.
    parameters = [json.dumps(items)] if vendor == "sqlite" else list(map(array_text, zip(*items, strict=True)))
    rows = list(map(Row._make, prepared_sql.fetch_prepared(STATEMENTS[vendor, False, as_of], parameters)))
    if vendor == "sqlite":
        rows = list(map(_with_ids, rows))
    return rows, _instant_of_asking(max(row.now or 0 for row in rows))


def array_text(values: Iterable[int | str | None]) -> str:
    """The text of an array of PostgreSQL, which psycopg would make of a list more slowly."""
    return "{" + ",".join(["NULL" if value is None else _element(value) for value in values]) + "}"


def _element(value: int | str) -> str:
    if isinstance(value, int):  # a flag too
        return str(value)
    if '"' in value or "\\" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def fetch_one(question: Question, prefix: str | None = None) -> tuple[Row, dt.datetime, tuple[Any, ...]]:
    """The row of one question, the instant of asking, and the columns of the API key with this prefix, or Nones."""
    vendor = prepared_sql.vendor()
    item = asked_of(vendor, 0, question)
    (found,) = prepared_sql.fetch_prepared(STATEMENTS[vendor, True, question.at is not None], [*item, prefix])
    row = Row._make(found[: len(Row._fields)])
    if vendor == "sqlite":
        row = _with_ids(row)
    return row, _instant_of_asking(row.now or 0), found[len(Row._fields) :]


def _instant_of_asking(micros: int) -> dt.datetime:
    """From the database's clock in microseconds; SQLite has none (0), so there it is this machine's."""
    return from_micros(micros) if micros else dt.datetime.now(dt.UTC)


def _with_ids(row: Row) -> Row:
    """The row with UUIDs, which SQLite stores as text."""
    return row._replace(organization_id=_id(row.organization_id), member_user_id=_id(row.member_user_id))


def _id(text: uuid.UUID | str | None) -> uuid.UUID | None:
    return None if text is None else from_raw_id(text)


def asked_of(vendor: str, n: int, question: Question) -> tuple[Any, ...]:
    """A question as parameters of the statements, in the order of `lookup_sql.COLUMNS`.

    Raises ValueError if one of its instants has no time zone.
    """
    if question.collected_at is not None and question.collected_at.tzinfo is None:
        raise ValueError("an instant needs a time zone")  # as `to_micros` says of `at`
    organization, organization_external = split_text(question.organization)
    member, member_external = split_text(question.member)
    if vendor == "sqlite":
        organization, member = organization and hex_id(organization), member and hex_id(member)
    return (
        n,
        organization,
        organization_external,
        member,
        member_external,
        question.member is None and question.product in WITH_MEMBERS,
        question.product if question.product in _PRODUCTS else "",
        None if question.at is None else to_micros(question.at),
    )
