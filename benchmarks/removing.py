"""The sides of `benchmarks.removals`: python -m benchmarks.removing STEP DIRECTORY …; prints one line of JSON."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import django

from .load import OPERATORS, PRODUCT
from .sides import BARE_SETTINGS, peak
from .snapping import cpu

# The opt-outs of so many organizations, in one statement: see `sides.BARE_EVENTS`.
_OUT = """
INSERT INTO consent_consentevent (recorded_at, organization_id, plan, subscribed, applied_default, choice, carry,
    locked, closed, allowed, reason_code, since, kind, before, after, by_operator, reference, wording,
    product, surface, actor_type, actor_id, source, reason, request_id)
SELECT %s, organization_id, plan, subscribed, applied_default, 'opted_out', '', locked, closed, FALSE,
    'organization_opted_out', %s, 'choice.opted_out', choice, 'opted_out', TRUE, '', '',
    product, 'le_chat_console', 'command', %s, 'command', 'benchmark', ''
FROM consent_privacysetting WHERE product = %s AND member_id IS NULL ORDER BY organization_id LIMIT %s"""
# Records of random members, as the filter would have written them: each was collected a moment after its member joined.
_RECORDS = """
COPY (
    WITH people AS (SELECT row_number() OVER () - 1 AS n, member, organization, joined_at FROM '{members}'),
    wanted AS (
        SELECT (hash(range) % (SELECT count(*) FROM people))::BIGINT AS n, hash(range + 7) % 3 AS moment
        FROM range({records})
    )
    SELECT organization AS consent_organization, member AS consent_member, 'le_chat' AS product,
        make_timestamp(joined_at + 1000000 * moment::BIGINT)::TIMESTAMPTZ AS collected_at, repeat('x', 32) AS content
    FROM wanted JOIN people USING (n)
) TO '{out}' (FORMAT parquet, COMPRESSION zstd)"""
# What one would write by hand to ask about everything again.
_BARE = """
SELECT count(*), count(DISTINCT consent_organization) FROM '{records}' AS r
JOIN '{organizations}' AS o ON o.organization = r.consent_organization
LEFT JOIN '{members}' AS m ON m.member = r.consent_member
WHERE o.le_chat_allowed AND epoch_us(r.collected_at) >= o.le_chat_since
  AND coalesce(m.le_chat_allowed, TRUE)
  AND epoch_us(r.collected_at) >= greatest(m.joined_at, m.le_chat_since)
  AND (m.left_at IS NULL OR epoch_us(r.collected_at) < m.left_at)"""
# As docs/pipeline.md says.
_OURS = """
WITH latest AS (
    FROM '{removals}'
    QUALIFY row_number() OVER (PARTITION BY coalesce(member, organization), product ORDER BY position DESC) = 1
)
SELECT count(*), count(DISTINCT consent_organization) FROM '{records}' AS r
LEFT JOIN latest AS o ON o.organization = r.consent_organization AND o.member IS NULL AND o.product = r.product
LEFT JOIN latest AS m ON m.member = r.consent_member AND m.product = r.product
WHERE (o.position IS NULL OR o.keep_from <= epoch_us(r.collected_at))
  AND (m.position IS NULL OR m.keep_from <= epoch_us(r.collected_at)
       AND (m.keep_until IS NULL OR epoch_us(r.collected_at) < m.keep_until))"""


def prepared(directory: str, outs: str, records: str) -> dict[str, Any]:
    """Write the run's records, opt organizations out, and write the snapshot that the bare side reads."""
    import duckdb
    from django.db import connection, transaction

    from accounts.fields import to_micros
    from accounts.models import User
    from consent import ledger
    from consent.snapshots.exporting import export_snapshot

    first = export_snapshot(Path(directory, "first"))
    paths = {"members": first.written.folder / "members-*.parquet", "out": Path(directory, "records.parquet")}
    connect(duckdb).execute(_RECORDS.format(**paths, records=int(records)))
    author = User.objects.get(email=OPERATORS[0])
    with transaction.atomic(), connection.cursor() as cursor:
        stamp = to_micros(ledger.clock())
        cursor.execute("SELECT COALESCE(MAX(id), 0) FROM consent_consentevent")
        (before,) = cursor.fetchone()
        cursor.execute(_OUT, [stamp, stamp, str(author.pk), PRODUCT, int(outs)])
        cursor.execute(BARE_SETTINGS, [before])
    ledger.sequence()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
    export_snapshot(Path(directory, "second"))
    Path(directory, "range.json").write_text(json.dumps([first.position, ledger.head()]), "ascii")
    return {}


def ours(directory: str) -> dict[str, Any]:
    """Find the entries, write them, and apply them to the records."""
    import duckdb
    from django.db import connection

    from consent.services import removal_entries, removal_files

    connection.ensure_connection()
    first, last = json.loads(Path(directory, "range.json").read_text("ascii"))
    removals = Path(directory, "removals.parquet")
    before, begun = cpu(), time.monotonic()
    with removals.open("wb") as out:
        within = removal_entries.Range(first, last, first)
        entries = removal_files.write_parquet(removal_entries.entries_of(within), out)
    found = cpu() - before
    kept = (
        connect(duckdb).sql(_OURS.format(removals=removals, records=Path(directory, "records.parquet"))).fetchall()[0]
    )
    spent = {"cpu": cpu() - before, "wall": time.monotonic() - begun}
    return {"kept": kept, "entries": entries, "finding": found, **spent, "peak": peak()}


def bare(directory: str) -> dict[str, Any]:
    """Join the records with all organizations and members."""
    import duckdb
    from django.db import connection

    connection.ensure_connection()
    (folder,) = Path(directory, "second").iterdir()
    paths = {name: folder / f"{name}-*.parquet" for name in ("organizations", "members")}
    before, begun = cpu(), time.monotonic()
    kept = connect(duckdb).sql(_BARE.format(**paths, records=Path(directory, "records.parquet"))).fetchall()[0]
    return {"kept": kept, "cpu": cpu() - before, "wall": time.monotonic() - begun, "peak": peak()}


def connect(duckdb: Any) -> Any:
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = FALSE; SET TimeZone = 'UTC'; SET preserve_insertion_order = FALSE")
    return connection


STEPS = {step.__name__: step for step in (prepared, ours, bare)}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))  # type: ignore[operator]
