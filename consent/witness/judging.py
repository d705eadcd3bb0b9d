"""Whether a database is the one that a line of a witness file speaks of."""

import functools
import uuid
from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from accounts.fields import from_raw_id

from ..models import Trouble
from ..proofs.witness import Line, LogHead
from ..proofs.witness_files import Witness
from . import chain


class Facts(NamedTuple):
    """What the database says of itself, read by one statement: of one moment."""

    installation: uuid.UUID
    epoch: int
    kept: bool
    vouches: int
    witnessed: int
    quarantine: str
    head: int
    events: int


_FACTS = """
SELECT i.id, i.epoch, i.witness_kept, i.vouches, i.witnessed_position, i.quarantine, h.head,
    h.head + (SELECT COUNT(*) FROM consent_pendingevent)
FROM consent_installation AS i, (SELECT COALESCE(MAX(position), 0) AS head FROM consent_eventposition) AS h"""


def facts() -> Facts:
    """Raises LookupError if there is no row of the installation: then the database was not made by the migrations."""
    with connection.cursor() as cursor:
        cursor.execute(_FACTS)
        row = cursor.fetchone()
    if row is None:
        raise LookupError("this database has no row that says which installation it belongs to")
    installation, epoch, kept, *others = row
    return Facts(from_raw_id(installation), epoch, bool(kept), *others)


def witness() -> Witness | None:
    """The files of the setting WITNESS; None if it names none."""
    return _at(tuple(settings.WITNESS)) if settings.WITNESS else None


@functools.lru_cache(maxsize=8)
def _at(paths: tuple[str, ...]) -> Witness:
    return Witness.at(paths)


def verdict(line: Line, found: Facts, *, hashes: bool = True) -> str:
    """What is wrong with a database, as a value of Trouble; '' if nothing. The line must be older than `found`.

    `hashes`: whether to compare the hashes too, which reads the events of the line.
    """
    if line.installation != str(found.installation):
        return Trouble.OTHER_INSTALLATION
    if line.epoch != found.epoch:
        return Trouble.OTHER_EPOCH
    if line.position > found.head:
        return Trouble.HEAD_LOWER
    if line.events > found.events:
        return Trouble.FEWER_EVENTS
    if hashes and chain.hash_at(line.position, line.after, line.previous) != line.hash:
        return Trouble.OTHER_HASH
    return _verdict_of_log(line.log) if line.log else ""


# --- The transparency log, which knows this module, not the other way round -------------------------------------------


class LogReader(NamedTuple):
    """How the log is read: `head` gives its size and root now, None if there is none; `root_at` the root, in
    hexadecimal digits, that it had at a size; None if it has not come so far."""

    head: Callable[[], LogHead | None]
    root_at: Callable[[int], str | None]


_log: list[LogReader] = []


def register_log(reader: LogReader) -> None:
    """Let lines carry the log's head, and judge by it."""
    _log[:] = [reader]


def log_head() -> LogHead | None:
    return _log[0].head() if _log else None


def _verdict_of_log(witnessed: LogHead) -> str:
    if not _log or not witnessed.size:
        return ""
    root = _log[0].root_at(witnessed.size)
    if root is None:
        return Trouble.LOG_BEHIND
    return "" if root == witnessed.root else Trouble.LOG_FORKED
