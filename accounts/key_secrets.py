"""The secrets of API keys: made here, kept as a keyed hash alone."""

import dataclasses
import hashlib
import hmac
import secrets

from django.conf import settings

_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


def digest(key: str) -> str:
    """What is kept of a key's text, and compared."""
    return hmac.new(settings.API_KEY_PEPPER.encode(), key.encode(), hashlib.sha256).hexdigest()


@dataclasses.dataclass(frozen=True)
class NewKey:
    """The text of a key, which is nowhere else and never shown again, and what is kept of it."""

    prefix: str
    text: str
    hash: str


def new_key(prefix: str = "") -> NewKey:
    """A fresh secret; with the prefix of a key that is to get another one."""
    prefix = prefix or "tck_" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(prefix, text, digest(text))
