"""Copies of lost events, from those who have them: an export_state of the database that is lost, or feeds.

Feeds are what the API gave out (`events/` page by page, `events/stream`) and what webhooks got: JSON, or JSON Lines.
They tell what happened. Only an export has every column, so that the witness can confirm it.
"""

import dataclasses
import itertools
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from config import strict_json

from ..files.atomic import BadFile, open_file
from ..models import OF_NO_LAYER, ConsentEvent, EventKind, EventPosition
from ..presentation.event_catalogue import TEST
from ..proofs.witness import Change, Line, chained
from ..services.restored import LockWords
from ..transfer import state
from ..witness import chain
from .survey import Survey

_LONGEST = 64 << 20  # bytes in a line, or in a file that is one JSON document
# Of these a product says whose layer it is; of others '' stands for none.
_MISSING = "is missing"


@dataclasses.dataclass(frozen=True)
class Replay:
    """What copies tell, by position; `texts` has those events of which every column is known, as they are chained.

    `words`: reason and reference of locks, the last of each organization and product.
    """

    changes: dict[int, Change] = dataclasses.field(default_factory=dict)
    texts: dict[int, bytes] = dataclasses.field(default_factory=dict)
    words: dict[tuple[uuid.UUID, str], LockWords] = dataclasses.field(default_factory=dict)

    def confirms(self, line: Line | None, told: Survey) -> bool:
        """Whether the copies have every column of all that is lost, and the witness has the hash of just that."""
        if line is None or told.lost_to != line.position or told.restored_to > line.after or told.differing:
            return False
        try:
            texts = [self.texts[position] for position in range(line.after + 1, line.position + 1)]
        except KeyError:
            return False
        whole = all(position in self.texts for position in range(told.restored_to + 1, told.lost_to + 1))
        return whole and chained(line.previous, texts) == line.hash


def read(paths: Sequence[str], after: int) -> Replay:
    """Read copies of events with positions beyond `after`. Raises BadFile for what can't be read, or contradicts."""
    found = Replay()
    for path in paths:
        for change, text, words in _events(path, after):
            there = found.changes.setdefault(change.position, change)
            if there != change:
                raise BadFile(f"{path}: of position {change.position:,} it tells otherwise than another file.")
            if text is not None:
                found.texts[change.position] = text
            if change.kind == EventKind.LOCK_PLACED and words.reason:
                found.words[uuid.UUID(change.organization), str(change.product)] = words
    return found


Told = tuple[Change, bytes | None, LockWords]


def _events(path: str, after: int) -> Iterator[Told]:
    with open_file(path) as file:
        first = file.readline(_LONGEST)
    try:
        header = strict_json.loads(first)
    except ValueError:
        header = None
    if isinstance(header, dict) and header.get("format") == state.FORMAT:
        yield from _of_export(path, after)
    else:
        yield from _of_feed(path, after)


def _of_export(path: str, after: int) -> Iterator[Told]:
    file = state.StateFile(path)
    positions = {row[1]: row[0] for row in _rows(file, EventPosition) if row[0] > after}
    names = [str(field.column) for field in ConsentEvent._meta.local_concrete_fields]
    for row in _rows(file, ConsentEvent):
        if row[0] not in positions:
            continue
        values = dict(zip(names, row, strict=True))
        witnessed = chain.witnessed(positions[row[0]], *row)
        yield witnessed.change, witnessed.text, LockWords(values["reason"], values["reference"] or values["reason"])


def _rows(file: state.StateFile, wanted: state.Model) -> Iterator[tuple[Any, ...]]:
    """The rows of one table, as the database would give them."""
    for model, batch in file.batches():
        if model is wanted:
            yield from state.prepared(file, model, batch)


def _of_feed(path: str, after: int) -> Iterator[Told]:
    for number, event in _objects(path):
        if isinstance(event, dict) and event.get("kind") == TEST:
            continue
        try:
            told = _of_event(event)
        except (KeyError, TypeError, ValueError) as error:
            why = f"“{error.args[0]}” {_MISSING}" if isinstance(error, KeyError) else str(error)
            raise BadFile(f"{path}, {number}: is no event of the ledger ({why}).") from error
        if told[0].position > after:
            yield told


def _objects(path: str) -> Iterator[tuple[str, Any]]:
    """Each event with where it stands: JSON Lines, or one document; pages of the API have `results`."""
    with open_file(path) as file:
        first = file.readline(_LONGEST)
        if _parsed(first) is None:  # a document of several lines
            whole = _parsed(first + file.read(_LONGEST))
            if whole is None:
                raise BadFile(f"{path}: is neither JSON nor JSON Lines.")
            yield from ((f"event {number}", event) for number, event in enumerate(_listed(whole), 1))
            return
        for number, line in enumerate(itertools.chain([first], file), 1):
            found = _parsed(line)
            if found is None and line.strip():
                raise BadFile(f"{path}, line {number}: is not JSON.")
            yield from ((f"line {number}", event) for event in _listed(found))


def _parsed(data: bytes) -> Any:
    try:
        return strict_json.loads(data)
    except ValueError:
        return None


def _listed(found: Any) -> Iterable[Any]:
    if isinstance(found, dict):
        found = found.get("results", [found])
    return found if isinstance(found, list) else []


def _of_event(event: Mapping[str, Any]) -> Told:
    """Raises KeyError for a field that is missing, TypeError or ValueError for one that can't be."""
    position, kind = event["position"], EventKind(event["kind"])
    if type(position) is not int or position < 1:
        raise ValueError("its position is no number")
    if not isinstance(event["allowed"], bool | None):
        raise TypeError("“allowed” is neither true nor false")
    product = None if kind in OF_NO_LAYER else event["product"] or ""
    change = Change(
        position,
        kind.value,
        _ident(event["organization"]),
        _ident(event["member"]),
        product,
        bool(event["allowed"]),
    )
    return change, None, LockWords(str(event["reason"]), str(event["reason"]))


def _ident(value: object) -> str:
    return str(uuid.UUID(str(value))) if value is not None else ""
