"""The rows of a statement as Arrow, a part at a time: by columns, for a Python object for each value costs the most."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

from django.db import connection

from ..pipeline.errors import PipelineError, missing

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError as error:
    raise missing(error) from None

_ROWS = 8_000  # at a time: more of them do not stay in the processor's cache
_DIGITS = 32  # of an id without hyphens
_GROUPS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))  # the digits of an id between its hyphens


def batches(
    statement: str, columns: pa.Schema, on_rows: Callable[[int], None] = lambda _rows: None
) -> Iterator[pa.RecordBatch]:
    """The rows of a SELECT with the columns of a schema, without those that repeat an id as text.

    `on_rows` gets the number of rows of each batch. Call it in a transaction; PostgreSQL sends a part at a time too.
    """
    with closing(connection.chunked_cursor()) as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(_ROWS):
            yield _batch(zip(*rows, strict=True), columns)
            on_rows(len(rows))


def _batch(values: Iterable[Sequence[Any]], columns: pa.Schema) -> pa.RecordBatch:
    given, arrays = iter(values), []
    of: dict[str, Sequence[str]] = {}  # column → its values
    for field in columns:
        if (ids := of.get(field.name.removesuffix("_id"))) is not None:
            arrays.append(_id_texts(ids))
        else:
            of[field.name] = next(given)
            arrays.append(_array(of[field.name], field))
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if field.type == pa.uuid():
        return pa.ExtensionArray.from_storage(pa.uuid(), _id_bytes(values, nullable=field.nullable))
    if field.type == pa.bool_():
        # SQLite has 0 and 1. Who owns its file could store a 2, which is true to some readers and false to others.
        if not set(values) <= {0, 1, None}:
            raise PipelineError("The ledger has a flag that is neither true nor false: verify_ledger names it.", 70)
        return pa.array(values, pa.bool_() if isinstance(values[0], bool) else pa.int8()).cast(pa.bool_())
    return pa.array(values, field.type)


def _id_bytes(values: Sequence[str], *, nullable: bool) -> pa.Array:
    """Ids from text with or without hyphens, as either database gives them."""
    if nullable:
        return pa.array([value and bytes.fromhex(value.replace("-", "")) for value in values], pa.binary(16))
    digits = "".join(values)
    data = bytes.fromhex(digits.replace("-", "") if "-" in digits[:_DIGITS] else digits)
    return pa.Array.from_buffers(pa.binary(16), len(values), [None, pa.py_buffer(data)])


def _id_texts(values: Sequence[str]) -> pa.Array:
    """Ids in canonical form: lower case, with hyphens."""
    texts = pa.array(values, pa.string())
    if values and "-" in values[0]:
        return texts
    return pc.binary_join_element_wise(*(pc.utf8_slice_codeunits(texts, *group) for group in _GROUPS), "-")
