"""A small log of made-up events, its keys and receipts, without a database."""

import functools
import random

from consent.proofs import leaf, note, tree
from consent.proofs.note import Checkpoint, Signer
from consent.proofs.receipt import Receipt

ORIGIN = "portal.example/log"
SIGNER = Signer(ORIGIN, bytes(range(32)))
WITNESS = Signer("witness.example", bytes(32))
VKEY = str(SIGNER.verifier)
OTHER_VKEY = str(Signer(ORIGIN, bytes(32)).verifier)
SIZE = 300
REASON = "Asked by phone – “never”\nagain"


def _random(label: str) -> bytes:
    return random.Random(label).randbytes(32)  # noqa: S311  the same in each run


@functools.cache
def made(index: int) -> tuple[bytes, bytes, str]:
    """Salt, salt of the words, and body of the event at this index."""
    salt, words_salt = _random(f"salt {index}"), _random(f"words {index}")
    fields = {
        "v": "1",
        "position": str(index + 1),
        "id": str(index + 7),
        "recorded_at": "1795080600000001",
        "since": "1795080600000001",
        "kind": "choice.opted_out",
        "organization": "0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f",
        "member": None,
        "product": "le_chat",
        "surface": "le_chat_console",
        "before": "default",
        "after": "opted_out",
        "choice": "opted_out",
        "allowed": False,
        "reason_code": "organization_opted_out",
        "actor_type": "user",
        "actor_id": "0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e7b",
        "by_operator": False,
        "source": "console",
        "reason": leaf.words_digest(words_salt, "reason", REASON),
        "reference": "",
        "plan": "é",
    }
    return salt, words_salt, leaf.body(fields)


@functools.cache
def read(level: int, index: int) -> bytes:
    """A hash of the log's tree."""
    if level:
        return tree.node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))
    salt, _words_salt, body = made(index)
    return tree.leaf_hash(leaf.entry(salt, body))


def checkpoint(size: int = SIZE) -> str:
    """The signed note at this size, with a line of a witness that verifiers do not know."""
    text = Checkpoint(ORIGIN, size, tree.root(read, size)).text()
    return note.sign(text, SIGNER) + note.sign(text, WITNESS).removeprefix(f"{text}\n")


def receipt(index: int = 41, size: int = SIZE, *, words: bool = True) -> Receipt:
    """The receipt of an event, whose reason is REASON."""
    salt, words_salt, body = made(index)
    return Receipt(
        body=body,
        salt=salt,
        index=index,
        proof=tuple(tree.inclusion(read, index, size)),
        checkpoint=checkpoint(size),
        words_salt=words_salt if words else None,
        words={"reason": REASON} if words else {},
    )
