"""Keys from the settings, with rotation: new data is encrypted or signed with the first key, old data with any of them.

A purpose without a configured key uses one derived from SECRET_KEY. That key is accepted later too, so that what it
encrypted can still be read. Each key has an id, derived from it and stored with what it made, so that an error can name
the missing key.
"""

import base64
import binascii
import dataclasses
import functools
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

ENCRYPTION, WEBHOOKS = "ENCRYPTION_KEYS", "WEBHOOK_KEYS"
_VERSION = "v1"
_NONCE = 12  # bytes, as AES-GCM wants them


class UnknownKey(Exception):
    """The data was made with the key `key_id`, which is not among the keys of the setting `setting`."""

    def __init__(self, setting: str, key_id: str) -> None:
        super().__init__(f"key {key_id or 'of no known id'} is not among {setting}")
        self.setting, self.key_id = setting, key_id


class NotEncrypted(Exception):
    """The text is not a ciphertext, or was altered."""


@dataclasses.dataclass(frozen=True)
class Key:
    id: str
    material: bytes = dataclasses.field(repr=False)


@functools.lru_cache(maxsize=64)
def derive(purpose: str, text: str) -> Key:
    """The key that HKDF-SHA256 derives from a setting's text for one purpose; purposes have independent keys."""

    def expand(what: str, length: int) -> bytes:
        info = f"training-consent/{purpose}/{what}".encode()
        return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(text.encode())

    return Key(expand("id", 4).hex(), expand("key", 32))


def ring(setting: str) -> list[Key]:
    """The keys of ENCRYPTION or WEBHOOKS, without duplicates: first the one in use, then those also accepted."""
    configured: Sequence[str] = getattr(settings, setting)
    keys = [derive(setting, text) for text in (*configured, settings.SECRET_KEY)]
    return list(dict.fromkeys(keys))


def find(setting: str, key_id: str) -> Key:
    """The key with this id. Raises UnknownKey."""
    for key in ring(setting):
        if key.id == key_id:
            return key
    raise UnknownKey(setting, key_id)


def fingerprint(setting: str) -> str:
    """A short public id of a setting with one secret, to compare two installations without showing the secret."""
    return derive(setting, getattr(settings, setting)).id


def encrypt(text: str) -> str:
    """AES-256-GCM with the first key, as `v1.<key id>.<nonce and ciphertext>`."""
    # The version is authenticated as associated data, so that it can't be changed without detection.
    key, nonce = ring(ENCRYPTION)[0], os.urandom(_NONCE)
    sealed = nonce + AESGCM(key.material).encrypt(nonce, text.encode(), _VERSION.encode())
    return f"{_VERSION}.{key.id}.{base64.urlsafe_b64encode(sealed).decode()}"


def decrypt(text: str) -> str:
    """Raises UnknownKey, and NotEncrypted for plain or altered text: writing to the database alone forges no secret."""
    key = find(ENCRYPTION, key_id_of(text))
    try:
        sealed = base64.b64decode(text.rpartition(".")[2], altchars=b"-_", validate=True)
        return AESGCM(key.material).decrypt(sealed[:_NONCE], sealed[_NONCE:], _VERSION.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise NotEncrypted("the ciphertext was altered") from error


def is_encrypted(text: str) -> bool:
    version, _dot, rest = text.partition(".")
    return version == _VERSION and len(rest.partition(".")[0]) == 8 and "." in rest


def key_id_of(ciphertext: str) -> str:
    """The id of the key that a ciphertext was made with. Raises NotEncrypted."""
    if not is_encrypted(ciphertext):
        raise NotEncrypted("this was not encrypted")
    return ciphertext.split(".")[1]
