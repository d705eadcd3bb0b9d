"""Sides of `benchmarks.filtering`, each in a process of its own: python -m benchmarks.filtering_sides FOLDER STEP …"""

import base64
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from consent.pipeline import Options, Snapshot, dsse, filter_records, writing
from consent.pipeline.schema import TABLES, Product, schemas

CATALOGUE = {
    "le_chat": Product(("conversation", "document", "output", "other"), members=True),
    "ai_studio": Product(("api_input", "api_output", "document", "related"), members=False),
}
KEY = dsse.signing_key(base64.b64encode(bytes(32)).decode())
COLUMNS = "organization=acct,member=usr,data_kind=kind,collected_at=ts,id=rid"
DECIDED_AT = 1_790_000_000_000_000
PER_FILE = 2_500_000

_O, _M = "md5('o' || {})::UUID", "md5('m' || {})::UUID"
# Two members an organization; a tenth is personal, and belongs to the first.
ORGANIZATIONS = f"""
SELECT {_O.format("i")} AS organization, organization::VARCHAR AS organization_id, i % 10 = 0 AS personal,
    CASE WHEN i % 10 = 0 THEN {_M.format("2 * i")} END AS owner, 1600000000000000 + i AS created_at,
    i % 4 = 0 AS ai_studio_allowed, CASE WHEN i % 4 = 0 THEN 'organization_opted_in' ELSE 'plan_default' END
        AS ai_studio_reason, 1700000000000000 + i AS ai_studio_since,
    i % 3 <> 0 AS le_chat_allowed, CASE WHEN i % 3 = 0 THEN 'organization_opted_out' ELSE 'plan_default' END
        AS le_chat_reason, 1700000000000000 + i AS le_chat_since
FROM range({{organizations}}) AS t(i) ORDER BY organization"""
MEMBERS = f"""
SELECT {_M.format("i")} AS member, member::VARCHAR AS member_id,
    {_O.format("i // 2 % {organizations}")} AS organization, 1650000000000000 + i AS joined_at,
    CASE WHEN i % 20 = 0 THEN 1750000000000000 END AS left_at,
    i % 5 <> 0 AS le_chat_allowed, CASE WHEN i % 5 <> 0 THEN 'default' ELSE 'member_opted_out' END AS le_chat_reason,
    CASE WHEN i % 7 = 0 THEN 1710000000000000 END AS le_chat_since
FROM range({{members}}) AS t(i) ORDER BY member"""
# Zipf: the author of rank k writes 1/k of what the first does.
RECORDS = f"""
SELECT 'rec' || i AS rid, {_O.format("author // 2 % {organizations}")} AS acct,
    CASE WHEN i % 9 = 0 THEN NULL ELSE {_M.format("author")} END AS usr,
    CASE WHEN i % 2 = 0 THEN 'le_chat' ELSE 'ai_studio' END AS product,
    CASE WHEN i % 2 = 0 THEN 'conversation' ELSE 'api_input' END AS kind,
    make_timestamptz(1690000000000000 + (hash(i) % 100000000000000)::BIGINT) AS ts, md5(i::VARCHAR) AS content
FROM (SELECT i, (hash(floor(pow({{members}}, hash(31 * i) % 1000000 / 1e6))) % {{members}})::BIGINT AS author
    FROM range({{start}}, {{stop}}) AS t(i))"""

# What one would write by hand: the same rules without reasons, first by product, then by one comparison for each rule.
FROM = """read_parquet('{records}') AS r JOIN read_parquet('{organizations}') AS o ON o.organization = r.acct
LEFT JOIN read_parquet('{members}') AS m ON m.organization = r.acct
    AND m.member = coalesce(r.usr, CASE WHEN r.product = 'le_chat' THEN o.owner END)"""
PLAIN = f"""epoch_us(r.ts) <= {DECIDED_AT} AND (m.member IS NOT NULL OR r.usr IS NULL)
AND (m.left_at IS NULL OR epoch_us(r.ts) < m.left_at) AND (m.joined_at IS NULL OR epoch_us(r.ts) >= m.joined_at)
AND ((r.product = 'le_chat' AND r.kind IN ('conversation', 'document', 'output', 'other') AND o.le_chat_allowed
        AND epoch_us(r.ts) >= o.le_chat_since AND m.le_chat_allowed
        AND (m.le_chat_since IS NULL OR epoch_us(r.ts) >= m.le_chat_since))
    OR (r.product = 'ai_studio' AND r.kind IN ('api_input', 'api_output', 'document', 'related')
        AND o.ai_studio_allowed AND epoch_us(r.ts) >= o.ai_studio_since))"""
CASES = f"""epoch_us(r.ts) <= {DECIDED_AT} AND (m.member IS NOT NULL OR (r.usr IS NULL AND r.product = 'ai_studio'))
AND CASE r.product WHEN 'le_chat' THEN r.kind IN ('conversation', 'document', 'output', 'other')
    WHEN 'ai_studio' THEN r.kind IN ('api_input', 'api_output', 'document', 'related') END
AND CASE r.product WHEN 'le_chat' THEN o.le_chat_allowed AND m.le_chat_allowed ELSE o.ai_studio_allowed END
AND epoch_us(r.ts) < coalesce(m.left_at, 9223372036854775807) AND epoch_us(r.ts) >= greatest(m.joined_at,
    CASE r.product WHEN 'le_chat' THEN greatest(o.le_chat_since, m.le_chat_since) ELSE o.ai_studio_since END)"""


def connection(folder: Path, memory: str = "1GB") -> duckdb.DuckDBPyConnection:
    opened = duckdb.connect(config={"memory_limit": memory, "temp_directory": str(folder / "spilled")})
    for setting in ("TimeZone = 'UTC'", "enable_progress_bar = false", "preserve_insertion_order = false"):
        opened.execute(f"SET {setting}")
    return opened


def batches(opened: duckdb.DuckDBPyConnection, select: str, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in opened.sql(f"SELECT {', '.join(columns.names)} FROM ({select})").to_arrow_reader(100_000):
        yield batch.cast(columns)


def made(folder: Path, rows: str, organizations: str, members: str) -> dict[str, Any]:
    """Write the snapshot and the records."""
    opened, numbers = connection(folder, "4GB"), {"organizations": organizations, "members": members}
    opened.execute("SET arrow_lossless_conversion = true")
    opened.execute("SET preserve_insertion_order = true")
    columns = schemas(CATALOGUE)
    selects = {"organizations": ORGANIZATIONS.format(**numbers), "members": MEMBERS.format(**numbers)}
    tables: dict[str, Any] = {name: [] for name in TABLES}
    for name, select in selects.items():
        tables[name] = batches(opened.cursor(), select, columns[name])
    writing.write_snapshot(
        folder / "snapshots", tables, position=1, decided_at=DECIDED_AT, catalogue=CATALOGUE,
        origin="https://portal.example", key=KEY,
    )  # fmt: skip
    (folder / "records").mkdir()
    for n, start in enumerate(range(0, int(rows), PER_FILE)):
        select = RECORDS.format(**numbers, start=start, stop=min(start + PER_FILE, int(rows)))
        opened.execute(f"COPY ({select}) TO '{folder}/records/{n:03d}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    return {}


def by_hand(condition: str, *, counted: bool = False) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        (snapshot,) = (folder / "snapshots").glob("position-*")
        paths = {name: str(snapshot / f"{name}-*.parquet") for name in ("organizations", "members")}
        source = FROM.format(records=folder / "records" / "*.parquet", **paths)
        opened = connection(folder)
        if counted:
            rows = opened.execute(f"SELECT count(*) FROM {source} WHERE {condition}").fetchone()
        else:
            selected = f"SELECT r.*, o.organization AS consent_organization, m.member AS consent_member FROM {source}"
            rows = opened.execute(
                f"COPY ({selected} WHERE {condition}) TO '{folder}/out.parquet' (FORMAT parquet, COMPRESSION zstd)"
            ).fetchone()
        return int(rows[0]) if rows else 0

    return run


def copied(folder: Path) -> int:
    """Read and write everything."""
    opened = connection(folder)
    opened.execute(
        f"COPY (FROM read_parquet('{folder}/records/*.parquet')) TO '{folder}/out.parquet'"
        " (FORMAT parquet, COMPRESSION zstd)"
    )
    return 0


def filtered(memory: str, *, denied: bool) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        (snapshot,) = (folder / "snapshots").glob("position-*")
        report = filter_records(
            folder / "records",
            snapshot=Snapshot.open(snapshot, KEY.public_key()),
            allowed=folder / "allowed",
            denied=folder / "denied" if denied else None,
            columns=COLUMNS,
            options=Options(memory=memory),
        )
        return report.allowed

    return run


SIDES = {
    "plain": by_hand(PLAIN),
    "cases": by_hand(CASES),
    "counted": by_hand(PLAIN, counted=True),
    "copied": copied,
    "alone": filtered("1GB", denied=False),
    "both": filtered("1GB", denied=True),
    "small": filtered("500MB", denied=True),
}


def measured(folder: Path, side: str) -> dict[str, Any]:
    started, spent = time.perf_counter(), time.process_time()
    allowed = SIDES[side](folder)
    found = {"wall": time.perf_counter() - started, "cpu": time.process_time() - spent, "allowed": allowed}
    (folder / "out.parquet").unlink(missing_ok=True)
    for what in ("allowed", "denied"):
        shutil.rmtree(folder / what, ignore_errors=True)
    return {**found, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    place, name, *given = sys.argv[1:]
    print(json.dumps(made(Path(place), *given) if name == "made" else measured(Path(place), name)))
