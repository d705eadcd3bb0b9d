"""Writes the witness: what the worker does beside its work. Whoever writes it also judges and vouches by it.

A round holds the files, reads their last line, then the database: if that is behind, it is put in quarantine, and
nothing is written. Else what is new in the ledger is appended, and is on disk before anybody is told of it.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from django.conf import settings
from django.db import OperationalError, close_old_connections, connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.fields import to_micros
from accounts.seldom import Seldom, first_line

from ..models import PASSING, Installation, Trouble
from ..proofs.errors import ProofError
from ..proofs.witness import START, Line, LogHead, chained
from ..proofs.witness_files import Held, Unwritable
from . import chain, judging
from .judging import Facts

logger = logging.getLogger(__name__)
_away = Seldom(logger)
_unwritten = Seldom(logger)
EVERY = 0.5  # seconds from one round to the next, at most
EVERY_WHEN_AWAITED = 0.05  # where writes wait for their line (WITNESS_SYNC)
_VOUCH_SQLITE = 5.0  # seconds: there a vouch is a write to the disk, and mostly everybody sees the file
_EVENTS_A_LINE = 500
_EVENTS_A_ROUND = 5_000
_PRUNE_SECONDS = 3_600.0

_round = threading.Lock()  # the files' locks are the process's, not the thread's
_vouched_at = _pruned_at = float("-inf")


def keep() -> str:
    """One round; returns what is wrong, as a value of Trouble, '' if nothing. Without the setting WITNESS it does
    nothing. Must not be called in a transaction: a line may tell only of what is committed."""
    files = judging.witness()
    if files is None:
        return ""
    if connection.in_atomic_block:
        raise RuntimeError("a line of the witness may tell only of what is committed")
    with _round, contextlib.ExitStack() as stack:
        held: Held | None = None
        try:
            held = stack.enter_context(files.held())
        except Unwritable as error:
            _unwritten.warning("%s", error)
        try:
            last = files.last()  # before the facts: so the line is the older of the two
        except (OSError, ProofError) as error:
            _unwritten.warning("the witness file can't be read: %s", error)
            return _told(judging.facts(), Trouble.WITNESS_DAMAGED)
        found = judging.facts()
        wrong = _wrong(last, found)
        if wrong or held is None:
            return _told(found, wrong)
        try:
            _write(held, last, found)
        except Unwritable as error:  # a full disk: what was witnessed stays, and the lag is there to be seen
            _unwritten.warning("%s", error)
        return ""


def _write(held: Held, last: Line | None, found: Facts) -> None:
    while lines := list(_new_lines(last, found)):
        for fault in held.append(lines):
            _unwritten.warning("a witness file was not written: %s", fault)
        last = lines[-1]
        if last.position >= found.head:
            break
    _vouch(found, last)
    _prune(held)


def _wrong(last: Line | None, found: Facts) -> str:
    if last is None:
        # Only where one was kept is it lost; else it begins now.
        return Trouble.WITNESS_LOST if found.kept else ""
    # Whether a restore was adopted, only the command that adopts it says.
    if found.quarantine and found.quarantine not in PASSING:
        return found.quarantine
    return judging.verdict(last, found)


def _told(found: Facts, wrong: str) -> str:
    """Put the database in quarantine, so that processes which don't see the file know; only once.

    What lasts is not replaced by what passes: a file that can be read again would end it, and nobody has adopted.
    """
    if found.quarantine and found.quarantine not in PASSING:
        return found.quarantine
    if wrong and wrong != found.quarantine:
        logger.critical("this database is in quarantine: %s", Trouble(wrong).label)
        Installation.objects.filter(quarantine=found.quarantine).update(
            quarantine=wrong, quarantined_at=to_micros(timezone.now())
        )
    return wrong


def _new_lines(last: Line | None, found: Facts) -> Iterator[Line]:
    """Lines for what the ledger has beyond the last one, up to _EVENTS_A_ROUND events."""
    log = judging.log_head()
    begins = last is None
    after, previous = (max(0, found.head - _EVENTS_A_LINE), START) if last is None else (last.position, last.hash)
    if not begins and found.head <= after and _same_log(last, log):
        return
    end = min(found.head, after + _EVENTS_A_ROUND)
    while True:
        until = min(end, after + _EVENTS_A_LINE)
        events = list(chain.events(after, until))
        if len(events) != until - after:
            raise RuntimeError(f"positions {after + 1} to {until} are not gapless")
        reached = chained(previous, (event.text for event in events))
        yield Line(
            installation=str(found.installation),
            epoch=found.epoch,
            after=after,
            position=until,
            previous=previous,
            hash=reached,
            recorded_at=events[-1].recorded_at if events else _recorded_at(last),
            # Only the last line speaks of what waits for a position.
            events=found.events if until == found.head else until,
            written_at=to_micros(timezone.now()),
            changes=tuple(event.change for event in events),
            log=log if until == found.head else None,
        )
        if until >= end:
            return
        after, previous = until, reached


def _recorded_at(last: Line | None) -> int:
    return last.recorded_at if last else 0


def _same_log(last: Line | None, log: LogHead | None) -> bool:
    return log is None or (last is not None and last.log == log)


def _vouch(found: Facts, last: Line | None) -> None:
    """Say in the database that it is the one that was witnessed, and how far."""
    global _vouched_at  # noqa: PLW0603  guarded by _round
    now = time.monotonic()
    position = last.position if last else 0
    due = connection.vendor == "postgresql" or now >= _vouched_at + _VOUCH_SQLITE
    if not (due or position != found.witnessed or not found.kept or found.quarantine):
        return
    _vouched_at = now
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # Twice a second: nothing is lost with one of them, and no disk need wait for it.
                cursor.execute("SET LOCAL synchronous_commit TO OFF")
        Installation.objects.filter(pk=found.installation, quarantine__in=["", *PASSING]).update(
            witness_kept=True,
            witnessed_position=position,
            witnessed_at=to_micros(timezone.now()),
            vouches=F("vouches") + 1,
            quarantine="",
            quarantined_at=None,
        )


def _prune(held: Held) -> None:
    global _pruned_at  # noqa: PLW0603  guarded by _round
    if time.monotonic() >= _pruned_at + _PRUNE_SECONDS:
        _pruned_at = time.monotonic()
        held.prune(to_micros(timezone.now()))


class Keeper:
    """Context manager that runs rounds in a thread of its own. On exit a last round notes what was done meanwhile.

    `sequence` gives events their positions: where writes wait for their line, it must not wait for other work.
    """

    def __init__(self, sequence: Callable[[], int]) -> None:
        self._sequence = sequence
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> "Keeper":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._told.set()
        self._thread.join(2)

    def _run(self) -> None:
        if not settings.WITNESS:
            logger.warning("WITNESS is not set: a database restored from a backup would not be recognised as one")
        every = EVERY_WHEN_AWAITED if settings.WITNESS_SYNC else EVERY
        try:
            while not self._told.is_set():
                self._once()
                self._told.wait(every)
            self._once()
        finally:
            connection.close()

    def _once(self) -> None:
        close_old_connections()
        try:
            if settings.WITNESS_SYNC:
                self._sequence()
            keep()
        except OperationalError as error:
            _away.warning("the database does not answer; trying again: %s", first_line(error))
        except Exception:
            logger.exception("the witness could not be kept")
