"""Checkpoints that stand behind something else: the one that a run's manifest carries, and whether one is ours."""

import logging

from ..models import LogCheckpoint
from ..proofs import note
from ..proofs.errors import ProofError
from ..proofs.note import Checkpoint
from . import checkpoints, origins
from .keys import BadKey

logger = logging.getLogger(__name__)


def newest(position: int) -> LogCheckpoint | None:
    """The newest checkpoint, if its tree has this position; None if none has it yet.

    Of all that cover the position, the newest tells a verifier most. It holds the whole ledger as it was then, not only
    the part that was used, so that every later rewriting contradicts it; and it says how far the ledger had come.

    None too, and an error in the log, for one that the keys of the settings did not sign: nobody could verify it.
    """
    last = checkpoints.latest()
    if last is None or last.size < position:
        return None
    try:
        note.open_checkpoint(last.note, origins.verifiers())
    except (BadKey, ProofError) as error:
        logger.error("the checkpoint of %s events is given to nobody: %s", last.size, error)
        return None
    return last


def find(claimed: Checkpoint) -> LogCheckpoint | None:
    """The checkpoint of ours that says the same; None if there is none."""
    same = LogCheckpoint.objects.filter(size=claimed.size)
    return next((each for each in same if note.text_of(each.note) == claimed.text()), None)


def find_note(carried: str) -> LogCheckpoint | None:
    """The checkpoint of ours that says what this note says, whoever signed that; None if there is none."""
    try:
        return find(Checkpoint.parse(note.text_of(carried)))
    except ProofError:
        return None
