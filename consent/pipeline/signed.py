"""Reading a signed manifest, whatever it is of: its signature, its kind and its age are judged by the same rules."""

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import dsse
from .errors import PipelineError

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_AHEAD = dt.timedelta(minutes=5)  # by which clocks of different machines may differ


def read(path: Path, key: Ed25519PublicKey, predicate: str, what: str) -> tuple[dict[str, Any], str]:
    """The statement in a file that `key` signed, and the SHA-256 of the file, in hexadecimal.

    `predicate`: how the type of the predicate ends; `what` names it. Raises PipelineError if the file can't be read, is
    not signed by that key, or is a manifest of something else.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PipelineError(f"The manifest {path} can't be read: {error.strerror}.") from None
    statement = dsse.verify(text, key, f"manifest {path}")
    if not str(statement.get("predicateType")).endswith(predicate):
        raise PipelineError(f"The manifest {path} is not of {what}.")
    return statement, hashlib.sha256(text).hexdigest()


def instant(micros: int) -> dt.datetime:
    """Microseconds since 1970 UTC as an aware datetime."""
    return _EPOCH + dt.timedelta(microseconds=micros)


def require_age(decided_at: int, max_age: dt.timedelta, now: dt.datetime, what: str) -> None:
    """Raises PipelineError if a state is older than `max_age` at `now`, or is of later than a clock may differ: it
    would stay young too long, and call records known that nobody can know of.

    `decided_at`: the state's instant, in microseconds since 1970 UTC; `what`: a sentence that the instant ends.
    """
    decided = instant(decided_at)
    said = f"{what} {decided:%Y-%m-%d %H:%M:%S} UTC"
    if decided - now > _AHEAD:
        raise PipelineError(f"{said}, which is still to come: is a clock wrong, here or at the portal?")
    if now - decided > max_age:
        raise PipelineError(f"{said}: older than {max_age} allowed.")
