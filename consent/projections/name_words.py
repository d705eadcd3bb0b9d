"""The words by which organizations are found, read from their names after each event that gives one.

Imports stay as fast as they were, and an installation from before is brought up to date from the ledger, by the worker.
A name that is replaced loses its words in the transaction that replaces it: see `services.organizations`.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence

from accounts import names
from accounts.models import NameWord, Organization
from config.batched import batched

from ..files.loading import load
from ..models import ConsentEvent, EventKind

_KINDS = frozenset({EventKind.ORGANIZATION_CREATED, EventKind.ORGANIZATION_UPDATED})
_AT_A_TIME = 5_000


def index_names(events: Sequence[ConsentEvent]) -> None:
    """Store the words of the organizations that these events created or changed, by their names of now."""
    told = {event.organization_id for event in events if event.kind in _KINDS and event.organization_id}
    if told:
        # Locked, so that nobody renames or erases between the name that is read here and the words that are stored.
        held = Organization.objects.select_for_update(no_key=True).filter(pk__in=told).order_by("pk")
        named = list(held.values_list("pk", "name"))
        NameWord.objects.filter(organization_id__in=told).delete()
        _store(named)


def index_all() -> None:
    """Store the words of all organizations anew, as after loading the state of another installation."""
    NameWord.objects.all().delete()
    every = Organization.objects.order_by("pk").values_list("pk", "name")
    for some in batched(every.iterator(), _AT_A_TIME):
        _store(some)


def _store(rows: Iterable[tuple[uuid.UUID, str]]) -> None:
    # Sorted, because neighbours in the index are written at the same time.
    load(NameWord._meta.db_table, ("word", "organization_id", "words"), sorted(_words_of(rows)))


def _words_of(rows: Iterable[tuple[uuid.UUID, str]]) -> Iterator[tuple[str, uuid.UUID, str]]:
    for organization, name in rows:
        words = names.words(name)
        text = f" {' '.join(words)} "
        for word in words:
            yield word, organization, text
