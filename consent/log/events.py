"""What the log holds of an event: which of its columns are in the body, and how each is written there.

A test fails when a column of the ledger is missing here: what is in no body could be rewritten unseen. A column that
comes after the first release gets a `since` of its own, and VERSION grows: earlier events keep the body they have.
"""

import secrets
import uuid
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from ..proofs import leaf
from ..proofs.errors import ProofError

VERSION = 1
SALT = leaf.SALT


# How a value that the database gives is written as JSON. Each makes what `leaf.body` would; a test compares.
_text = encode_basestring


def _optional(value: str | None) -> str:
    return "null" if value is None else _text(value)


def _number(value: int | None) -> str:
    """Decimal text: JSON's numbers are not the same to every reader beyond 2**53."""
    return "null" if value is None else f'"{value}"'


def _id(value: uuid.UUID | str | None) -> str:
    """The canonical text of an id; SQLite stores 32 hexadecimal digits."""
    if isinstance(value, str):
        return f'"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"'
    return "null" if value is None else f'"{value}"'


def _flag(value: int | bool) -> str:
    return "true" if value else "false"


class Field(NamedTuple):
    """A field of the body: its name there, the column of the event, how it is written, the version it came with."""

    name: str
    column: str
    write: Callable[[Any], str] = _text
    since: int = 1


# In the order of the names, as canonical JSON has them. `position` and `v` are no columns of the event.
FIELDS = (
    Field("actor_id", "actor_id"),
    Field("actor_type", "actor_type"),
    Field("after", "after"),
    Field("allowed", "allowed", _flag),
    Field("app_version", "app_version"),
    Field("applied_default", "applied_default"),
    Field("before", "before"),
    Field("by_operator", "by_operator", _flag),
    Field("carry", "carry"),
    Field("choice", "choice"),
    Field("closed", "closed", _flag),
    Field("id", "id", _number),
    Field("job", "job_id", _id),
    Field("kind", "kind"),
    Field("language", "language"),
    Field("locked", "locked", _flag),
    Field("member", "member_id", _id),
    Field("organization", "organization_id", _id),
    Field("plan", "plan"),
    Field("product", "product", _optional),
    Field("reason", "reason"),
    Field("reason_code", "reason_code"),
    Field("recorded_at", "recorded_at", _number),
    Field("reference", "reference"),
    Field("request_id", "request_id"),
    Field("since", "since", _number),
    Field("source", "source"),
    Field("subscribed", "subscribed", _flag),
    Field("surface", "surface"),
    Field("target", "target"),
    Field("wording", "wording"),
)
COLUMNS = tuple(field.column for field in FIELDS)
Row = Sequence[Any]  # an event's values, in the order of COLUMNS

_NAMES = tuple(field.name for field in FIELDS)
_REASON, _REFERENCE, _ACTOR, _BY_OPERATOR = map(_NAMES.index, ("reason", "reference", "actor_id", "by_operator"))
_POSITION, _VERSION = Field("position", "", _number), Field("v", "", _number)
_LATER = tuple((at, field.since) for at, field in enumerate(FIELDS) if field.since > 1)


# For each version of the body its fields in their order, and where each is in a row with `position` and `v` at its end.
_PLACES = {
    version: sorted(
        ((field, at) for at, field in enumerate((*FIELDS, _POSITION, _VERSION)) if field.since <= version),
        key=lambda place: place[0].name,
    )
    for version in range(1, VERSION + 1)
}


class Blinding(NamedTuple):
    """The columns of an `EventSalt` but its position: salts are 32 random bytes, or empty where nothing needs one."""

    version: int
    salt: bytes
    words_salt: bytes = b""
    actor_salt: bytes = b""
    reason_digest: str = ""
    reference_digest: str = ""
    actor_digest: str = ""
    entry: bytes = b""


def blind(rows: Sequence[Row]) -> list[Blinding]:
    """New salts for events that come into the log, and the digests under them."""
    random = secrets.token_bytes(3 * SALT * len(rows))
    blinded = []
    for at, row in zip(range(0, len(random), 3 * SALT), rows, strict=True):
        salt = random[at : at + SALT]
        reason, reference = row[_REASON], row[_REFERENCE]
        actor = row[_ACTOR] if row[_BY_OPERATOR] else ""
        if reason or reference or actor:
            words = random[at + SALT : at + 2 * SALT] if reason or reference else b""
            operator = random[at + 2 * SALT : at + 3 * SALT] if actor else b""
            digests = _digests(words, operator, reason, reference, actor)
            blinded.append(Blinding(VERSION, salt, words, operator, *digests))
        else:
            blinded.append(Blinding(VERSION, salt))
    return blinded


def _digests(words_salt: bytes, actor_salt: bytes, reason: str, reference: str, actor: str) -> tuple[str, str, str]:
    return (
        leaf.words_digest(words_salt, "reason", reason) if reason else "",
        leaf.words_digest(words_salt, "reference", reference) if reference else "",
        leaf.words_digest(actor_salt, "actor_id", actor) if actor else "",
    )


def bodies(first: int, rows: Sequence[Row], blindings: Sequence[Blinding]) -> list[str]:
    """The canonical texts of events at positions that follow each other, from `first` on, as their leaves have them."""
    versions = [each.version for each in blindings]
    if len(set(versions)) != 1:  # between two releases, or no event at all
        return [bodies(first + n, rows[n : n + 1], blindings[n : n + 1])[0] for n in range(len(rows))]
    columns: list[Sequence[Any]] = [*zip(*rows, strict=True), range(first, first + len(rows)), versions]
    columns[_REASON] = [each.reason_digest for each in blindings]
    columns[_REFERENCE] = [each.reference_digest for each in blindings]
    columns[_ACTOR] = [
        each.actor_digest if by_operator else actor
        for each, by_operator, actor in zip(blindings, columns[_BY_OPERATOR], columns[_ACTOR], strict=True)
    ]
    return _texts([(field, columns[at]) for field, at in _PLACES[versions[0]]])


def _texts(fields: Sequence[tuple[Field, Sequence[Any]]]) -> list[str]:
    """Canonical JSON of as many events as each field has values.

    Field by field: of all that the log does for an event this takes the longest, and most fields say the same of all
    events, or one of few things.
    """
    differing, text = [], "{"  # what is the same of all goes before what comes after it
    for field, values in fields:
        texts = {value: f'{text}"{field.name}":{field.write(value)}' for value in set(values)}
        if len(texts) == 1:
            text = f"{texts[values[0]]},"
        else:
            differing.append(map(texts.__getitem__, values))
            text = ","
    end = f"{text[:-1]}}}"
    return [f"{''.join(each)}{end}" for each in zip(*differing, strict=True)] if differing else [end]


def entries(first: int, rows: Sequence[Row], blindings: Sequence[Blinding]) -> list[bytes]:
    """The 32 bytes that the log holds for each event; where its salt was erased, those that were kept."""
    texts = bodies(first, rows, blindings)
    return [each.entry or leaf.entry(each.salt, text) for each, text in zip(blindings, texts, strict=True)]


def fault(row: Row, blinding: Blinding) -> str:
    """What is wrong between an event and its salts, though the leaf may be right: '' if nothing is.

    The leaf holds digests, so that the words themselves are compared here; and columns that are younger than the
    event's body have to be empty.
    """
    if blinding.entry:
        return ""
    actor = row[_ACTOR] if row[_BY_OPERATOR] else ""
    reason, reference = row[_REASON], row[_REFERENCE]
    if bool(blinding.words_salt) != bool(reason or reference) or bool(blinding.actor_salt) != bool(actor):
        return "has words or an operator without a salt, or the other way round"
    digests = blinding.reason_digest, blinding.reference_digest, blinding.actor_digest
    try:
        found = _digests(blinding.words_salt, blinding.actor_salt, reason, reference, actor)
    except ProofError as error:
        return f"has a salt that is none of ours: {error}"
    if found != digests:
        return "has another reason, reference or operator than the log says"
    if any(row[at] for at, since in _LATER if since > blinding.version):
        return "has a value in a column that came after it"
    return ""
