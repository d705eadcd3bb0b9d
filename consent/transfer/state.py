"""A whole installation as one file, and back: every row of the portal's tables, with ids and the ledger's order.

The file is JSON Lines. The first line names the format and the tables, with columns and number of rows of each; then
comes a line for each row, in order of table and key; the last line has the SHA-256 of everything before it. Values are
written the same way from both databases, so the same state always gives the same file.
"""

import base64
import dataclasses
import datetime as dt
import hashlib
import json
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, models, transaction

from accounts.fields import from_raw_id
from accounts.models import NameWord, Plan
from config import strict_json

from .. import verification
from ..files.atomic import BadFile, open_file
from ..files.loading import load
from ..log import origins
from ..models import ConsentEvent, Installation, PendingEvent, Wording
from ..projections.name_words import index_all
from . import secrets

FORMAT, VERSION = "training-consent-portal-state", 1
# `mfa` has the second factors of sign-in. Sessions are left out: people sign in again after the move.
_APPS = ("accounts", "mfa", "consent")
_ROWS = 2_000  # fetched, or inserted, at a time
_LONGEST = 64 << 20  # bytes in one line
Model = type[models.Model]
# What is there after `migrate` already.
_MIGRATED: tuple[Model, ...] = (Plan, Installation, Wording)
OnRows = Callable[[int], None]


class NotEmpty(Exception):
    """The installation is not empty."""


class NotVerified(Exception):
    """The loaded state failed verification: `problems` says why."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0])
        self.problems = list(problems)


class KeysMissing(Exception):
    """Secrets in the file need keys that this installation doesn't have: `problems` says which."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0])
        self.problems = list(problems)


@dataclasses.dataclass(frozen=True)
class Moved:
    """What was written or loaded. `tables`: table → number of rows; `digest`: SHA-256 of the file's contents."""

    tables: Mapping[str, int]
    digest: str
    # What can't be used here because a key is missing.
    lost: Sequence[str] = ()

    @property
    def rows(self) -> int:
        return sum(self.tables.values())


def tables() -> list[Model]:
    """The models whose tables are moved, in the order of the file."""
    every = (model for name in _APPS for model in apps.get_app_config(name).get_models())
    return [model for model in every if model is not NameWord]  # derived from names, and made anew


def _columns(model: Model) -> list[str]:
    return [str(field.column) for field in model._meta.local_concrete_fields]


def _table(model: Model) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _count(model: Model) -> int:
    return model._base_manager.count()


# --- Writing the file -----------------------------------------------------------------------------------------------


def write_state(out: BinaryIO, on_rows: OnRows | None = None) -> Moved:
    """Write all rows of all tables; call it in a `snapshot`. `on_rows` gets the number of rows so far."""
    counts = {model._meta.db_table: _count(model) for model in tables()}
    described = {
        model._meta.db_table: {"rows": counts[model._meta.db_table], "columns": _columns(model)} for model in tables()
    }
    seen, done = hashlib.sha256(), 0

    def write(value: object) -> None:
        line = _serialize(value)
        seen.update(line)
        out.write(line)

    write({"format": FORMAT, "version": VERSION, "tables": described, "keys": secrets.describe()})
    for model in tables():
        for rows in _read(model):
            for row in rows:
                write(row)
            done += len(rows)
            if on_rows:
                on_rows(done)
    # The header with the numbers was written first; without a snapshot they may be wrong by now.
    if done != sum(counts.values()):
        raise RuntimeError("the tables changed while they were read")
    out.write(_serialize({"sha256": seen.hexdigest()}))
    return Moved(counts, seen.hexdigest())


def _serialize(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def _read(model: Model) -> Iterator[list[list[Any]]]:
    """The rows in order of primary key, in batches, with values as the file has them."""
    columns = ", ".join(connection.ops.quote_name(column) for column in _columns(model))
    spellings = [_serializer_of(field) for field in model._meta.local_concrete_fields]
    with connection.chunked_cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {_table(model)} ORDER BY {_key_order(model)}")
        while rows := cursor.fetchmany(_ROWS):
            yield [
                [
                    value if spell is None or value is None else spell(value)
                    for spell, value in zip(spellings, row, strict=True)
                ]
                for row in rows
            ]


def _key_order(model: Model) -> str:
    """ORDER BY of a primary key; text by its bytes, as on SQLite, whatever collation PostgreSQL has."""
    keys = [connection.ops.quote_name(str(field.column)) for field in model._meta.pk_fields]
    text = isinstance(model._meta.pk, models.CharField) and connection.vendor == "postgresql"
    return f'{keys[0]} COLLATE "C"' if text else ", ".join(keys)


def _kind(field: "models.Field[Any, Any]") -> str:
    """The type of a column; for a foreign key, that of the column it refers to."""
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    return target.get_internal_type()


def _serializer_of(field: "models.Field[Any, Any]") -> Callable[[Any], Any] | None:
    # Values of other types are the same from both databases.
    spellings: dict[str, Callable[[Any], Any]] = {
        "UUIDField": lambda value: str(from_raw_id(value)),
        "BooleanField": bool,
        "DateTimeField": _serialize_instant,
        "DateField": str,
        "JSONField": lambda value: json.loads(value) if isinstance(value, str) else value,
        "BinaryField": lambda value: base64.b64encode(value).decode(),
    }
    return spellings.get(_kind(field))


def _serialize_instant(value: dt.datetime | str) -> str:
    instant = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    aware = instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)  # SQLite keeps UTC without saying so
    return aware.astimezone(dt.UTC).isoformat(timespec="microseconds")


# --- Reading the file -----------------------------------------------------------------------------------------------


class StateFile:
    """A file of `write_state`; it is read once to its end, to check that it is complete. Raises BadFile."""

    def __init__(self, path: str) -> None:
        self.path = path
        # Setting → fingerprint of its value: see `secrets.describe`.
        self.keys: dict[str, str] = {}
        with open_file(path) as file:
            self.counts = self._header(self._line(file, 1))
        self.digest = ""
        for _model, _rows in self.batches():
            pass

    def batches(self) -> Iterator[tuple[Model, list[tuple[int, Any]]]]:
        """Yield each model with its next rows, as (line, values).

        Raises BadFile for a line that is wrong; at the end, too, if number of rows or digest are.
        """
        seen, number = hashlib.sha256(), 1
        with open_file(self.path) as file:
            first = self._line(file, number)
            if self._header(first) != self.counts:
                raise self._bad(1, "the file changed while it was read")
            seen.update(first)
            for model in tables():
                left = self.counts[model._meta.db_table]
                while left:
                    batch = []
                    for _row in range(min(left, _ROWS)):
                        number += 1
                        line = self._line(file, number)
                        seen.update(line)
                        batch.append((number, self._row(line, number, model)))
                    left -= len(batch)
                    yield model, batch
            self._closing(self._line(file, number + 1), number + 1, seen.hexdigest())
            # A second file appended to this one, for example.
            if self._more(file):
                raise self._bad(number + 2, "there is more after the closing line")

    def _bad(self, number: int, text: str) -> BadFile:
        return BadFile(f"{self.path}, line {number}: {text}. Export it again, or copy it again.")

    def _line(self, file: BinaryIO, number: int) -> bytes:
        try:
            # Limited, so that a damaged file doesn't fill the memory.
            line = file.readline(_LONGEST)
        except (OSError, EOFError, zlib.error) as error:
            raise self._bad(number, f"can't be read ({error})") from error
        if not line.endswith(b"\n"):
            raise self._bad(number, "the file ends here, before its end" if len(line) < _LONGEST else "is too long")
        return line

    def _more(self, file: BinaryIO) -> bool:
        try:
            return bool(file.read(1))
        except (OSError, EOFError, zlib.error):
            return True

    def _parse(self, line: bytes, number: int) -> Any:
        try:
            return strict_json.loads(line)
        except ValueError as error:
            raise self._bad(number, "is not JSON") from error

    def _row(self, line: bytes, number: int, model: Model) -> list[Any]:
        row = self._parse(line, number)
        if not isinstance(row, list) or len(row) != len(model._meta.local_concrete_fields):
            raise self._bad(number, f"is no row of {model._meta.db_table}")
        return row

    def _header(self, line: bytes) -> dict[str, int]:
        header = self._parse(line, 1)
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise BadFile(f"{self.path} is no file of export_state.")
        if header.get("version") != VERSION:
            raise BadFile(
                f"{self.path} has version {header.get('version')} of the format; this portal reads {VERSION}."
            )
        expected = {model._meta.db_table: _columns(model) for model in tables()}
        found: Any = header.get("tables")
        try:
            columns = {table: described["columns"] for table, described in found.items()}
            counts = {table: described["rows"] for table, described in found.items()}
        except (AttributeError, TypeError, KeyError) as error:
            raise self._bad(1, "does not say which tables there are") from error
        if columns != expected:
            differing = sorted(table for table in {*columns, *expected} if columns.get(table) != expected.get(table))
            raise BadFile(
                f"{self.path} is of another version of the portal: its {', '.join(differing)} differ from ours."
            )
        if any(type(count) is not int or count < 0 for count in counts.values()):
            raise self._bad(1, "does not say how many rows there are")
        if not isinstance(header.get("keys"), dict):
            raise self._bad(1, "does not say by which keys its secrets were made")
        self.keys = header["keys"]
        return counts

    def _closing(self, line: bytes, number: int, digest: str) -> None:
        closing = self._parse(line, number)
        if not isinstance(closing, dict) or set(closing) != {"sha256"}:
            raise self._bad(number, "is not the closing line: the number of rows is not what the first line says")
        if closing["sha256"] != digest:
            raise self._bad(number, "the digest is another: the file was altered")
        self.digest = digest


@transaction.atomic
def load_state(
    file: StateFile, on_rows: OnRows | None = None, *, on_verified: OnRows | None = None, without_keys: bool = False
) -> Moved:
    """Fill this empty installation, and verify it; `on_verified` gets the number of events verified so far.

    Raises NotEmpty, BadFile, NotVerified, and KeysMissing unless `without_keys`; then nothing is changed.
    """
    _hold()
    _refuse_filled()
    # What the migrations made, which the file's rows replace.
    for model in _MIGRATED:
        model._base_manager.all().delete()
    done, current = 0, tables()[0]
    for model, batch in file.batches():
        # After the last event, and before the pending events of the file.
        if current is ConsentEvent and model is not ConsentEvent:
            _forget_pending()
        current = model
        # Plain inserts: the triggers of the ledger fire for these as for any others.
        load(model._meta.db_table, _columns(model), prepared(file, model, batch))
        done += len(batch)
        if on_rows:
            on_rows(done)
    if current is ConsentEvent:
        _forget_pending()
    index_all()
    Installation.objects.forget_witness()
    _reset_sequences()
    # References may point to tables that come later in the file, so they are checked at the end.
    connection.check_constraints()
    problems = [
        f"{table} has {here:,} rows, not {there:,}"
        for model in tables()
        if (here := _count(model)) != (there := file.counts[(table := model._meta.db_table)])
    ]
    if on_verified:
        on_verified(0)
    # Whether the log's own key is here is told with the other keys.
    problems += verification.verify(on_verified, signatures=False).problems
    if problems:
        raise NotVerified(problems)
    # The installation that the file is of may still sign.
    origins.pause()
    lost = secrets.lost(file.keys)
    if lost and not without_keys:
        raise KeysMissing(lost)
    return Moved(file.counts, file.digest, lost)


def _hold() -> None:
    """Keep others from writing until the transaction ends; on SQLite every transaction does that."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {', '.join(map(_table, tables()))} IN SHARE ROW EXCLUSIVE MODE")


def _refuse_filled() -> None:
    filled = [model._meta.db_table for model in tables() if model not in _MIGRATED and model._base_manager.exists()]
    if filled:
        raise NotEmpty(f"This installation is not empty: there are rows in {', '.join(filled)}.")


def _forget_pending() -> None:
    """Delete what the trigger noted: it took all loaded events as new. The file has the real pending ones."""
    PendingEvent.objects.all().delete()


def prepared(file: StateFile, model: Model, batch: list[tuple[int, Any]]) -> Iterator[tuple[Any, ...]]:
    """The rows of a batch with values as the database takes them. Raises BadFile."""
    readings = [_reading(field) for field in model._meta.local_concrete_fields]
    for number, row in batch:
        try:
            yield tuple(
                value if read is None or value is None else read(value)
                for read, value in zip(readings, row, strict=True)
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise BadFile(f"{file.path}, line {number}: a value can't be meant so ({error}).") from error


def _reading(field: "models.Field[Any, Any]") -> Callable[[Any], Any] | None:
    """The function that turns a value of the file into one for the database; None if it stays as it is."""
    readings: dict[str, Callable[[Any], Any]] = {
        "UUIDField": uuid.UUID,
        "BooleanField": _read_flag,
        "DateField": dt.date.fromisoformat,
        "DateTimeField": lambda value: connection.ops.adapt_datetimefield_value(dt.datetime.fromisoformat(value)),
        "JSONField": lambda value: json.dumps(value, ensure_ascii=False),
        "BinaryField": lambda value: base64.b64decode(value, validate=True),
    }
    return readings.get(_kind(field))


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _reset_sequences() -> None:
    """Let new ids start after the loaded ones, and update the planner's statistics. SQLite needs neither."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), tables()):
            cursor.execute(statement)
        if connection.vendor == "postgresql":
            cursor.execute(f"ANALYZE {', '.join(map(_table, tables()))}")
