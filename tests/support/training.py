"""Reports of the filter of records, and runs registered from them, without any data."""

import hashlib
from typing import Any

from accounts.access import Actor
from accounts.fields import from_micros
from consent import ledger
from consent.models import SnapshotMade, TrainingRun
from consent.services import runs
from tests.support.factories import UserFactory


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def file(name: str, rows: int) -> dict[str, Any]:
    return {"name": name, "rows": rows, "size": rows * 40 + 8, "sha256": sha256(f"{name} {rows}")}


def snapshot(position: int, decided_at: int = 1_795_000_000_000_000) -> dict[str, Any]:
    """What a report says of the snapshot that it was filtered by."""
    digest = sha256(f"snapshot {position} {decided_at}")
    return {"position": position, "decided_at": decided_at, "manifest_sha256": digest}


def with_snapshots(*reports: dict[str, Any]) -> list[dict[str, Any]]:
    """The same reports, whose snapshots the portal has made."""
    for each in reports:
        said = each["snapshot"]
        if not SnapshotMade.objects.filter(manifest_sha256=said["manifest_sha256"]).exists():
            at = from_micros(said["decided_at"])
            SnapshotMade.objects.create(**{**said, "decided_at": at}, made_at=at)
    return list(reports)


def report(position: int | None = None, *, allowed: int = 70, name: str = "part-000", **changes: Any) -> dict[str, Any]:
    """A report about 100 records and more, filtered at a position (None: the ledger's last, by a snapshot)."""
    if position is None:
        ledger.sequence()
        position = ledger.head()
        with_snapshots({"snapshot": snapshot(position)})
    counts = [
        {"product": "le_chat", "data_kind": "conversation", "reason": None, "rows": allowed},
        {"product": "le_chat", "data_kind": "conversation", "reason": "organization_opted_out", "rows": 20},
        {"product": "le_chat", "data_kind": "document", "reason": "member_private", "rows": 10},
    ]
    return {
        "format": 1,
        "snapshot": snapshot(position),
        "inputs": [file(f"{name}.raw", allowed + 30)],
        "outputs": {"allowed": [file(f"{name}.parquet", allowed)], "denied": [file(f"{name}.denied", 30)]},
        "counts": counts,
        "read": allowed + 30,
        "allowed": allowed,
        "denied": 30,
        "seconds": 1.5,
        "versions": {"duckdb": "2.0.1"},
        **changes,
    }


def register(*reports: dict[str, Any], actor: Actor | None = None, **named: Any) -> TrainingRun:
    """A run of these reports, or of one as of now."""
    given = {
        "name": "R-77",
        "source": "api",
        "actor": actor or Actor.from_user(UserFactory(operator=True), confirmed=True),
        **named,
    }
    return runs.register(reports=with_snapshots(*reports) or [report()], **given).run
