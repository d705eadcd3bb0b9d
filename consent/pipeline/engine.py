"""DuckDB at work: judges files by a snapshot, and tells the verdict on each row in the order of the rows.

Only the columns that name a record are read here. What is in the records is copied by `copying`, row by row as the
verdicts say, which keeps the order of rows, every type and every note that a file has.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..rules import Reason
from . import columns, schema, verdict
from .errors import PipelineError, missing, quoting
from .report import UNREADABLE_ROW
from .snapshot import Snapshot
from .sql import files, name, text, texts
from .texts import BROKEN
from .types import Fields, Kind, keys
from .verdict import Key

try:
    import duckdb
    import pyarrow as pa
except ImportError as error:
    raise missing(error) from None

REASONS = pa.array([*Reason, UNREADABLE_ROW], pa.string())
WINDOW = 1_000_000  # rows whose verdicts are taken at a time

_CANONICAL = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Not in the normal form of external ids: surrounding space or quotation marks, what is invisible, another composition.
_ABNORMAL = r"""^[\s\p{Z}"'`“„‘‚«»‹›]|[\s\p{Z}]$|[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]"""


# Without the zone UTC, DuckDB takes an instant without one for this machine's.
_SETTINGS = (
    "TimeZone = 'UTC'",
    "preserve_insertion_order = false",
    "enable_progress_bar = false",
    "arrow_lossless_conversion = true",
)


# DuckDB's shares of the memory: it takes some more than it is told, and the copying of rows needs its own.
_JUDGING, _COPYING = 0.85, 0.45
_COPY = 400_000_000  # bytes of memory for each file that is copied at a time, DuckDB's share included
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(i?)B", re.IGNORECASE)


class Judged(NamedTuple):
    """A count of rows of one file that got the same verdict.

    `reason` None: allowed. `late`: collected after the snapshot's instant, so that an unknown id may be a new one.
    """

    file: int
    product: str | None
    data_kind: str | None
    reason: str | None
    late: bool
    rows: int


_ROW = "hash(f::USMALLINT, n::UINTEGER)"  # a row, whatever is in it


class Read(NamedTuple):
    """What was found in one file, counted without regard to the verdicts."""

    rows: int
    noncanonical_ids: int
    unreadable_instants: int


class Verdicts(NamedTuple):
    """The verdicts on some rows: `reasons` has one for each, NULL if it may be used; `organizations` and `members` are
    whom those belong to that may, in the type in which records name them."""

    reasons: pa.DictionaryArray
    organizations: pa.Array
    members: pa.Array


class Source(NamedTuple):
    """A Parquet file of records. `staged`: its columns are called like the fields, and `broken` marks unreadable rows;
    `partitions`: what its folders say."""

    path: Path
    rows: int
    partitions: dict[str, str | None]
    staged: bool = False


class Engine:
    """A DuckDB in this process, with a snapshot, for records with these fields. Use it in a `with`."""

    def __init__(
        self,
        snapshot: Snapshot,
        fields: Fields,
        *,
        scratch: Path,
        memory: str = "1GB",
        threads: int | None = None,
        assume_utc: bool = False,
    ) -> None:
        """`memory`: like 500MB or 2GB; `scratch`: a folder for what does not fit into it. `threads` None: one a core.
        `assume_utc`: instants without a time zone are in UTC."""
        self._snapshot, self._fields, self._keys, self._assume_utc = snapshot, fields, keys(fields), assume_utc
        self._sources: Sequence[Source] = ()
        self._memory = _bytes(memory)
        settings: dict[str, Any] = {"temp_directory": str(scratch)}
        if threads is not None:
            settings["threads"] = threads
        with _told():
            self._connection = duckdb.connect(config=settings)
            for setting in _SETTINGS:
                self._connection.execute(f"SET {setting}")
            self._create_snapshot()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def judge(self, sources: Sequence[Source]) -> tuple[list[Read], list[Judged]]:
        """Judge all rows of some files, which are numbered in this order; `verdicts` tells the verdicts afterwards.

        Raises PipelineError, with exit code 70 if the verdicts are not exactly one for each row that was read.
        """
        self._sources = sources
        with _told():
            # What the batch before has left would come on top.
            self._connection.execute("DROP TABLE IF EXISTS verdicts")
            pa.default_memory_pool().release_unused()
            self._limit(_JUDGING)
            self._create_records()
            read = self._read()
            self._connection.execute(self._verdicts())
            self._require_partition()
            counts = self._connection.execute(
                "SELECT f, kind, why, late, count(*) FROM verdicts GROUP BY ALL ORDER BY ALL"
            ).fetchall()
            self._limit(_COPYING)
        kinds, reasons = self._kinds(), REASONS.to_pylist()
        judged = [
            Judged(f, kinds[kind][0], kinds[kind][1], None if why is None else reasons[why], late, rows)
            for f, kind, why, late, rows in counts
        ]
        return read, judged

    def verdicts(self, file: int) -> Iterator[Verdicts]:
        """The verdicts on a file's rows, in order, for at most WINDOW rows at a time. Other threads may ask as well."""
        asking = self._connection.cursor()
        rows = self._sources[file].rows
        ids = ", ".join(
            column if key is Key.UUID else f"{column}::VARCHAR AS {column}"
            for column, key in zip((columns.ORGANIZATION, columns.MEMBER), self._keys, strict=True)
        )
        of_file = f"FROM verdicts WHERE f = {file}"
        for start in range(0, rows, WINDOW):
            stop = min(start + WINDOW, rows)
            these = f"{of_file} AND n >= {start} AND n < {stop}"
            with _told():
                # Two statements: ids are wide, and most records that are denied need none.
                why = asking.sql(f"SELECT why {these} ORDER BY n").to_arrow_table().column("why")
                whose = asking.sql(f"SELECT {ids} {these} AND why IS NULL ORDER BY n").to_arrow_table()
            if len(why) != stop - start or len(whose) != why.null_count:
                raise PipelineError(f"{self._sources[file].path}: {len(why)} verdicts on {stop - start} rows.", 70)
            yield Verdicts(pa.DictionaryArray.from_arrays(_one(why), REASONS), *map(_one, whose.columns))

    @property
    def copies_at_once(self) -> int:
        """How many files should be copied at a time, by the memory that there is beside DuckDB's."""
        threads = int(self._connection.execute("SELECT current_setting('threads')").fetchall()[0][0])
        return max(1, min(threads, self._memory // _COPY))

    def _limit(self, share: float) -> None:
        """Let DuckDB have this share of the memory; what is beyond it goes to the disk."""
        self._connection.execute(f"SET memory_limit = '{int(self._memory * share)}B'")

    # --- Statements ---

    def _create_snapshot(self) -> None:
        self._connection.execute(f"CREATE TYPE reason AS ENUM ({', '.join(map(text, REASONS.to_pylist()))})")
        # One byte for a reason instead of a text keeps the tables of the join small.
        told = ", ".join(
            f"enum_code({name}_reason::reason)::UTINYINT AS {name}_reason" for name in self._snapshot.catalogue
        )
        replaced = {"organizations": f"* REPLACE ({told}), owner::VARCHAR AS owner_id"}
        for table in schema.TABLES:
            paths = files(self._snapshot.paths(table))
            self._connection.execute(
                f"CREATE VIEW {table} AS SELECT {replaced.get(table, '*')} FROM read_parquet({paths})"
            )

    def _create_records(self) -> None:
        paths = files(source.path for source in self._sources)
        staged = self._sources[0].staged
        fields = ", ".join(f"{self._value(field)} AS {field}" for field in columns.FIELDS if field != columns.ID)
        broken = f"{BROKEN} AS {BROKEN}" if staged else f"FALSE AS {BROKEN}"
        self._connection.execute(
            f"CREATE OR REPLACE VIEW named AS SELECT file_index AS f, file_row_number AS n, {fields}, {broken}"
            f" FROM read_parquet({paths}, hive_partitioning = false, union_by_name = false)"
        )
        self._connection.execute(
            "CREATE OR REPLACE VIEW records AS SELECT * REPLACE"
            f" ({self._micros()} AS {columns.COLLECTED_AT}) FROM named"
        )

    def _value(self, field: str) -> str:
        """A field as it is in the file."""
        found = self._fields[field]
        if found.partition is not None:
            said = texts([source.partitions[found.partition] for source in self._sources])
            return f"list_extract({said}, file_index::BIGINT + 1)"
        if found.name is None:
            return text(found.constant)
        return name(field if self._sources[0].staged else found.name)

    def _micros(self) -> str:
        """`collected_at` in microseconds; NULL for a text that is no instant with a time zone."""
        column, kind = columns.COLLECTED_AT, self._fields[columns.COLLECTED_AT].kind
        if kind is Kind.TEXT:
            return f"CASE WHEN {self._is_instant()} THEN epoch_us(TRY_CAST({column} AS TIMESTAMPTZ)) END"
        # Nanoseconds are floored, which keeps their order beside whole microseconds; a cast to microseconds rounds.
        return f"epoch_us({column}::TIMESTAMP_NS)" if kind is Kind.INSTANT_NS else f"epoch_us({column})"

    def _is_instant(self) -> str:
        zone = f"{columns.ZONE}?" if self._assume_utc else columns.ZONE
        return f"regexp_full_match({columns.COLLECTED_AT}, {text(columns.INSTANT + zone)})"

    def _read(self) -> list[Read]:
        """Count the rows by a statement of its own, which knows no join: what the verdicts have to add up to."""
        odd = " OR ".join(self._noncanonical()) or "FALSE"
        unreadable = "FALSE"
        if self._fields[columns.COLLECTED_AT].kind is Kind.TEXT:
            unreadable = f"{columns.COLLECTED_AT} IS NOT NULL AND {self._micros()} IS NULL"
        found = self._connection.execute(
            f"SELECT f, count(*), sum({_ROW}), count(*) FILTER ({odd}), count(*) FILTER ({unreadable})"
            " FROM named GROUP BY f"
        ).fetchall()
        self._total = (sum(rows for _f, rows, *_ in found), sum(digest for _f, _rows, digest, *_ in found))
        by_file = {f: Read(rows, ids, instants) for f, rows, _digest, ids, instants in found}
        return [by_file.get(f, Read(0, 0, 0)) for f in range(len(self._sources))]

    def _noncanonical(self) -> Iterator[str]:
        for column, key in zip((columns.ORGANIZATION, columns.MEMBER), self._keys, strict=True):
            if key is Key.TEXT:
                yield f"NOT regexp_full_match({column}, {text(_CANONICAL)})"
            elif key is Key.EXTERNAL:
                yield f"regexp_matches({column}, {text(_ABNORMAL)}) OR {column} <> nfc_normalize({column})"

    def _verdicts(self) -> str:
        catalogue, decided_at = self._snapshot.catalogue, self._snapshot.decided_at
        why = verdict.reason(catalogue, self._keys, decided_at, _code)
        return f"""
            CREATE TABLE verdicts AS
            SELECT f, n, why, kind, late, CASE WHEN why IS NULL THEN organization END AS organization,
                CASE WHEN why IS NULL THEN member END AS member
            FROM (
                SELECT r.f::USMALLINT AS f, r.n::UINTEGER AS n, o.organization, m.member, {self._kind()} AS kind,
                    coalesce(r.collected_at > {decided_at}, FALSE) AS late,
                    CASE WHEN r.{BROKEN} THEN {_code(UNREADABLE_ROW)} ELSE {why} END AS why
                FROM {verdict.source(catalogue, self._keys)})"""

    def _kinds(self) -> list[tuple[str | None, str | None]]:
        """Products and kinds of data that are counted apart; what the catalogue does not know is None."""
        known = self._snapshot.catalogue.items()
        return [(None, None), *((name, kind) for name, product in known for kind in (None, *product.data_kinds))]

    def _kind(self) -> str:
        """The place in `_kinds` of a record's product and kind of data."""
        place = {pair: n for n, pair in enumerate(self._kinds())}
        cases = []
        for product, each in self._snapshot.catalogue.items():
            other = place[product, None]
            inner = " ".join(f"WHEN {text(kind)} THEN {place[product, kind]}" for kind in each.data_kinds)
            # A product may have no kinds of data yet, and a CASE without WHEN is no SQL.
            found = f"CASE r.data_kind {inner} ELSE {other} END" if inner else other
            cases.append(f"WHEN {text(product)} THEN {found}")
        return f"(CASE r.product {' '.join(cases)} ELSE 0 END)::USMALLINT"

    def _require_partition(self) -> None:
        """Each row that was read has exactly one verdict: as many, and the same by a sum that knows no order."""
        found = self._connection.execute(f"SELECT count(*), coalesce(sum({_ROW}), 0) FROM verdicts").fetchone()
        if found != self._total:
            raise PipelineError(
                f"{self._total[0]} rows were read, and the verdicts are not on exactly these.",
                70,
            )


def _bytes(memory: str) -> int:
    """500MB or 2GiB as a number. Raises PipelineError."""
    found = _MEMORY.fullmatch(memory)
    if not found:
        raise PipelineError(f"Memory is given like 500MB or 2GB, and not “{memory}”.")
    power = "KMGT".index(found[2].upper()) + 1
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


def _code(reason: str) -> str:
    """A reason as its place in REASONS."""
    return f"{REASONS.to_pylist().index(reason)}::UTINYINT"


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of DuckDB as one sentence each."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise PipelineError("The memory allowed is not enough to join the records: raise --memory.", 1) from None
    except duckdb.Error as error:
        raise quoting("DuckDB said", error, 1) from None
