"""Whether this process may trust its database: asked before each answer, so mostly one comparison in memory.

A connection may lead to another server than the one before, one that was restored. So each new connection is judged
when it is first used, and every WITNESS_CHECK_SECONDS again: by the witness file where this process can read it.
Where it can't, whoever can (the worker) vouches for the database in its row `Installation`, by a number that grows; a
connection is trusted once the number has grown since it was made.
"""

import time
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ..models import PASSING
from ..proofs.errors import ProofError
from ..proofs.witness import Line
from ..proofs.witness_files import Witness
from . import judging
from .judging import Facts

# How soon a connection that nobody has vouched for, or that is in quarantine, is looked at again.
_SOON = 0.25
# How long the first question on a new connection waits for somebody to vouch, and how often it looks.
VOUCH_WAIT = 1.5
_LOOK = 0.05
# Not stored, so no Trouble: nobody who sees the witness file has vouched for this database yet.
NOT_VOUCHED = "not_vouched"
_TRUST = "witness_trust"  # the attribute of a connection


class _Trust:
    """What is known of one connection."""

    def __init__(self) -> None:
        self.until = 0.0  # monotonic time at which it is judged again
        self.trouble = NOT_VOUCHED
        self.vouches_before: int | None = None  # the number when the connection was first judged
        self.vouches = 0  # the number when it was judged last
        self.vouched = False
        self.verified = ""  # the hash of the line whose events were compared last


def quarantined() -> bool:
    """Whether the database of this thread's connection is, or may be, older than what was witnessed."""
    return trouble() != ""


def trouble() -> str:
    """Why it is in quarantine: a value of Trouble, or NOT_VOUCHED; '' if it is not."""
    connection = connections[DEFAULT_DB_ALIAS]
    trust = connection.__dict__.get(_TRUST)
    if trust is not None and time.monotonic() < trust.until:
        return str(trust.trouble)
    return _judge(connection)


def check() -> str:
    """As `trouble`, judged at this moment."""
    forget(connection=connections[DEFAULT_DB_ALIAS], keep_vouched=True)
    return trouble()


def forget(*, connection: BaseDatabaseWrapper, keep_vouched: bool = False, **_kwargs: Any) -> None:
    """Judge this connection anew at its next use: the receiver of the signal `connection_created`."""
    trust = getattr(connection, _TRUST, None)
    if keep_vouched and trust is not None:
        trust.until = 0.0
    else:
        setattr(connection, _TRUST, None)


def _judge(connection: BaseDatabaseWrapper) -> str:
    trust = connection.__dict__.get(_TRUST) or _Trust()
    connection.__dict__[_TRUST] = trust
    files, line = _witnessed()  # before the facts: so the line is the older of the two
    found = judging.facts()
    if connection.__dict__[_TRUST] is not trust:  # the statement has made a new connection
        trust = connection.__dict__[_TRUST] = _Trust()
    if line is not None:
        trust.trouble = _by_file(trust, line, found)
    elif not found.kept and (files is None or files.may_begin()):
        trust.trouble = found.quarantine
    else:
        trust.trouble = _by_voucher(connection, trust, found)
    trust.until = time.monotonic() + (_SOON if trust.trouble else settings.WITNESS_CHECK_SECONDS)
    return trust.trouble


def _by_file(trust: _Trust, line: Line, found: Facts) -> str:
    # What is passing is over, for this process has read the file.
    if found.quarantine and found.quarantine not in PASSING:
        return found.quarantine
    wrong = judging.verdict(line, found, hashes=trust.verified != line.hash)
    trust.verified = "" if wrong else line.hash
    return wrong


def _by_voucher(connection: BaseDatabaseWrapper, trust: _Trust, found: Facts) -> str:
    # Behind a pooler another database may take the place of the one vouched for: an older one has a lower number.
    if found.vouches < trust.vouches:
        trust.vouches_before, trust.vouched = None, False
    trust.vouches = found.vouches
    if trust.vouches_before is None:
        trust.vouches_before = found.vouches
        # Not within a transaction: on SQLite it would keep the worker from vouching.
        ends = time.monotonic() + (0 if connection.in_atomic_block else VOUCH_WAIT)
        while found.vouches == trust.vouches_before and not found.quarantine and time.monotonic() < ends:
            time.sleep(_LOOK)
            found = judging.facts()
    trust.vouches = found.vouches
    trust.vouched = trust.vouched or found.vouches > trust.vouches_before
    return found.quarantine or ("" if trust.vouched else NOT_VOUCHED)


# The line that was read last, and what the files looked like then: shared by all threads.
_read: tuple[tuple[object, ...], Line | None] = ((), None)


def _witnessed() -> tuple[Witness | None, Line | None]:
    """The files, and their line that has come furthest; None where this process can't read them or they have none.

    A file that can't be relied on is for the worker to tell: it does not vouch then.
    """
    global _read  # noqa: PLW0603  one assignment, so that no lock is needed
    files = judging.witness()
    if files is None:
        return None, None
    stamp = files.stamp()
    if _read[0] != (files, stamp):
        try:
            line = files.last()
        except (OSError, ProofError):
            line = None
        _read = (files, stamp), line
    return files, _read[1]
