"""What the named columns hold, checked for every file before the first is read: a wrong type must not become a wrong
answer."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from . import columns, texts
from .columns import Column, Columns
from .errors import PipelineError, missing, quoting
from .inputs import Format, Input
from .verdict import Key, Keys

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise missing(error) from None


class Kind(StrEnum):
    """The type of a column; instants with or without a time zone (`LOCAL`), in nanoseconds or coarser."""

    TEXT = "text"
    UUID = "UUID"
    INSTANT = "timestamp with time zone"
    INSTANT_NS = "timestamp with time zone, in nanoseconds"
    LOCAL = "timestamp without time zone"
    LOCAL_NS = "timestamp without time zone, in nanoseconds"


_RESERVED = ("file_index", "file_row_number")  # what DuckDB calls the place of a row
_LOCAL = (Kind.LOCAL, Kind.LOCAL_NS)
_EXPECTED = {
    columns.ORGANIZATION: (Kind.UUID, Kind.TEXT),
    columns.MEMBER: (Kind.UUID, Kind.TEXT),
    columns.PRODUCT: (Kind.TEXT,),
    columns.DATA_KIND: (Kind.TEXT,),
    columns.COLLECTED_AT: (Kind.INSTANT, Kind.INSTANT_NS, Kind.TEXT, *_LOCAL),
}


class Field(NamedTuple):
    """Where a field of the records is, and what it holds: a column of the file, else of the folder's name, else a
    constant. `kind` None: whatever it is, it is only copied."""

    kind: Kind | None
    name: str | None = None
    partition: str | None = None
    constant: str | None = None
    external: bool = False


Fields = Mapping[str, Field]


def keys(fields: Fields) -> Keys:
    """How these records name organizations and members."""
    return Keys(_key(fields[columns.ORGANIZATION]), _key(fields[columns.MEMBER]))


def _key(field: Field) -> Key:
    if field.external:
        return Key.EXTERNAL
    return Key.UUID if field.kind is Kind.UUID else Key.TEXT


def owners(fields: Fields) -> pa.Schema:
    """The types in which allowed records say whom they belong to: those in which records name it themselves."""
    said = zip(columns.OWNERS, keys(fields), strict=True)
    return pa.schema([(name, pa.uuid() if key is Key.UUID else pa.string()) for name, key in said])


@contextlib.contextmanager
def readable(path: Path, exit_code: int = 2) -> Iterator[None]:
    """What is wrong with a file, as one sentence."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise quoting(f"{path} can't be read", error, exit_code) from None


def parquet_rows(path: Path) -> int:
    """How many rows a Parquet file has."""
    with readable(path):
        return int(pq.read_metadata(path).num_rows)


def resolve(inputs: Sequence[Input], wanted: Columns, *, assume_utc: bool = False) -> dict[str, Field]:
    """The fields of these records, alike in all files. `id` is left out if nobody named it and it is not there.

    Raises PipelineError, which names file and column: it is missing, ambiguous, of a type that it can't have or
    another type than in other files, or an instant without a time zone where `assume_utc` does not allow it.
    """
    first: dict[str, Field] = {}
    met = None
    if inputs[0].format is Format.JSONL:
        named = {each.name for field, each in wanted.items() if each.name and (each.said or field != columns.ID)}
        met = texts.names_met(inputs, named - inputs[0].partitions.keys())
    for each in inputs:
        there = _columns(each) if met is None else [(name, Kind.TEXT.value) for name in met]
        fields = {field: _field(each, field, column, there) for field, column in wanted.items()}
        found = {field: one for field, one in fields.items() if one is not None}
        first = first or found
        _require_alike(first, found, inputs[0].path, each.path)
        if found[columns.COLLECTED_AT].kind in _LOCAL and not assume_utc:
            raise PipelineError(
                f"{wanted[columns.COLLECTED_AT]} in {each.path} is a timestamp without time zone:"
                " --assume-utc takes it for UTC."
            )
    return first


def _require_alike(first: Fields, found: Fields, first_path: Path, path: Path) -> None:
    for field in {**first, **found}:
        one, other = first.get(field), found.get(field)
        if one != other:
            said = [f"{_said(each)} in {where}" for each, where in ((one, first_path), (other, path))]
            raise PipelineError(f"All files have to have {field} alike: it is {' and '.join(said)}.")


def _said(field: Field | None) -> str:
    if field is None:
        return "missing"
    return "part of the folder's name" if field.partition else str(field.kind or "there")


def _field(each: Input, field: str, column: Column, there: Sequence[tuple[str, str]]) -> Field | None:
    """Where one file has the field; `there`: its columns, as (name, type). None: it has no id, and needs none."""
    if column.name is None:
        return Field(Kind.TEXT, constant=column.constant, external=column.external)
    of_folders = [name for name in each.partitions if name.lower() == column.name.lower()]
    if of_folders and (len(of_folders) > 1 or any(name.lower() == column.name.lower() for name, _kind in there)):
        raise PipelineError(f"{column.name} is a column of {each.path} and in its folder's name too, or there twice.")
    if column.name in each.partitions:
        return Field(Kind.TEXT, partition=column.name, external=column.external)
    alike = [(name, kind) for name, kind in there if name.lower() == column.name.lower()]
    if len(alike) > 1:
        said = f"{column.name} is ambiguous in {each.path}"
        raise PipelineError(f"{said}: columns are {_list(there)}.", told=f"{said}.")
    if not alike or alike[0][0] != column.name:
        if field == columns.ID and not column.said:
            return None
        advice = " If the records name no member, say member=@." if field == columns.MEMBER else ""
        said = f"{each.path} has no column {column.name} for {field}"
        raise PipelineError(f"{said}: it has {_list(there)}.{advice}", told=f"{said}.")
    return _typed(each, field, column, alike[0][1])


def _typed(each: Input, field: str, column: Column, kind: str) -> Field:
    if field == columns.ID:
        return Field(None, column.name)
    expected = [Kind.TEXT] if column.external else _EXPECTED[field]
    found = next((one for one in expected if one.value == kind), None)
    if found is None:
        raise PipelineError(f"{column.name} in {each.path} is {kind}: {field} has to be {' or '.join(expected)}.")
    return Field(found, column.name, external=column.external)


def _list(there: Sequence[tuple[str, str]]) -> str:
    names = [name for name, _kind in there]
    return ", ".join(names[:50]) + (", …" if len(names) > 50 else "") if names else "none"


def _columns(each: Input) -> list[tuple[str, str]]:
    """The columns of a file, as (name, type)."""
    if each.format is Format.PARQUET:
        return _parquet_columns(each.path)
    return [(name, Kind.TEXT.value) for name in texts.header(each)]


def _parquet_columns(path: Path) -> list[tuple[str, str]]:
    with readable(path), pq.ParquetFile(path) as file:
        leaves = {file.schema.column(n).path: file.schema.column(n) for n in range(len(file.schema.names))}
        found = [(field.name, _kind(leaves.get(field.name), field.type)) for field in file.schema_arrow]
    met = Counter(name.lower() for name, _type in found)
    for name, _type in found:
        # DuckDB would call the second “x” “x_1”, and read it where a column of that name is asked for.
        if met[name.lower()] > 1:
            told = f"Two columns of {path} have the same name, but for capital letters."
            raise PipelineError(
                f"{name} is ambiguous in {path}: two columns are called so, but for capital letters.", told=told
            )
        if name.lower() in _RESERVED:
            raise PipelineError(f"{path} has a column {name}, by which rows are counted here: call it something else.")
    return found


def _kind(leaf: pq.ColumnSchema | None, arrow: pa.DataType) -> str:
    """The type, as the file itself says it: what Arrow notes beside that is not what other engines read."""
    said = json.loads(leaf.logical_type.to_json()) if leaf is not None else {}
    if said.get("Type") == "String":
        return Kind.TEXT.value
    if said.get("Type") == "UUID":
        return Kind.UUID.value
    if said.get("Type") == "Timestamp":
        nanoseconds = said["timeUnit"] == "nanoseconds"
        if said["isAdjustedToUTC"]:
            return (Kind.INSTANT_NS if nanoseconds else Kind.INSTANT).value
        return (Kind.LOCAL_NS if nanoseconds else Kind.LOCAL).value
    if leaf is not None and leaf.physical_type == "INT96":  # of older writers; it says nothing of a time zone
        return Kind.LOCAL.value
    return str(arrow)
