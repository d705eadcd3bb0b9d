"""Signed statements: an in-toto Statement v1 in a DSSE envelope, signed with Ed25519.

Any tool that knows these formats verifies what is written here, and the other way round.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from .digests import canonical_json
from .errors import NotSigned, PipelineError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_KEY = 32  # bytes of an Ed25519 key, private or public


# --- Keys -----------------------------------------------------------------------------------------------------------


def signing_key(text: str) -> Ed25519PrivateKey:
    """The key that MANIFEST_SIGNING_KEY holds: its 32 bytes in Base64. Raises ValueError for anything else."""
    return Ed25519PrivateKey.from_private_bytes(_key_bytes(text))


def verify_key(source: str | Path | Ed25519PublicKey) -> Ed25519PublicKey:
    """A public key: itself, as PEM or the Base64 of its 32 bytes, or a file with one of these.

    Raises PipelineError for what is none of them.
    """
    if isinstance(source, Ed25519PublicKey):
        return source
    text = source if isinstance(source, str) else ""
    try:
        if not text or (len(text) < 1000 and Path(text).is_file()):
            text = Path(source).read_text("ascii")
        if "-----BEGIN" in text:
            key = load_pem_public_key(text.encode())
            if isinstance(key, Ed25519PublicKey):
                return key
        else:
            return Ed25519PublicKey.from_public_bytes(_key_bytes(text))
    except (OSError, ValueError):
        pass
    raise PipelineError("The verification key is no Ed25519 public key, in PEM or Base64, nor a file with one.")


def _key_bytes(text: str) -> bytes:
    try:
        found = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        found = b""
    if len(found) != _KEY:
        raise ValueError("a key is 32 bytes in Base64")
    return found


def public_text(key: Ed25519PrivateKey | Ed25519PublicKey) -> str:
    """The Base64 of the public key, as `verify_key` takes it."""
    return base64.b64encode(_raw_public(key)).decode()


def key_id(key: Ed25519PrivateKey | Ed25519PublicKey) -> str:
    """The name of a key in envelopes: the first 16 hexadecimal digits of the SHA-256 of its public bytes."""
    return hashlib.sha256(_raw_public(key)).hexdigest()[:16]


def _raw_public(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    return (key.public_key() if isinstance(key, Ed25519PrivateKey) else key).public_bytes_raw()


# --- Statements and envelopes -----------------------------------------------------------------------------------------


def statement(predicate_type: str, predicate: Mapping[str, Any], files: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """An in-toto Statement v1 about files, each with the keys `name` and `sha256`."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": file["name"], "digest": {"sha256": file["sha256"]}} for file in files],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding of DSSE v1: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(statement: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """The envelope, as JSON text. The same statement and key give the same bytes."""
    payload = canonical_json(statement)
    signature = key.sign(pae(PAYLOAD_TYPE, payload))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key_id(key), "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope, indent=1).encode() + b"\n"


def verify(envelope: bytes, key: Ed25519PublicKey, what: str = "manifest") -> dict[str, Any]:
    """The statement in an envelope that `key` signed. Raises NotSigned if it did not; `what` names it then.

    Raises PipelineError for what is no envelope of a statement.

    Signatures of other keys are passed over. A key id is a hint only: what counts is the signature.
    """
    try:
        read = json.loads(envelope)
        payload = base64.b64decode(read["payload"], validate=True)
        kind = read["payloadType"]
        signatures = [(each.get("keyid"), base64.b64decode(each["sig"], validate=True)) for each in read["signatures"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PipelineError(f"The {what} is no DSSE envelope.") from None
    if kind != PAYLOAD_TYPE:
        raise PipelineError(f"The {what} holds {kind!s:.100}, not {PAYLOAD_TYPE}.")
    if not any(_signed(key, signature, payload) for _id, signature in signatures):
        named = ", ".join(f"{each!s:.40}" for each, _signature in signatures) or "nobody"
        raise NotSigned(
            f"The signature of the {what} does not hold: it is of {named}, and the key to verify it is {key_id(key)}."
        )
    return _statement(payload, what)


def _signed(key: Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    try:
        key.verify(signature, pae(PAYLOAD_TYPE, payload))
    except InvalidSignature:
        return False
    return True


def _statement(payload: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(payload)
        if found["_type"] == STATEMENT_TYPE and isinstance(found["predicate"], dict):
            return dict(found)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise PipelineError(f"The {what} is no in-toto statement of version 1.")
