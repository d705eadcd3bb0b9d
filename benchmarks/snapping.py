"""The two sides of `benchmarks.snapshots`: python -m benchmarks.snapping ours|bare; prints one line of JSON."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import django

from .sides import peak

# What one would write by hand for the same rows as they are now: the stored states, not the events.
_LAYERS = """
    s0.allowed, s0.reason_code, s0.since, s1.allowed, s1.reason_code, s1.since"""
BARE = (
    f"""
SELECT o.id, o.kind = 'personal', NULL, o.created_at, {_LAYERS} FROM accounts_organization AS o
LEFT JOIN consent_privacysetting AS s0
    ON s0.organization_id = o.id AND s0.product = 'ai_studio' AND s0.member_id IS NULL
LEFT JOIN consent_privacysetting AS s1 ON s1.organization_id = o.id AND s1.product = 'le_chat' AND s1.member_id IS NULL
ORDER BY o.id""",
    """
SELECT m.id, m.organization_id, m.joined_at, m.left_at, s.allowed, s.reason_code, s.since FROM accounts_member AS m
LEFT JOIN consent_privacysetting AS s ON s.member_id = m.id AND s.product = 'le_chat'
ORDER BY m.id""",
    """
SELECT b.value, 'organization', b.organization_id, b.member_id, b.since, b.withdrawn_at FROM accounts_binding AS b
WHERE b.withdrawn_at IS NULL ORDER BY b.value""",
)
_ROWS = 50_000


def bare() -> dict[str, Any]:
    """Read the rows with a cursor, a part at a time, and do nothing with them."""
    from django.db import connection, transaction

    def read() -> int:
        rows = 0
        with transaction.atomic():
            for statement in BARE:
                with closing(connection.chunked_cursor()) as cursor:
                    cursor.execute(statement)
                    while part := cursor.fetchmany(_ROWS):
                        rows += len(part)
        return rows

    return measured(read)


def ours() -> dict[str, Any]:
    """Export the snapshot at the head."""
    from consent.snapshots.exporting import export_snapshot

    def export() -> int:
        with tempfile.TemporaryDirectory(prefix="portal-bench-") as directory:
            return sum(export_snapshot(Path(directory)).rows.values())

    return measured(export)


def measured(work: Callable[[], int]) -> dict[str, Any]:
    from django.db import connection

    connection.ensure_connection()
    before, begun = cpu(), time.monotonic()
    rows = work()
    return {"rows": rows, "wall": time.monotonic() - begun, "cpu": cpu() - before, "peak": peak()}


def cpu() -> float:
    """CPU seconds of this process so far, and of the PostgreSQL process that serves it, on the same machine."""
    from django.db import connection

    spent = time.process_time()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


if __name__ == "__main__":
    django.setup()
    print(json.dumps({"ours": ours, "bare": bare}[sys.argv[1]]()))
