"""The demo's training run, with a removal that was acknowledged and one that is open; its data is invented."""

import hashlib
from typing import Any

from accounts.access import Actor
from accounts.fields import to_micros

from .. import ledger
from ..errors import Refused
from ..models import SnapshotMade, Source, TrainingRun
from ..services import removals, runs

_USED = {"conversation": 182_400, "output": 171_350, "document": 9_120}  # records of Le Chat
_NOT_USED = {"organization_opted_out": 88_210, "member_private": 4_730, "collected_before_allowed": 12_960}
_FILES = 2


class DemoTraining:
    """One run, as of some weeks ago; whoever opted out since has to be removed from it."""

    def __init__(self, operator: Actor) -> None:
        self._by: dict[str, Any] = {"actor": operator, "source": Source.ADMIN}
        self._run: TrainingRun | None = None

    def register(self) -> None:
        """Register the run as of now. Without a key to sign its manifest there is none."""
        ledger.sequence()
        try:
            done = runs.register(
                name="assistant 7", purpose="Fine-tuning of the assistant.", external_id="assistant-7",
                reports=[_report(ledger.head())], **self._by,
            )  # fmt: skip
        except Refused as error:
            if error.code != "no_signing_key":
                raise
        else:
            self._run = done.run

    def remove(self, removed: int | None = None) -> None:
        """Issue what has to be removed by now, and acknowledge it with this number of records, if there is one."""
        if self._run is not None and (batch := removals.issue(run=self._run, **self._by)) and removed is not None:
            removals.acknowledge(batch=batch, removed=removed, note="Deleted from the dataset.", **self._by)


def _report(position: int) -> dict[str, Any]:
    """What the filter would have said."""
    counts = [
        *({"product": "le_chat", "data_kind": kind, "reason": None, "rows": rows} for kind, rows in _USED.items()),
        *(
            {"product": "le_chat", "data_kind": "conversation", "reason": reason, "rows": rows}
            for reason, rows in _NOT_USED.items()
        ),
    ]
    allowed, denied = sum(_USED.values()), sum(_NOT_USED.values())
    now, digest = ledger.clock(), _sha256("snapshot")
    SnapshotMade.objects.create(position=position, decided_at=now, manifest_sha256=digest, made_at=now)
    return {
        "format": 1,
        "snapshot": {"position": position, "decided_at": to_micros(now), "manifest_sha256": digest},
        "inputs": _files("raw", allowed + denied),
        "outputs": {"allowed": _files("part", allowed)},
        "counts": counts,
        "read": allowed + denied,
        "allowed": allowed,
        "denied": denied,
    }


def _files(name: str, rows: int) -> list[dict[str, Any]]:
    each = rows // _FILES
    parts = [each] * (_FILES - 1) + [rows - each * (_FILES - 1)]
    return [
        {"name": f"{name}-{n:03}.parquet", "rows": part, "size": part * 412, "sha256": _sha256(f"{name} {n}")}
        for n, part in enumerate(parts)
    ]


def _sha256(text: str) -> str:
    return hashlib.sha256(f"demo {text}".encode()).hexdigest()
