"""Snapshots of plain Python rows, written as the portal writes its own: for tests that need no database."""

import base64
import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from consent.pipeline import dsse, schema, writing

SIGNING_KEY = base64.b64encode(bytes(range(32))).decode()
KEY = dsse.signing_key(SIGNING_KEY)
VERIFY_KEY = dsse.public_text(KEY)
OTHER_KEY = dsse.signing_key(base64.b64encode(bytes(32)).decode())
ORIGIN = "https://portal.example"

# The portal's products; a test compares.
CATALOGUE = {
    "le_chat": schema.Product(("conversation", "document", "output", "other"), members=True),
    "ai_studio": schema.Product(("api_input", "api_output", "document", "related"), members=False),
}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NOON = int(dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC).timestamp()) * 1_000_000

Row = Mapping[str, Any]


def batch(rows: Sequence[Row], columns: pa.Schema) -> pa.RecordBatch:
    """The rows as Arrow; what a row does not name is null. UUIDs are `uuid.UUID`, instants microseconds."""
    arrays = []
    for field in columns:
        values = [row.get(field.name) for row in rows]
        if field.type == pa.uuid():
            raw = pa.array([None if value is None else value.bytes for value in values], pa.binary(16))
            arrays.append(pa.ExtensionArray.from_storage(pa.uuid(), raw))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def write(
    directory: Path,
    *,
    organizations: Iterable[Row] = (),
    members: Iterable[Row] = (),
    external_ids: Iterable[Row] = (),
    position: int = 1,
    decided_at: int = NOON,
    catalogue: schema.Catalogue = CATALOGUE,
    key: Any = KEY,
) -> Path:
    """A signed snapshot of these rows, which may come in any order and leave out `organization_id`, `member_id`."""
    columns = schema.schemas(catalogue)
    given = {"organizations": organizations, "members": members, "external_ids": external_ids}
    keys = {"organizations": ["organization"], "members": ["member"], "external_ids": ["external_id", "level"]}
    tables = {}
    for name, rows in given.items():
        full = [_with_texts(row) for row in rows]
        full.sort(key=lambda row, name=name: [_sortable(row[column]) for column in keys[name]])
        tables[name] = [batch(full, columns[name])]
    written = writing.write_snapshot(
        directory, tables, position=position, decided_at=decided_at, catalogue=catalogue, origin=ORIGIN, key=key
    )
    return written.folder


def _with_texts(row: Row) -> dict[str, Any]:
    texts = {f"{name}_id": str(row[name]) for name in ("organization", "member") if row.get(name)}
    return {**texts, **row}


def _sortable(value: Any) -> Any:
    return value.bytes if isinstance(value, uuid.UUID) else value
