"""The verdict on records on a Spark cluster: the SQL text that DuckDB gets, over DataFrames.

Nothing is collected or written here: the records come back with their verdict, to be written as the cluster writes its
data. Needs requirements/spark.txt.
"""

from collections.abc import Mapping

from . import columns
from .columns import Column
from .errors import PipelineError, missing
from .schema import ORGANIZATIONS, TABLES, schemas
from .snapshot import Snapshot
from .verdict import Key, Keys, reason, source

try:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
except ImportError as error:
    raise missing(error) from None

REASON, ORGANIZATION, MEMBER = "consent_reason", "consent_organization", "consent_member"
ADDED = (REASON, ORGANIZATION, MEMBER)
# Spark can't infer a column of UUIDs, but reads its 16 bytes where it is told to.
_TYPES = {pa.uuid(): "binary", pa.string(): "string", pa.bool_(): "boolean", pa.int64(): "bigint"}
_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))  # of the 32 digits of a UUID: first digit, length
_AS_TEXT = "concat_ws('-', {})".format(", ".join(f"substr(lower(hex(owner)), {at}, {size})" for at, size in _PARTS))
_INSTANT = rf"^{columns.INSTANT}{columns.ZONE}\z"
_MAGIC = frozenset("*?[]{}\\")


class SparkFilter:
    """Says of each record whether it may be used, by a snapshot.

    `given` and `ids` name the columns of the records, as in `filter_records`. `broadcast`: send the snapshot's tables
    to every executor, which have to hold them in memory (about 100 bytes a row); else both sides are sorted and merged.
    """

    def __init__(
        self,
        spark: SparkSession,
        snapshot: Snapshot,
        given: str | Mapping[str, str] | None = None,
        *,
        ids: str = columns.UUID,
        broadcast: bool = True,
    ) -> None:
        if not _MAGIC.isdisjoint(str(snapshot.directory.absolute())):
            raise PipelineError(
                f"Spark takes {snapshot.directory} for a pattern, by which it finds other folders: move the snapshot."
            )
        self._spark, self._snapshot = spark, snapshot
        self._columns = columns.parse(given, ids)
        self._hint = f"{'BROADCAST' if broadcast else 'MERGE'}(o, m, xo, xm)"

    def verdicts(self, records: DataFrame) -> DataFrame:
        """The records with three more columns, all text: why a record may not be used, the `Reason`'s code (NULL: it
        may), and the organization and the member that it names, or means.

        Raises PipelineError for a column that is missing or of a type that it can't have.
        """
        if taken := [name for name in records.columns if name.lower() in ADDED]:
            raise PipelineError(f"The records have a column {taken[0]} already.")
        types = dict(records.dtypes)
        fields = {name: self._field(name, types) for name in columns.FIELDS if name != columns.ID}
        keys = Keys(*(self._key(name, types) for name in (columns.ORGANIZATION, columns.MEMBER)))
        catalogue = self._snapshot.catalogue
        # Spark fills in what is in braces.
        chosen = ", ".join(f"{expression} AS {name}" for name, expression in fields.items())
        chosen = chosen.replace("{", "{{").replace("}", "}}")
        text = f"""
            WITH records AS (SELECT struct(*) AS whole, {chosen} FROM {{given}}),
            organizations AS (SELECT * FROM {{organizations}}),
            members AS (SELECT * FROM {{members}}),
            external_ids AS (SELECT * FROM {{external_ids}})
            SELECT /*+ {self._hint} */ r.whole.*, {reason(catalogue, keys, self._snapshot.decided_at)} AS {REASON},
                o.organization_id AS {ORGANIZATION}, m.member_id AS {MEMBER}
            FROM {source(catalogue, keys)}"""
        return self._spark.sql(text, given=records, **{table: self._table(table) for table in TABLES})

    def allowed(self, records: DataFrame) -> DataFrame:
        """The records that may be used, with the organization and the member that each names, or means."""
        return self.verdicts(records).where(f"{REASON} IS NULL").drop(REASON)

    def denied(self, records: DataFrame) -> DataFrame:
        """The records that may not be used, and why."""
        return self.verdicts(records).where(f"{REASON} IS NOT NULL")

    def _table(self, name: str) -> DataFrame:
        schema = schemas(self._snapshot.catalogue)[name]
        described = ", ".join(f"{field.name} {_TYPES[field.type]}" for field in schema)
        table = self._spark.read.schema(described).parquet(*self._snapshot.paths(name))
        if name == ORGANIZATIONS:
            table = table.selectExpr("*", f"CASE WHEN owner IS NOT NULL THEN {_AS_TEXT} END AS owner_id")
        return table

    def _key(self, field: str, types: Mapping[str, str]) -> Key:
        column = self._columns[field]
        if column.external:
            return Key.EXTERNAL
        return Key.UUID if column.name is not None and types[column.name] == "binary" else Key.TEXT

    def _field(self, field: str, types: Mapping[str, str]) -> str:
        """The expression that reads a field of the records."""
        column = self._columns[field]
        if column.name is None:
            return _literal(column)
        if column.name not in types:
            raise PipelineError(f"The records have no column {column.name} for {field}: they have {', '.join(types)}.")
        name, kind = f"`{column.name}`", types[column.name]
        if field == columns.COLLECTED_AT:
            if kind == "timestamp":
                return f"unix_micros({name})"
            if kind == "string":  # without a zone it would be taken for the session's, without a day for today
                return f"CASE WHEN {name} RLIKE r'{_INSTANT}' THEN unix_micros(try_cast({name} AS timestamp)) END"
            raise PipelineError(
                f"{column.name} is {kind}: collected_at has to be timestamp, or string with a time zone."
            )
        named = field in (columns.ORGANIZATION, columns.MEMBER) and not column.external
        if kind != "string" and not (named and kind == "binary"):
            raise PipelineError(f"{column.name} is {kind}: {field} has to be string{' or binary' if named else ''}.")
        return name


def _literal(column: Column) -> str:
    if column.constant is None:
        return "CAST(NULL AS string)"
    return "'{}'".format(column.constant.replace("\\", "\\\\").replace("'", "\\'"))
