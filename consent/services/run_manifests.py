"""The signed manifest of a training run: made once, when the run is registered, and kept byte for byte."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from accounts.fields import to_micros

from .. import manifests
from ..errors import Refused
from ..log import covering, keys
from ..models import LogCheckpoint, RunFile, TrainingRun
from ..pipeline import dsse
from ..pipeline.errors import PipelineError
from ..pipeline.run_manifest import CHECKPOINT, PREDICATE
from ..proofs.errors import ProofError
from ..proofs.note import Checkpoint, text_of


def sign(run: TrainingRun, files: Sequence[RunFile]) -> str:
    """The manifest: an in-toto statement about the run's files in a DSSE envelope. Raises Refused without a key.

    Where a log is kept, it carries the newest checkpoint, if that covers the last position that the data was filtered
    at, and else null: registering waits for nothing. Where none is kept, it says nothing of one.
    """
    try:
        key = manifests.signing_key()
    except PipelineError as error:
        raise Refused("no_signing_key", str(error)) from error
    named = [
        {"name": each.name, "rows": each.rows, "sha256": each.sha256, "size": each.size, "position": each.position}
        for each in files
    ]
    predicate: dict[str, Any] = {
        "format": 1,
        "run": {
            "id": str(run.pk),
            "name": run.name,
            "external_id": run.external_id,
            "purpose": run.purpose,
            "registered_at": to_micros(run.registered_at),
        },
        "snapshots": run.snapshots,
        "dataset_digest": run.dataset_digest,
        "files": named,
        "counts": run.counts,
        "allowed": run.allowed,
        "denied": run.denied,
    }
    if keys.is_on():
        covers = covering.newest(run.last_position)
        predicate[CHECKPOINT] = covers and covers.note
    statement = dsse.statement(f"{manifests.origin()}{PREDICATE}", predicate, named)
    return dsse.sign(statement, key).decode()


class RunCheckpoint(NamedTuple):
    """What a run's manifest says of the log. `note`: the checkpoint that it carries; None if there was none yet, and ""
    for a manifest that was altered so that nobody can read it.
    """

    note: str | None

    @property
    def claimed(self) -> Checkpoint | None:
        try:
            return Checkpoint.parse(text_of(self.note or ""))
        except ProofError:
            return None

    @property
    def kept(self) -> LogCheckpoint | None:
        """The checkpoint as it is in the log here; None if it is not, which `verify_ledger` tells of."""
        return covering.find(self.claimed) if self.claimed else None


def checkpoint_of(run: TrainingRun) -> RunCheckpoint | None:
    """What the run's manifest says of the log; None if no log was kept when it was registered."""
    try:
        said = manifests.predicate_of(run.manifest)
    except ValueError:
        return RunCheckpoint("")
    if CHECKPOINT not in said:
        return None
    found = said[CHECKPOINT]
    return RunCheckpoint(found if isinstance(found, str | None) else "")
