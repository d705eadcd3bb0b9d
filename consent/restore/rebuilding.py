"""Begins a witness anew that is lost or damaged, of a database that is whole."""

import contextlib
import os
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.access import Actor

from ..errors import Refused
from ..models import PASSING, EventKind, Installation, Source
from ..proofs.errors import ProofError
from ..services import layers, restored, trail
from ..witness import judging


def rebuild(*, actor: Actor, reason: str) -> list[str]:
    """Let the witness begin anew, on the operator's word that the database is whole; returns what was moved aside.

    Raises Forbidden, Invalid without a reason; Refused where a file can be read, or something else than the witness is
    wrong: then the file knows better.
    """
    reason = layers.clean_text(reason, "reason", required=True)
    restored.origin(actor, reason)
    if not settings.WITNESS:
        raise Refused("no_witness", ("There is no setting WITNESS: no witness is kept."))
    _refuse_readable()
    with transaction.atomic():
        installation = Installation.objects.select_for_update().get()
        if installation.quarantine and installation.quarantine not in PASSING:
            text = "This database is in quarantine: %s Adopt it."
            raise Refused("quarantine", text % installation.get_quarantine_display())
        trail.note(
            EventKind.RESTORE_WITNESS_REBUILT,
            organization=None,
            actor=actor,
            source=Source.COMMAND,
            target=installation.epoch,
            reason=reason,
        )
        Installation.objects.update(witness_kept=False, witnessed_position=0, quarantine="", quarantined_at=None)
        return [aside for path in settings.WITNESS if (aside := _aside(Path(path)))]


def _refuse_readable() -> None:
    """Raise Refused if any file has a line: it is not lost."""
    witness = judging.witness()
    with contextlib.suppress(ProofError):
        if witness is not None and (last := witness.last()) is not None:
            text = "The witness can be read, up to position %s: it is not lost."
            raise Refused("not_lost", text % f"{last.position:,}")


def _aside(path: Path) -> str:
    """Give a file that can't be read another name; '' if there is none."""
    if not os.path.lexists(path):
        return ""
    other = path.with_name(f"{path.name}.damaged-{timezone.now():%Y%m%dT%H%M%S}")
    path.rename(other)
    return str(other)
