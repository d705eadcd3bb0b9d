"""The filter on Spark gives the verdicts of DuckDB, by broadcast and sort-merge joins; `make test-spark` runs this."""

import dataclasses
import datetime as dt
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from consent.pipeline import verdict
from consent.pipeline.errors import PipelineError
from consent.pipeline.schema import TABLES
from consent.pipeline.snapshot import Snapshot
from consent.pipeline.spark import SparkFilter
from consent.rules import Reason
from tests.support import snapshots
from tests.support.snapshots import NOON

MINUTE = 60 * 1_000_000
# Few instants, so that every boundary is met.
INSTANTS = [NOON - n * MINUTE for n in range(20)]
DENIALS = [Reason.NO_SUBSCRIPTION, Reason.LOCKED, Reason.ORGANIZATION_OPTED_OUT, Reason.PLAN_DEFAULT]
CATALOGUE = {name: each._replace(cooling_off_days=0) for name, each in snapshots.CATALOGUE.items()}


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    local = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    builder = SparkSession.builder.master("local[2]").config(map={**local, "spark.sql.shuffle.partitions": "2",
                                                            "spark.sql.autoBroadcastJoinThreshold": "-1"})  # fmt: skip
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def _layer(chance: random.Random, product: str) -> dict[str, Any]:
    allowed = chance.random() < 0.8
    reason = Reason.ORGANIZATION_OPTED_IN if allowed else chance.choice(DENIALS)
    return {f"{product}_allowed": allowed, f"{product}_reason": reason, f"{product}_since": chance.choice(INSTANTS[8:])}


def _subjects(chance: random.Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    organizations, members, external_ids = [], [], []
    for n in range(60):
        organization, personal = uuid.UUID(int=chance.getrandbits(128)), n % 3 == 0
        people = [uuid.UUID(int=chance.getrandbits(128)) for _n in range(1 if personal else 4)]
        row = {"organization": organization, "personal": personal, "owner": people[0] if personal else None}
        row["created_at"] = NOON - 30 * MINUTE
        organizations.append(row | _layer(chance, "le_chat") | _layer(chance, "ai_studio"))
        external_ids.append({"external_id": f"acct-{n}", "level": "organization", "organization": organization,
                             "bound_at": chance.choice(INSTANTS[8:])})  # fmt: skip
        for person in people:
            own = {"member": person, "organization": organization, "joined_at": chance.choice(INSTANTS[12:])}
            own |= {"left_at": chance.choice([None, None, None, *INSTANTS[:5]])}
            members.append(
                own | _layer(chance, "le_chat") | {"le_chat_since": chance.choice([*[None] * 20, *INSTANTS])}
            )
    return organizations, members, external_ids


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    organizations, members, external_ids = _subjects(random.Random(9))  # noqa: S311  test data
    folder = tmp_path_factory.mktemp("snapshots")
    return Snapshot.open(
        snapshots.write(
            folder, organizations=organizations, members=members, external_ids=external_ids, catalogue=CATALOGUE
        ),
        snapshots.VERIFY_KEY,
    )


def _records(snapshot: Snapshot, path: Path) -> Path:
    """4,000 records with everything that can be wrong with one."""
    chance = random.Random(3)  # noqa: S311  test data
    members = pq.read_table(snapshot.paths("members")).to_pylist()
    external = {
        row["organization"]: row["external_id"] for row in pq.read_table(snapshot.paths("external_ids")).to_pylist()
    }
    rows = []
    for n in range(4_000):
        one = chance.choice(members)
        organization, member = str(one["organization"]), one["member_id"]
        member = chance.choice([member] * 8 + [None, str(uuid.UUID(int=n)), chance.choice(members)["member_id"]])
        product = chance.choice(["le_chat"] * 8 + ["ai_studio"] * 6 + ["other", None])
        kinds = snapshots.CATALOGUE[product].data_kinds if product in snapshots.CATALOGUE else ("conversation",)
        at = chance.choice([*INSTANTS * 3, None, NOON + MINUTE])
        rows.append(
            {
                "id": n,
                "organization": chance.choice(
                    [organization] * 30 + [str(uuid.UUID(int=n)), None, organization.upper()]
                ),
                "account": external[one["organization"]],
                "member": member,
                "product": product,
                "data_kind": chance.choice([*kinds * 8, "nonsense", None]),
                "collected_at": None if at is None else dt.datetime.fromtimestamp(at / 1_000_000, dt.UTC),
            }
        )
    table = pa.Table.from_pylist(rows)
    index = table.schema.get_field_index("collected_at")
    table = table.set_column(index, "collected_at", table["collected_at"].cast(pa.timestamp("us", "UTC")))
    pq.write_table(table, path)
    return path


@pytest.fixture(scope="module")
def records(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _records(snapshot, tmp_path_factory.mktemp("records") / "records.parquet")


def by_duckdb(snapshot: Snapshot, records: Path, organization: str, key: verdict.Key) -> dict[int, tuple[Any, ...]]:
    """Record id → reason, organization and member, by the same text in DuckDB."""
    keys = verdict.Keys(key, verdict.Key.TEXT)
    with duckdb.connect() as connection:
        for table in TABLES:
            owner = ", owner::VARCHAR AS owner_id" if table == "organizations" else ""
            connection.execute(f"CREATE TABLE {table} AS SELECT *{owner} FROM read_parquet({snapshot.paths(table)})")
        connection.execute(
            f"CREATE TABLE records AS SELECT id, {organization} AS organization, member, product, data_kind,"
            f" epoch_us(collected_at) AS collected_at FROM read_parquet('{records}')"
        )
        case = verdict.reason(snapshot.catalogue, keys, snapshot.decided_at)
        rows = connection.execute(
            f"SELECT r.id, {case}, o.organization_id, m.member_id FROM {verdict.source(snapshot.catalogue, keys)}"
        ).fetchall()
    return {pk: tuple(told) for pk, *told in rows}


def told(frame: DataFrame) -> dict[int, tuple[Any, ...]]:
    rows = frame.select("id", "consent_reason", "consent_organization", "consent_member").collect()
    assert len(rows) == len({row[0] for row in rows})
    return {row[0]: tuple(row)[1:] for row in rows}


@pytest.mark.parametrize("broadcast", [True, False], ids=["broadcast", "sort-merge"])
@pytest.mark.parametrize("account", [False, True], ids=["ids", "external ids"])
def test_verdicts__each_record__as_duckdb_says(
    spark: SparkSession, snapshot: Snapshot, records: Path, broadcast: bool, account: bool
) -> None:
    given = {"organization": "external:account"} if account else {}
    frame = SparkFilter(spark, snapshot, given, broadcast=broadcast).verdicts(spark.read.parquet(str(records)))
    plan = frame._jdf.queryExecution().executedPlan().toString()
    assert ("BroadcastHashJoin" in plan) is broadcast and ("SortMergeJoin" in plan) is not broadcast
    key = verdict.Key.EXTERNAL if account else verdict.Key.TEXT
    found = told(frame)
    assert found == by_duckdb(snapshot, records, "account" if account else "organization", key)
    reasons = Counter(reason for reason, _organization, _member in found.values())
    assert len(found) == 4_000 and reasons[None] > 700
    expected = {Reason.UNKNOWN_PRODUCT, Reason.UNKNOWN_DATA_KIND, Reason.COLLECTED_AT_MISSING, Reason.NOT_YET_KNOWN,
                Reason.MEMBER_REQUIRED, Reason.UNKNOWN_MEMBER, *DENIALS, Reason.MEMBER_OPTED_OUT, Reason.MEMBER_LEFT,
                Reason.COLLECTED_BEFORE_ALLOWED} | (set() if account else {Reason.UNKNOWN_ORGANIZATION})  # fmt: skip
    assert {Reason(reason) for reason in reasons if reason} == expected


def test_allowed_and_denied__together__every_record_once(
    spark: SparkSession, snapshot: Snapshot, records: Path
) -> None:
    there = spark.read.parquet(str(records))
    by = SparkFilter(spark, snapshot)
    allowed, denied = (
        {row["id"] for row in each.select("id").collect()} for each in (by.allowed(there), by.denied(there))
    )
    assert not allowed & denied and allowed | denied == set(range(4_000))
    assert by.allowed(there).columns == [*there.columns, "consent_organization", "consent_member"]


def test_text_instants__without_a_zone__have_no_instant(spark: SparkSession, snapshot: Snapshot, records: Path) -> None:
    there = spark.read.parquet(str(records)).where("collected_at IS NOT NULL")
    zoned = there.withColumn("collected_at", there["collected_at"].cast("string"))
    assert set(SparkFilter(spark, snapshot, "product=@le_chat,data_kind=@output").verdicts(zoned).where(
        "consent_organization IS NOT NULL").toDF(*zoned.columns, "why", "o", "m").select("why").distinct().collect()
    ) == {("collected_at_missing",)}  # fmt: skip
    utc = there.selectExpr("* EXCEPT (collected_at)", "collected_at || 'Z' AS collected_at").select(there.columns)
    assert told(SparkFilter(spark, snapshot).verdicts(utc)) == told(SparkFilter(spark, snapshot).verdicts(there))


@pytest.mark.parametrize(
    "form",
    ["THH:mm:ss'Z'", "HH:mm:ss'Z'", "yyyy-MM-dd'T'HH:mm:ss' Z'", "' 'yyyy-MM-dd'T'HH:mm:ss'Z'",
     "yyyy-MM-dd'T'HH:mm:ss'Z\n'", "yyyy-M-d'T'H:m:s'Z '"],
)  # fmt: skip
def test_text_instants__of_another_form__have_no_instant(
    spark: SparkSession, snapshot: Snapshot, records: Path, form: str
) -> None:
    """Spark reads them, a time without a day as one of today; DuckDB's filter doesn't."""
    there = spark.read.parquet(str(records)).where("collected_at IS NOT NULL AND product = 'le_chat'")
    form = form.replace("THH", "'T'HH").replace("'", "\\'").replace("\n", "\\n")
    changed = f"date_format(collected_at, '{form}') AS collected_at"
    texts = there.selectExpr("* EXCEPT (collected_at)", changed).select(there.columns)
    by = SparkFilter(spark, snapshot, "product=@le_chat,data_kind=@output")
    assert {reason for reason, *_who in told(by.verdicts(texts)).values()} == {
        "collected_at_missing", "unknown_organization"}  # fmt: skip


@pytest.mark.parametrize("name", ["a[b]", "a*", "a?", "{a,b}", "a\\b"])
def test_snapshot__in_a_folder_named_like_a_pattern__refused(
    spark: SparkSession, snapshot: Snapshot, tmp_path: Path, name: str
) -> None:
    there = dataclasses.replace(snapshot, directory=tmp_path / name / snapshot.directory.name)
    with pytest.raises(PipelineError, match="for a pattern"):
        SparkFilter(spark, there)


@pytest.mark.parametrize(
    ("given", "changed", "named"),
    [
        ("organization=acct", "*", "no column acct"),
        ("", "* EXCEPT (collected_at), 5 AS collected_at", "collected_at is int"),
        ("", "* EXCEPT (collected_at), CAST(collected_at AS timestamp_ntz) AS collected_at", "timestamp_ntz"),
        ("", "* EXCEPT (product), 5 AS product", "product is int"),
        ("", "*, 1 AS consent_reason", "consent_reason already"),
        ("", "*, 1 AS Consent_Member", "Consent_Member already"),
    ],
)
def test_columns__missing_or_of_a_wrong_type__refused_by_name(
    spark: SparkSession, snapshot: Snapshot, records: Path, given: str, changed: str, named: str
) -> None:
    there = spark.read.parquet(str(records)).selectExpr(*changed.split(", "))
    with pytest.raises(PipelineError, match=named):
        SparkFilter(spark, snapshot, given).verdicts(there)
