"""Signed notes and checkpoints, as C2SP specifies them (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).

Signatures are Ed25519 alone (type 0x01). Keys are texts in the form of Go's golang.org/x/mod/sumdb/note.
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .encoding import HASH, decode, encode, utf8
from .errors import ProofError

MAX_NOTE = 1_000_000  # characters
_MAX_SIGNATURES = 100
_ED25519 = b"\x01"
_KEY = 32  # bytes of an Ed25519 key, private or public
_KEY_ID = 4  # bytes
_SIGNATURE = 64  # bytes
_PRIVATE = "PRIVATE+KEY+"
_LINE = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
MAX_SIZE = 2**63 - 1  # leaves


# --- Keys -------------------------------------------------------------------------------------------------------------


class NoteSigner(Protocol):
    """Whatever signs notes: `Signer` has the key in memory, another may ask a key management service."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    def sign(self, message: bytes, /) -> bytes:
        """The Ed25519 signature of the message: 64 bytes."""
        ...


@dataclasses.dataclass(frozen=True)
class Verifier:
    """A public key under a name. `parse` reads it, `str()` writes it: `name+hash+base64`."""

    name: str
    key: bytes  # 32

    def __post_init__(self) -> None:
        _require_name(self.name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A verifier key ("vkey"). Raises ProofError for anything else."""
        name, key_id, key = _parts(text, "verifier key")
        found = cls(name, key)
        if found.key_id.hex() != key_id:
            raise ProofError("The verifier key is damaged: its hash is not that of its name and key.")
        return found

    @property
    def key_id(self) -> bytes:
        """4 bytes: the beginning of the SHA-256 of name and key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:_KEY_ID]

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode(_ED25519 + self.key)}"


class Signer:
    """A private key under a name. Its `repr` does not show the key."""

    def __init__(self, name: str, key: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """A key like `PRIVATE+KEY+name+hash+base64`. Raises ProofError for anything else; the error shows no key."""
        if not text.startswith(_PRIVATE):
            raise ProofError("A signing key begins with PRIVATE+KEY+.")
        name, key_id, key = _parts(text.removeprefix(_PRIVATE), "signing key")
        found = cls(name, key)
        if found.key_id.hex() != key_id:
            raise ProofError("The signing key is damaged: its hash is not that of its name and key.")
        return found

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new key. Raises ProofError for a name that a key can't have."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    def under(self, name: str) -> "Signer":
        """The same key under another name, which makes it another key to verifiers."""
        return Signer(name, self._key.private_bytes_raw())

    @property
    def name(self) -> str:
        return self.verifier.name

    @property
    def key_id(self) -> bytes:
        return self.verifier.key_id

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same message gives the same."""
        return self._key.sign(message)

    def private_text(self) -> str:
        """The key as `parse` takes it: a secret."""
        return f"{_PRIVATE}{self.name}+{self.key_id.hex()}+{encode(_ED25519 + self._key.private_bytes_raw())}"

    def __repr__(self) -> str:
        return f"<Signer {self.name}+{self.key_id.hex()}>"


def _parts(text: str, what: str) -> tuple[str, str, bytes]:
    """The name, the key id in hexadecimal, and the key of a text `name+hash+base64`; the Base64 may contain `+`."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise ProofError(f"The {what} is not of the form name+hash+base64.")
    data = decode(parts[2], what)
    if data[:1] != _ED25519 or len(data) != 1 + _KEY:
        raise ProofError(f"The {what} is not one of Ed25519.")
    return parts[0], parts[1], data[1:]


def _require_name(name: str) -> None:
    if not name or "+" in name or any(each.isspace() for each in name) or _CONTROL.search(name):
        raise ProofError("The name of a key can't be empty, and has no space and no “+”.")


# --- Notes ------------------------------------------------------------------------------------------------------------


class Opened(NamedTuple):
    """A note whose signatures were checked: its text, and the keys that signed it, of those that were asked for."""

    text: str
    verified: tuple[Verifier, ...]


def sign(text: str, signer: NoteSigner) -> str:
    """The note of a text that ends with a line break. The same text and key give the same note.

    Raises ProofError for a text that a note can't have.
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise ProofError("The text of a note ends with a line break, and has no other control characters.")
    signature = signer.sign(utf8(text))
    if len(signature) != _SIGNATURE:
        raise ProofError(f"The signer gave {len(signature)} bytes, not a signature of {_SIGNATURE}.")
    return f"{text}\n{_LINE}{signer.name} {encode(signer.key_id + signature)}\n"


def open_note(note: str, verifiers: Iterable[Verifier]) -> Opened:
    """The text of a note that at least one of the keys signed.

    Lines of other keys are passed over. Raises ProofError if none of the keys signed it, if a line of one of them does
    not hold, or if the note is malformed, in the Base64 of any line too.
    """
    keys = {(each.name, each.key_id): each for each in verifiers}
    text, lines = _split(note)
    message = utf8(text)
    verified: dict[Verifier, None] = {}
    for name, key_id, signature in map(_signature, lines):
        key = keys.get((name, key_id))
        if key is None:
            continue
        if not key.holds(message, signature):
            raise ProofError(f"The signature of {name} does not hold.")
        verified[key] = None
    if not verified:
        raise ProofError("None of the keys given has signed the note.")
    return Opened(text, tuple(verified))


def text_of(note: str) -> str:
    """The text of a note, whoever signed it, or nobody. Raises ProofError if it is malformed."""
    return _split(note)[0]


def signed_by(note: str) -> set[tuple[str, bytes]]:
    """The names and key ids of the lines of a note, whether they hold or not. Raises ProofError if it is malformed."""
    return {(name, key_id) for name, key_id, _data in map(_signature, _split(note)[1])}


def _split(note: str) -> tuple[str, list[str]]:
    """The text, and the lines of signatures without their line breaks."""
    before, blank, after = note.rpartition("\n\n")
    lines = after.split("\n")
    if len(note) > MAX_NOTE or _CONTROL.search(note) or not blank or lines.pop() or not lines:
        raise ProofError("The note is malformed: it is a text, an empty line and lines of signatures.")
    if len(lines) > _MAX_SIGNATURES:
        raise ProofError(f"The note has more than {_MAX_SIGNATURES} signatures.")
    return before + "\n", lines


def _signature(line: str) -> tuple[str, bytes, bytes]:
    """The name, key id and signature of a line."""
    name, space, text = line.removeprefix(_LINE).partition(" ")
    if not line.startswith(_LINE) or not space:
        raise ProofError("The note is malformed: a line of its signatures is not a dash, a name and a signature.")
    _require_name(name)
    data = decode(text, "signature of the note")
    if len(data) <= _KEY_ID:
        raise ProofError("A signature of the note is too short.")
    return name, data[:_KEY_ID], data[_KEY_ID:]


# --- Checkpoints ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a log signs: that its tree has this root at this number of leaves. `root`: 32 bytes."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or _CONTROL.search(self.origin) or "\n" in self.origin:
            raise ProofError("The origin of a checkpoint is one line.")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH:
            raise ProofError("A checkpoint has a number of leaves and a hash of 32 bytes.")

    def text(self) -> str:
        """The text of its note: three lines."""
        return f"{self.origin}\n{self.size}\n{encode(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The checkpoint of a note's text. Raises ProofError for anything else, and for extension lines: this log
        writes none, so nobody could say what they mean."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not NUMBER.fullmatch(lines[1]):
            raise ProofError("The text is not that of a checkpoint: origin, number of leaves and root, a line each.")
        return cls(lines[0], int(lines[1]), decode(lines[2], "root of the checkpoint"))


def open_checkpoint(note: str, verifiers: Iterable[Verifier]) -> Checkpoint:
    """The checkpoint in a note that a key of the log signed: one whose name is the origin. Raises ProofError."""
    opened = open_note(note, verifiers)
    found = Checkpoint.parse(opened.text)
    if not any(each.name == found.origin for each in opened.verified):
        raise ProofError(f"The checkpoint is of {found.origin}, and no key of that name signed it.")
    return found
