"""Verifies that training runs and their removals agree with each other and with the ledger: part of `verification`."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from . import manifests
from .log import covering
from .models import (
    ConsentEvent,
    EventKind,
    EventPosition,
    OpenRemoval,
    RemovalAcknowledgement,
    RemovalBatch,
    RemovalCursor,
    RunRetirement,
    TrainingRun,
)
from .pipeline.digests import dataset_digest
from .pipeline.run_manifest import CHECKPOINT


def problems() -> Iterator[str]:
    """A line for each fault; reads a run at a time."""
    yield from _events()
    head = EventPosition.objects.order_by("-position").values_list("position", flat=True).first() or 0
    for run in TrainingRun.objects.select_related("retirement").order_by("pk").iterator(100):
        yield from (f"training run {run.pk}: {fault}" for fault in (*_data(run), *_removals(run, head)))


def _events() -> Iterator[str]:
    """What is there without its event, and events of what is not there."""
    stored: dict[EventKind, Iterable[Any]] = {
        EventKind.RUN_REGISTERED: TrainingRun.objects.values_list("pk", flat=True),
        EventKind.RUN_RETIRED: RunRetirement.objects.values_list("pk", flat=True),
        EventKind.REMOVAL_ISSUED: RemovalBatch.objects.values_list("pk", flat=True),
        EventKind.REMOVAL_ACKNOWLEDGED: RemovalAcknowledgement.objects.values_list("pk", flat=True),
    }
    for kind, keys in stored.items():
        there = {str(pk) for pk in keys}
        told = set(ConsentEvent.objects.filter(kind=kind).order_by().values_list("target", flat=True))
        yield from (f"{kind.value} {pk}: no event tells of it" for pk in sorted(there - told))
        yield from (f"{kind.value} {pk}: an event tells of it, but it is not there" for pk in sorted(told - there))


def _data(run: TrainingRun) -> Iterator[str]:
    files = list(run.files.values("name", "rows", "sha256", "size", "position"))
    positions = [file["position"] for file in files] or [-1]  # a run without files is wrong as well
    if (run.snapshot_position, run.last_position) != (min(positions), max(positions)):
        yield "its positions are not those of its files"
    if run.dataset_digest != dataset_digest(files):
        yield "its digest is not that of its files"
    counted = [
        sum(count["rows"] for count in run.counts if (count["reason"] is None) is used) for used in (True, False)
    ]
    if [run.allowed, run.denied] != counted or run.allowed != sum(file["rows"] for file in files):
        yield "its counts do not add up"
    try:
        said = manifests.predicate_of(run.manifest)
        same = (said["run"]["id"], said["dataset_digest"]) == (str(run.pk), run.dataset_digest)
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        yield "its manifest is of other data"
    elif carried := said.get(CHECKPOINT):
        covers = covering.find_note(str(carried))
        if covers is None:
            yield "its manifest carries a checkpoint that the log does not have"
        elif covers.size < run.last_position:
            yield "the checkpoint in its manifest does not cover what it rests on"


def _removals(run: TrainingRun, head: int) -> Iterator[str]:
    batches = list(run.batches.select_related("acknowledgement").order_by("number"))
    numbered = [batch.number for batch in batches] == list(range(1, len(batches) + 1))
    whole = all(one.to_position == other.from_position for one, other in pairwise(batches))
    if not numbered or not whole or (batches and batches[0].from_position != run.snapshot_position):
        yield "its removals do not follow each other"
    last = batches[-1].to_position if batches else run.snapshot_position
    if last > head:
        yield "a removal reaches beyond the ledger"
    cursor = RemovalCursor.objects.filter(run=run).values_list("position", flat=True).first()
    if run.is_retired is not (cursor is None) or (cursor is not None and not last <= cursor <= head):
        yield "how far it was looked at for removals is wrong"
    waiting = {batch.pk for batch in batches if not run.is_retired and not hasattr(batch, "acknowledgement")}
    if waiting != set(OpenRemoval.objects.filter(batch__run=run).values_list("pk", flat=True)):
        yield "what waits to be acknowledged is wrong"
