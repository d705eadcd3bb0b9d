"""What a witness remembers of a ledger: lines that say how far it had come, and by which hash.

A database that was restored to an earlier moment is perfect in itself. A line that was written elsewhere shows that it
had come further. Events are chained: the hash at a position is SHA-256(hash at the position before || the event), so
that one hash stands for all events up to there. Pure like all of this package; docs/operations.md describes the format.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from .errors import ProofError

VERSION = 1
START = "00" * 32  # the hash before the first event that a chain covers
_SUM = 16  # hexadecimal digits of a line's own checksum
_TAIL = len(f',"sum":"{"0" * _SUM}"}}')


class Unreadable(ProofError):
    """No whole line: damaged, or never written to its end."""


class Change(NamedTuple):
    """What an event said, as far as it is needed to apply a lost "no" again.

    `organization` and `member` are UUIDs as text, '' for none. `product` is '' for an event about the organization or
    the membership itself, None for one of no layer. `allowed` is whether its layer allowed use after it.
    """

    position: int
    kind: str
    organization: str
    member: str
    product: str | None
    allowed: bool


class LogHead(NamedTuple):
    """How far the transparency log had come: its number of leaves, and its root in hexadecimal digits."""

    size: int
    root: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was witnessed at one moment. Instants are microseconds since 1970 UTC, hashes are hexadecimal digits.

    `previous` is the hash at `after`, the position that the line before had come to; `hash` that at `position`, the
    head. So a line can be checked by itself, against the events in between; `changes` has each of these.
    """

    installation: str
    epoch: int
    after: int
    position: int
    previous: str
    hash: str
    recorded_at: int  # of the event at the head; 0 in an empty ledger
    events: int  # stored then: those with a position, and those that waited for one
    written_at: int
    changes: tuple[Change, ...] = ()
    log: LogHead | None = None
    restored_to: int | None = None  # in an epoch's first line: the last position it has in common with the one before

    def text(self) -> str:
        """One line of JSON, without the line break."""
        fields: dict[str, object] = {
            "v": VERSION,
            "installation": self.installation,
            "epoch": self.epoch,
            "after": self.after,
            "position": self.position,
            "previous": self.previous,
            "hash": self.hash,
            "recorded_at": self.recorded_at,
            "events": self.events,
            "written_at": self.written_at,
            "changes": self.changes,
        }
        if self.log is not None:
            fields["log"] = self.log._asdict()
        if self.restored_to is not None:
            fields["restored_to"] = self.restored_to
        body = json.dumps(fields, separators=(",", ":"))
        return f'{body[:-1]},"sum":"{_sum(body)}"}}'

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `text`. Raises Unreadable for what is no whole line, ProofError for one of another version."""
        body = text[:-_TAIL] + "}"
        if not text.endswith(f',"sum":"{_sum(body)}"}}'):
            raise Unreadable("This is no whole line of a witness file.")
        fields: dict[str, Any] = json.loads(body)
        if fields.pop("v", None) != VERSION:
            raise ProofError(f"This line of a witness file is not of version {VERSION}.")
        try:
            changes = tuple(Change(*each) for each in fields.pop("changes"))
            log = LogHead(**fields.pop("log")) if "log" in fields else None
            return cls(**fields, changes=changes, log=log)
        except (KeyError, TypeError) as error:
            raise ProofError("This line of a witness file lacks something.") from error

    @property
    def order(self) -> tuple[int, int, int]:
        """Grows from line to line."""
        return self.epoch, self.position, self.log.size if self.log else 0


def _sum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:_SUM]


def event_text(fields: Mapping[str, object]) -> bytes:
    """An event as it is chained: JSON without what is empty or false, so that a new column changes no earlier hash."""
    kept = {name: value for name, value in fields.items() if value is not None and value is not False and value != ""}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def chained(previous: str, events: Iterable[bytes]) -> str:
    """The hash after these events, each as `event_text` gives it, in order of position."""
    found = bytes.fromhex(previous)
    for event in events:
        found = hashlib.sha256(found + event).digest()
    return found.hex()
