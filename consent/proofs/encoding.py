"""Texts and bytes: Base64 with one spelling for each value, so that no bit of a text can change unnoticed."""

import base64
import binascii

from .errors import ProofError

HASH = 32  # bytes of a SHA-256


def encode(value: bytes) -> str:
    """Standard Base64 (RFC 4648, section 4), with padding."""
    return base64.b64encode(value).decode("ascii")


def decode(text: str, what: str, length: int | None = None) -> bytes:
    """The bytes that `encode` spells so; `what` names them in errors, `length` is how many bytes they have to be.

    Raises ProofError, also where the unused bits of the last character are not zero: most decoders pass over them, and
    two texts would mean the same.
    """
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters outside ASCII
        found = None
    if found is None or encode(found) != text:
        raise ProofError(f"The {what} is not Base64 in its standard spelling.")
    if length is not None and len(found) != length:
        raise ProofError(f"The {what} has {len(found)} bytes, not {length}.")
    return found


def utf8(text: str) -> bytes:
    """The text in UTF-8. Raises ProofError for one that has half of a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ProofError("The text is not one that UTF-8 can hold.") from None
