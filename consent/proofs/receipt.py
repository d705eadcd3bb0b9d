"""Receipts: that an event is in the log, in one file that proves itself to whoever has the log's public key.

A receipt is written in two forms, which say the same: the text of C2SP's tlog-proof (c2sp.org/tlog-proof), which other
tools read, and JSON. `parse` reads both.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

from . import leaf, note, tree
from .encoding import HASH, decode, encode
from .errors import ProofError
from .leaf import SALT, Value
from .note import Checkpoint, Verifier
from .record import consent_record
from .tiles import NoTile

FORMAT = "training-consent-receipt/v1"  # of the JSON
HEADER = "c2sp.org/tlog-proof@v1"
MAX_RECEIPT = 1_000_000  # characters
# Fields of the body that are digests of words; a receipt has the words beside it, unless they were erased.
WORDS = ("reason", "reference")
_MAX_PROOF = 64  # hashes: as many as the largest tree takes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Receipt:
    """An event, its place in the log and a checkpoint that covers it. `check` says whether that holds.

    `index` counts from 0. `checkpoint` is the signed note, byte for byte. `words` are the texts whose digests are in
    the body; they and `words_salt` are left out together where the words are not to be shown.
    """

    body: str
    salt: bytes
    index: int
    proof: tuple[bytes, ...]
    checkpoint: str
    words_salt: bytes | None = None
    words: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def entry(self) -> bytes:
        """The 32 bytes that the log holds."""
        return leaf.entry(self.salt, self.body)

    # --- As text ---

    def text(self) -> str:
        """The receipt as C2SP's tlog-proof: a file `….tlog-proof`."""
        return (
            "".join(
                f"{line}\n"
                for line in (
                    HEADER,
                    f"extra {encode(self._extra().encode())}",
                    f"index {self.index}",
                    *map(encode, self.proof),
                    "",
                )
            )
            + self.checkpoint
        )

    def _extra(self) -> str:
        """What the entry is made of, and the words: canonical JSON."""
        extra: dict[str, Value] = {"body": self.body, "salt": encode(self.salt)}
        if self.words_salt is not None:
            extra |= {"words_salt": encode(self.words_salt), **self.words}
        return leaf.body(extra)

    @classmethod
    def _of_text(cls, text: str) -> Self:
        head, blank, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not blank or len(lines) < 3 or len(lines) > 3 + _MAX_PROOF or lines[0] != HEADER:
            raise ProofError(f"This is no {HEADER}.")
        extra = _after("extra ", lines[1])
        index = _after("index ", lines[2])
        if not note.NUMBER.fullmatch(index):
            raise ProofError("The index is not a number.")
        read = leaf.fields(_text_of(decode(extra, "extra data")))
        words_salt = read.pop("words_salt", None)
        return cls(
            body=_body(read.pop("body", None)),
            salt=_salt(read.pop("salt", None), "salt"),
            index=int(index),
            proof=tuple(decode(line, "inclusion proof", HASH) for line in lines[3:]),
            checkpoint=checkpoint,
            words_salt=None if words_salt is None else _salt(words_salt, "salt of the words"),
            words=_words(read, shown=words_salt is not None),
        )

    # --- As JSON ---

    def data(self, verifier: Verifier) -> dict[str, Any]:
        """The receipt as JSON values. `verifier`: a key that signed the checkpoint; it is a hint, for whoever checks
        has to know the key from elsewhere."""
        fields = leaf.fields(self.body)
        return {
            "format": FORMAT,
            "event": fields,
            "words": dict(self.words),
            "body": self.body,
            "salt": encode(self.salt),
            "words_salt": None if self.words_salt is None else encode(self.words_salt),
            "entry": encode(self.entry),
            "index": self.index,
            "proof": list(map(encode, self.proof)),
            "checkpoint": self.checkpoint,
            "verifier_key": str(verifier),
            "consent_record": consent_record(fields, verifier.name),
        }

    @classmethod
    def _of_json(cls, text: str) -> Self:
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict) or read.get("format") != FORMAT:
            raise ProofError(f"This is neither a {HEADER} nor a {FORMAT}.")
        index, proof, words, words_salt = (read.get(key) for key in ("index", "proof", "words", "words_salt"))
        if type(index) is not int or not isinstance(proof, list) or len(proof) > _MAX_PROOF:
            raise ProofError("The receipt has no index and inclusion proof.")
        if not isinstance(words, dict):
            raise ProofError("The receipt has no words.")
        found = cls(
            body=_body(read.get("body")),
            salt=_salt(read.get("salt"), "salt"),
            index=index,
            proof=tuple(decode(_string(each, "inclusion proof"), "inclusion proof", HASH) for each in proof),
            checkpoint=_string(read.get("checkpoint"), "checkpoint"),
            words_salt=None if words_salt is None else _salt(words_salt, "salt of the words"),
            words=_words(words, shown=words_salt is not None),
        )
        verifier = Verifier.parse(_string(read.get("verifier_key"), "verifier key"))
        if (verifier.name, verifier.key_id) not in note.signed_by(found.checkpoint):
            raise ProofError("The verifier key in the receipt is of nobody who signed the checkpoint.")
        if _spelled(found.data(verifier)) != _spelled(read):
            raise ProofError("The receipt contradicts itself: what it says for people is not what it proves.")
        return found

    # --- Read ---

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The receipt in a file of either form. Raises ProofError for anything else; this checks no proof."""
        text = _text_of(data)
        if len(text) > MAX_RECEIPT:
            raise ProofError("The file is too large for a receipt.")
        return cls._of_text(text) if text.startswith(HEADER) else cls._of_json(text)


# --- Checked ----------------------------------------------------------------------------------------------------------


class Check(NamedTuple):
    """One step of a verification: what it looks at, and why it fails ("" if it holds)."""

    what: str
    problem: str

    def __str__(self) -> str:
        """As one line for people."""
        return f"no   {self.what}: {self.problem}" if self.problem else f"yes  {self.what}"


class Verified(NamedTuple):
    """What a receipt proves: the event's fields, and the checkpoint that covers it."""

    fields: dict[str, Value]
    checkpoint: Checkpoint


def verify(receipt: Receipt, verifiers: Iterable[Verifier]) -> Verified:
    """What the receipt proves. Raises ProofError, with the first problem, if it does not hold."""
    keys = list(verifiers)
    for each in check(receipt, keys):
        if each.problem:
            raise ProofError(each.problem)
    return Verified(leaf.fields(receipt.body), note.open_checkpoint(receipt.checkpoint, keys))


def check(receipt: Receipt, verifiers: Iterable[Verifier]) -> list[Check]:
    """Every step of the verification, for people. The receipt holds if none has a problem."""
    keys = list(verifiers)
    checks = {
        "what it says is the whole event, at its place in the ledger": lambda: _check_place(receipt),
        "the words are those of the event": lambda: _check_words(receipt),
        "the checkpoint is signed with the key of the log": lambda: note.open_checkpoint(receipt.checkpoint, keys),
        "the event is in the log of the checkpoint": lambda: _check_inclusion(receipt),
    }
    return [Check(what, problem_of(step)) for what, step in checks.items()]


def problem_of(step: Callable[[], object]) -> str:
    """Why a step fails; "" if it holds. What could not be read, and so not be judged, is raised."""
    try:
        step()
    except NoTile:
        raise
    except ProofError as error:
        return str(error)
    return ""


def _check_place(receipt: Receipt) -> None:
    if leaf.fields(receipt.body).get("position") != str(receipt.index + 1):
        raise ProofError("The position of the event is not its place in the log.")


def _check_words(receipt: Receipt) -> None:
    fields = leaf.fields(receipt.body)
    digests = {label: fields[label] for label in WORDS if fields.get(label)}
    if receipt.words_salt is None:
        return
    found = {label: leaf.words_digest(receipt.words_salt, label, text) for label, text in receipt.words.items()}
    if found != digests:
        raise ProofError("The words are not those that the event was recorded with.")


def _check_inclusion(receipt: Receipt) -> None:
    """That the entry is under the checkpoint's root, whoever signed it."""
    claimed = Checkpoint.parse(note.text_of(receipt.checkpoint))
    tree.verify_inclusion(tree.leaf_hash(receipt.entry), receipt.index, claimed.size, receipt.proof, claimed.root)


# --- Parts of a file --------------------------------------------------------------------------------------------------


def _text_of(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProofError("The receipt is not text in UTF-8.") from None


def _after(start: str, line: str) -> str:
    if not line.startswith(start):
        raise ProofError(f"A line of the receipt does not begin with “{start.strip()}”.")
    return line.removeprefix(start)


def _string(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ProofError(f"The receipt has no {what}.")
    return value


def _body(value: object) -> str:
    text = _string(value, "body")
    leaf.fields(text)  # refuses what is not canonical: two readers might see different events in it
    return text


def _salt(value: object, what: str) -> bytes:
    return decode(_string(value, what), what, SALT)


def _words(found: Mapping[str, object], *, shown: bool) -> dict[str, str]:
    if not set(found) <= set(WORDS) or (found and not shown):
        raise ProofError("The receipt has words that no event has.")
    return {label: _string(text, label) for label, text in found.items()}


def _spelled(value: object) -> str:
    return json.dumps(value, sort_keys=True)
