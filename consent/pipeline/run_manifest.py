"""The manifest of a training run: what it seals, and the checkpoint of the log that stands behind it.

Needs nothing but `cryptography`, as whoever checks a manifest alone has no training data.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ..proofs import note
from ..proofs.cli import verifiers
from ..proofs.errors import ProofError
from ..proofs.note import Checkpoint, Verifier
from . import dsse, signed
from .errors import PipelineError

PREDICATE = "/training-run/v1"  # after the portal's address
# Of the predicate: the signed note, null if no checkpoint covered the run yet; not there if the portal kept no log.
CHECKPOINT = "checkpoint"


class SealedFile(NamedTuple):
    """A file that a run may use; `size` in bytes, `sha256` in hexadecimal."""

    name: str
    rows: int
    size: int
    sha256: str


class RunManifest(NamedTuple):
    """What a verified manifest says of a run.

    `decided_at`: the instants of its snapshots, the oldest first, in microseconds since 1970 UTC. `position`: the
    highest that its data was filtered at; None if it does not say. `checkpoint`: the signed note that it carries, which
    nobody has checked yet; None if it carries none. `kept_log`: whether the portal kept a log when it registered it.
    """

    run: str
    decided_at: Sequence[int]
    files: Mapping[str, SealedFile]
    position: int | None
    checkpoint: str | None
    kept_log: bool

    @classmethod
    def read(cls, path: str | Path, verify_key: str | Path | Ed25519PublicKey) -> Self:
        """The manifest in a file. Raises PipelineError if it can't be read, NotSigned if that key did not sign it."""
        statement, _sha256 = signed.read(Path(path), dsse.verify_key(verify_key), PREDICATE, "a training run")
        found = cls._of(statement)
        if found is None:
            raise PipelineError(f"The manifest {path} is not of a training run as this version knows it.")
        return found

    @classmethod
    def _of(cls, statement: Mapping[str, Any]) -> Self | None:
        try:
            predicate = statement["predicate"]
            files = [SealedFile(*(each[name] for name in SealedFile._fields)) for each in predicate["files"]]
            subjects = [(each["name"], each["digest"]["sha256"]) for each in statement["subject"]]
            snapshots = predicate["snapshots"]
            found = cls(
                run=str(predicate["run"]["id"]),
                decided_at=sorted(each["decided_at"] for each in snapshots),
                files={each.name: each for each in files},
                position=_highest([*snapshots, *predicate["files"]]),
                checkpoint=predicate.get(CHECKPOINT),
                kept_log=CHECKPOINT in predicate,
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        alike = sorted(subjects) == sorted((each.name, each.sha256) for each in files)
        instants = bool(found.decided_at) and all(type(each) is int for each in found.decided_at)
        text = isinstance(found.checkpoint, str | None)
        return found if alike and len(found.files) == len(files) and instants and text else None


def _highest(parts: Iterable[Mapping[str, Any]]) -> int | None:
    """The highest position that any of them has; None unless each has one."""
    positions = [each.get("position") for each in parts]
    known = [each for each in positions if type(each) is int]
    return max(known) if known and len(known) == len(positions) else None


# --- The checkpoint ---------------------------------------------------------------------------------------------------


def log_keys(vkey: str | Iterable[str]) -> list[Verifier]:
    """The public keys of a log: each text is a key, or a file with keys, one a line; none where none is given.

    Raises PipelineError for what is none, and for a file without any: nobody who gives one wants nothing checked.
    """
    given = [vkey] if isinstance(vkey, str) else list(vkey)
    try:
        found = verifiers(given)
    except (ProofError, OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"The key of the log can't be read: {error}") from None
    if given and not found:
        raise PipelineError("The key of the log can't be read: there is none in what was given.")
    return found


def require_signed(carried: str, keys: Sequence[Verifier]) -> Checkpoint:
    """The checkpoint in a note, if one of these keys of its log signed it. Raises PipelineError, which says why not."""
    claimed = _claimed(carried)
    own = {(each.name, each.key_id) for each in keys if each.name == claimed.origin}
    if not own:
        names = ", ".join(sorted({each.name for each in keys})) or "nobody"
        raise PipelineError(f"The checkpoint is of the log {claimed.origin}, and the key is of {names}.")
    try:
        if not own & note.signed_by(carried):
            raise PipelineError(f"The checkpoint of {claimed.origin} is signed with another key.")
        return note.open_checkpoint(carried, keys)
    except ProofError as error:
        raise PipelineError(f"The checkpoint does not hold: {error}") from None


def require_covered(manifest: RunManifest, carried: str) -> None:
    """Raises PipelineError unless the tree of the checkpoint has the position that the run rests on."""
    claimed = _claimed(carried)
    if manifest.position is None:
        raise PipelineError("The manifest does not say which position of the ledger its run rests on.")
    if claimed.size < manifest.position:
        raise PipelineError(
            f"The checkpoint is of {claimed.size} events, and does not cover position {manifest.position}, which the "
            "run rests on."
        )


def require_carried(manifest: RunManifest) -> str:
    """The note that the manifest carries. Raises PipelineError if it carries none, and says why."""
    if manifest.checkpoint is not None:
        return manifest.checkpoint
    if manifest.kept_log:
        raise PipelineError("The manifest carries no checkpoint: none covered the run yet when it was registered.")
    raise PipelineError("The manifest carries no checkpoint: the portal kept no log when the run was registered.")


def require_checkpoint(manifest: RunManifest, keys: Sequence[Verifier]) -> Checkpoint:
    """The checkpoint that the manifest carries, signed by its log and of the run's position. Raises PipelineError."""
    carried = require_carried(manifest)
    found = require_signed(carried, keys)
    require_covered(manifest, carried)
    return found


def _claimed(carried: str) -> Checkpoint:
    try:
        return Checkpoint.parse(note.text_of(carried))
    except ProofError as error:
        raise PipelineError(f"The checkpoint in the manifest is malformed: {error}") from None
