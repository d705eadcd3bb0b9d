"""Organizations, members, subscriptions and choices as CSV or JSON Lines: streamed, so of any size."""

import csv
import datetime as dt
import io
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from django.db import models
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.formats import get_format

from accounts.fields import rfc3339
from accounts.models import Binding, Member, Organization, Subscription

from ..models import PrivacySetting
from .formulas import guarded

# CSV is for spreadsheets; PLAIN is CSV for programs: without byte order mark, always with commas.
CSV, PLAIN, JSON_LINES = "csv", "plain", "jsonl"
_MARK = "\ufeff"
_BATCH = 2_000
_OF_ORGANIZATION = {"organization": "organization_id", "organization_external_id": "organization__external_id"}


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


# The owner of a personal organization. A team may have several; they are in the table of members.
_OWNER = Member.objects.filter(organization=OuterRef("pk"), organization__kind="personal", role="owner").order_by("pk")
# What can be exported → the model, and its columns: name → field or expression.
TABLES: dict[str, tuple[type[models.Model], Mapping[str, Any]]] = {
    "organizations": (
        Organization,
        _same("id", "external_id", "name", "kind", "country", "status", "created_at", "changed_at")
        | {"owner_email": Coalesce(Subquery(_OWNER.values("user__email")[:1]), Value(""))},
    ),
    "members": (
        Member,
        {"id": "id", **_OF_ORGANIZATION, "external_id": "external_id", "email": "user__email", "name": "user__name"}
        | _same("role", "status", "joined_at", "left_at")
        | {"organization_status": "organization__status"},
    ),
    "subscriptions": (
        Subscription,
        {**_OF_ORGANIZATION, "product": "product", "plan": "plan_id"}
        | _same("started_at", "ended_at")
        | {"organization_status": "organization__status"},
    ),
    # The settings of organizations and of members.
    "choices": (
        PrivacySetting,
        {**_OF_ORGANIZATION, "member": "member_id", "member_external_id": "member__external_id"}
        | {"product": "product", "plan": "plan", "choice": "choice", "carried_over_from": "carry"}
        | {"locked": "locked", "closed": "closed", "allowed": "allowed", "reason": "reason_code"}
        | _same("since", "version", "changed_at"),
    ),
    # All bindings of external ids, of organizations and of members, also withdrawn ones; an erased id is ''.
    "external_ids": (
        Binding,
        {"external_id": "value", "organization": "organization_id", "member": "member_id"}
        | {"given_at": "recorded_at", "since": "since", "withdrawn_at": "withdrawn_at"},
    ),
}


class Out(Protocol):
    def write(self, text: str, /) -> object: ...


def write(what: str, out: Out, form: str, on_rows: Callable[[int], None] | None = None) -> int:
    """Write all rows of one of TABLES in order of id; returns how many. Call it in a `snapshot`, for one state of all.

    `form` is a key of WRITERS; `on_rows` is called now and then with the number of rows so far.
    """
    model, columns = TABLES[what]
    write_row = WRITERS[form](out, list(columns))
    done = 0
    rows = model._default_manager.order_by("pk").values_list(*columns.values())
    for row in rows.iterator(_BATCH):
        write_row([_serialize(value) for value in row])
        done += 1
        if on_rows and done % _BATCH == 0:
            on_rows(done)
    if on_rows:
        on_rows(done)
    return done


def _serialize(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return rfc3339(value)
    return str(value) if isinstance(value, uuid.UUID) else value


Put = Callable[[Sequence[Any]], None]


def csv_writer(out: Out, columns: list[str], separator: str = ",", mark: str = "") -> Put:
    """Write the header, and return a function that writes a row, guarded against formulas of spreadsheets."""
    header = io.StringIO(newline="")
    csv.writer(header, delimiter=separator).writerow(columns)
    out.write(mark + header.getvalue())
    writer = csv.writer(out, delimiter=separator)
    return lambda values: writer.writerow([_cell(value) for value in values])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return guarded("" if value is None else str(value))


def spreadsheet_writer(out: Out, columns: list[str]) -> Put:
    """Like `csv_writer`, but so that a spreadsheet in the reader's language opens it by a double click.

    It has a byte order mark, which says UTF-8, and semicolons in languages with decimal commas.
    """
    return csv_writer(out, columns, ";" if get_format("DECIMAL_SEPARATOR") == "," else ",", _MARK)


def json_writer(out: Out, columns: list[str]) -> Put:
    """Return a function that writes a row as one JSON object on a line."""

    def write_row(values: Sequence[Any]) -> None:
        out.write(json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False) + "\n")

    return write_row


WRITERS: dict[str, Callable[[Out, list[str]], Put]] = {
    CSV: spreadsheet_writer,
    PLAIN: csv_writer,
    JSON_LINES: json_writer,
}
