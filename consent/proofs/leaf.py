"""What the log holds of an event: the canonical text of all its fields, blinded by a salt.

    entry = SHA-256( "training-consent-event/v1\\n" || salt || body )

The entries are public where the log is, and a salt of 32 random bytes makes them noise to whoever does not have it:
who opted out can't be guessed. Words, and operators' ids, are in the body as digests under a second salt, so that they
can be erased or kept back while the rest proves itself.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .encoding import utf8
from .errors import ProofError

DOMAIN = b"training-consent-event/v1\n"
SALT = 32  # bytes

Value = str | bool | None

_TYPES = frozenset({str, bool, type(None)})
# RFC 8785 for what a body may hold: ASCII keys in order, texts, true, false and null. Tests compare.
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def body(fields: Mapping[str, Value]) -> str:
    """The canonical JSON of an event's fields. The same fields give the same text, in any order.

    Raises ProofError for a value that is no text, boolean or None: numbers have to be texts, for not every reader of
    JSON keeps those above 2**53.
    """
    if not set(map(type, fields.values())) <= _TYPES:
        raise ProofError("A field of the body is no text, boolean or null.")
    if not "".join(fields).isascii():
        raise ProofError("A name of a field of the body is not ASCII.")
    return _ENCODE(dict(fields))


def fields(text: str) -> dict[str, Value]:
    """The fields of a body. Raises ProofError for a text that `body` would not have made of them."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or body(found) != text:
        raise ProofError("The body is not the canonical text of an event's fields.")
    return found


def entry(salt: bytes, body: str) -> bytes:
    """The 32 bytes that the log holds at the event's place; `tree.leaf_hash` makes a leaf of them.

    Raises ProofError for a salt that is not 32 bytes long.
    """
    _require_salt(salt)
    return hashlib.sha256(DOMAIN + salt + utf8(body)).digest()


def words_digest(words_salt: bytes, label: str, text: str) -> str:
    """What the body has in place of a text that may be erased: 64 hexadecimal digits, or "" for an empty text.

    `label` is the name of the field: the same text in two fields gives two digests.
    """
    _require_salt(words_salt)
    return hashlib.sha256(words_salt + utf8(f"{label}\0{text}")).hexdigest() if text else ""


def _require_salt(salt: bytes) -> None:
    if len(salt) != SALT:
        raise ProofError(f"A salt has {SALT} bytes, not {len(salt)}.")
