"""Generates the secrets of API keys, and the keyed hash that is stored of them."""

import dataclasses
import hmac
import secrets

from django.conf import settings

# Without 0, O, 1, I and l, which look alike.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


def digest(key: str) -> str:
    """HMAC-SHA256 of a key's text in hexadecimal, with API_KEY_PEPPER: only this is stored and compared."""
    return hmac.digest(settings.API_KEY_PEPPER.encode(), key.encode(), "sha256").hex()


@dataclasses.dataclass(frozen=True)
class NewKey:
    """A new key. `text` is shown once and never stored; `prefix` and `hash` are stored."""

    prefix: str
    text: str
    hash: str


def new_key(prefix: str = "") -> NewKey:
    """A new random key. Pass the `prefix` of an existing key to give that key a new secret."""
    prefix = prefix or "tck_" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(prefix, text, digest(text))
