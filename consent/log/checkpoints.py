"""Signs the log: a checkpoint says which root the tree has at its size, and can't be taken back.

Checkpoints are signed at fixed times, so that they do not tell when an event came.
"""

import datetime as dt
import enum
import logging
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from accounts.seldom import Seldom

from .. import ledger
from ..models import EventPosition, Installation, LogCheckpoint, LogOrigin
from ..proofs import note, tree
from ..proofs.errors import ProofError
from ..proofs.witness import LogHead
from ..witness import guard, judging
from . import appending, keys, origins, store
from .keys import BadKey
from .store import Corrupt

logger = logging.getLogger(__name__)


class Refused(Exception):
    """The log may not be signed: the message says why, and what to do."""


def latest(number: int | None = None) -> LogCheckpoint | None:
    """The newest checkpoint; of the origin of this number, if one is given."""
    found = LogCheckpoint.objects.all() if number is None else LogCheckpoint.objects.filter(origin=number)
    return found.order_by("-size").first()


# --- Signing ----------------------------------------------------------------------------------------------------------


def sign(*, at_once: bool = False) -> LogCheckpoint | None:
    """Sign what is in the log, if that is due; returns the new checkpoint. `at_once`: without waiting for the time.

    Raises Refused, BadKey, and Corrupt if the tree does not continue what was signed last; then nothing is signed.
    """
    size, last = store.size(), latest()
    if size == (last.size if last else 0):
        return None
    now = ledger.clock()
    if not at_once and not _is_due(last, now):
        return None
    origin, number = origins.current(), origins.number()
    _require_permission(origin)
    if not _is_witnessed(size):
        return None
    signer = keys.signer(number)
    root = _continued_root(size, last)
    text = note.sign(note.Checkpoint(signer.name, size, root).text(), signer)
    with transaction.atomic():
        _take_turn()
        # Another worker may have been faster, with the same bytes; or a restore was adopted meanwhile.
        if LogCheckpoint.objects.filter(size=size).exists() or origins.epoch() != number:
            return None
        if origin is None:
            LogOrigin.objects.get_or_create(number=number, defaults={"name": signer.name, "begun_at": now})
        made: LogCheckpoint = LogCheckpoint.objects.create(
            size=size, origin_id=number, root=root, note=text, signed_at=now
        )
    return made


def _is_due(last: LogCheckpoint | None, now: dt.datetime) -> bool:
    """Whether a fixed time has passed since the last checkpoint, and since the first event that it does not have."""
    seconds = settings.LOG_CHECKPOINT_SECONDS
    if not seconds:
        return True
    passed = dt.datetime.fromtimestamp(now.timestamp() // seconds * seconds, dt.UTC)
    if last and last.signed_at >= passed:
        return False
    came = _oldest_unsigned(last)
    return came is None or came < passed


def _oldest_unsigned(last: LogCheckpoint | None) -> dt.datetime | None:
    """When the first event came that is in no checkpoint; None if there is none."""
    first = EventPosition.objects.filter(pk=(last.size if last else 0) + 1)
    return first.values_list("event__recorded_at", flat=True).first()


def _require_permission(origin: LogOrigin | None) -> None:
    """Raises Refused where this installation may not sign."""
    if guard.quarantined():
        raise Refused("The database is older than what was witnessed, and what is signed can't be taken back.")
    if origin is None:
        return
    if origin.name != keys.name_of(origin.number):
        raise Refused(
            f"LOG_ORIGIN is {settings.LOG_ORIGIN}, but the log is signed as {origin.name}: set LOG_ORIGIN to "
            f"{origins.base_of(origin)}."
        )
    if origin.number != origins.epoch():
        raise Refused(
            f"A restored database was adopted, so that {origin.name} may have had other events: it stays as it was. "
            "Run log_resume to begin the next."
        )
    if origin.paused:
        raise Refused("The log is paused: run log_resume once the installation that it comes from is off.")


def _is_witnessed(size: int) -> bool:
    """Whether the witness has all that would be signed: else a database restored to before it could sign other events.

    True where no witness is kept, which `check --deploy` warns of. Raises Refused where one is kept, but this process
    does not see it, and can't compare the tree.
    """
    if (files := judging.witness()) is not None:
        try:
            line = files.last()
        except (OSError, ProofError):
            return False
        if line is None or line.log is None or line.position < size or line.log.size < size:
            return False
        # A line of an earlier epoch tells of an earlier origin. And positions alone are not enough: salts that were
        # drawn anew would make another tree of the same events.
        return line.epoch == origins.epoch() and root_at(line.log.size) == line.log.root
    if Installation.objects.current().witness_kept:
        raise Refused("A witness is kept, but this worker does not see its files: set WITNESS as elsewhere.")
    return True


def _continued_root(size: int, last: LogCheckpoint | None) -> bytes:
    """The root at this size. Raises Corrupt if the tree does not continue the one that was signed last."""
    stored = store.Tree()
    if last is not None:
        if last.size > size:
            raise Corrupt(f"a checkpoint has {last.size} leaves, but the log has only {size}")
        if tree.root(stored.read, last.size) != bytes(last.root):
            raise Corrupt(f"the tree of {last.size} leaves has another root than was signed")
    return tree.root(stored.read, size)


def _take_turn() -> None:
    """One worker at a time, and none while a restore is being adopted, which locks the row of the installation."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [appending.LOCK])
    Installation.objects.select_for_update(no_key=True).get()


# --- The step of the worker -------------------------------------------------------------------------------------------


class Step:
    """What the worker does for the log, again and again: append what has a position, and sign when that is due."""

    def __init__(self) -> None:
        self._appender = appending.Appender()
        self._seldom = Seldom(logger)

    def __call__(self, *, at_once: bool = False) -> bool:
        """Append one batch, and sign if that is due; returns whether anything was done. What is wrong is logged."""
        if not keys.may_sign() or guard.quarantined():
            return False
        try:
            added = self._appender.append()
            return sign(at_once=at_once and not added) is not None or added > 0
        except Corrupt as error:
            self._appender = appending.Appender()
            self._seldom.error("the log is not as it was written, so nothing is added and signed: %s", error)
        except (Refused, BadKey) as error:
            self._seldom.warning("the log is not signed: %s", error)
        return False


# --- As the witness has it --------------------------------------------------------------------------------------------


def head() -> LogHead | None:
    """How far the log has come, signed or not; None if there is none."""
    size = store.size()
    return LogHead(size, root_at(size) or "") if size else None


def root_at(size: int) -> str | None:
    """The root at this size in hexadecimal digits; None if the log has not come so far, "" if it is not whole."""
    if store.size() < size:
        return None
    try:
        return tree.root(store.Tree().read, size).hex()
    except Corrupt:
        return ""


# --- How it stands ----------------------------------------------------------------------------------------------------


class State(enum.StrEnum):
    OFF = "off"  # there is no key
    OK = "ok"
    BEHIND = "behind"  # events wait for a checkpoint longer than they should
    PAUSED = "paused"  # the installation was moved, or may not sign
    CORRUPT = "corrupt"


class Standing(NamedTuple):
    """`size`: leaves; `signed`: those in the last checkpoint; `waiting`: events with a position that are not in it;
    `origin`: the number of the origin under which the log is signed now."""

    state: State
    size: int = 0
    signed: int = 0
    waiting: int = 0
    origin: int = 0


_PATIENCE = 60  # seconds, beside two times that between checkpoints


def standing() -> Standing:
    """How the log stands, by a few look-ups: it does not look at every leaf, as `verify_ledger` does."""
    if not keys.is_on():
        return Standing(State.OFF)
    last, size, head = latest(), store.size(), ledger.head()
    signed = last.size if last else 0
    return Standing(_state(last, size, head), size, signed, max(0, head - signed), origins.number())


def _state(last: LogCheckpoint | None, size: int, head: int) -> State:
    try:
        if size > head:
            return State.CORRUPT
        _continued_root(size, last)
        keys.verifiers()
        _require_permission(origins.current())
    except Corrupt:
        return State.CORRUPT
    except (Refused, BadKey):
        return State.PAUSED
    return State.BEHIND if _waits_long(last) else State.OK


def _waits_long(last: LogCheckpoint | None) -> bool:
    came = _oldest_unsigned(last)
    patience = dt.timedelta(seconds=_PATIENCE + 2 * settings.LOG_CHECKPOINT_SECONDS)
    return came is not None and came < ledger.clock() - patience
