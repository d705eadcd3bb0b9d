"""Verifies that restores that were adopted, the epochs of positions and what was lost agree: part of `verification`."""

from collections.abc import Iterator
from itertools import pairwise

from django.db.models import CharField, F, Max, Min
from django.db.models.functions import Cast

from .models import ConsentEvent, EventKind, EventPosition, Installation, Restore

_SHOWN = 10


def problems() -> Iterator[str]:
    """A line for each fault."""
    restores = list(Restore.objects.order_by("epoch"))
    if Installation.objects.current().epoch != Restore.objects.epoch():
        yield "the installation is in another epoch than its last restore began"
    if any(earlier.event_id >= later.event_id for earlier, later in pairwise(restores)):
        yield "restores do not follow each other"
    yield from _events(restores)
    yield from _lost(restores)
    yield from _epochs(restores)


def _events(restores: list[Restore]) -> Iterator[str]:
    """Each restore has its event, which says the same, and no event tells of another."""
    kind = EventKind.RESTORE_ADOPTED
    rows = ConsentEvent.objects.filter(kind=kind).order_by().values_list("pk", "target", "after", "recorded_at")
    told = set(rows)
    said = {
        (each.event_id, str(each.epoch), f"{each.restored_to}, {each.lost_to}", each.adopted_at) for each in restores
    }
    yield from (f"restore of epoch {epoch}: no event tells of it" for _pk, epoch, *_rest in sorted(said - told))
    yield from (f"event {pk} (restore.adopted): there is no such restore" for pk, *_rest in sorted(told - said))


def _lost(restores: list[Restore]) -> Iterator[str]:
    """The positions that were lost are those of the events that say so, each of its own."""
    lost = ConsentEvent.objects.filter(kind=EventKind.POSITION_LOST, placed__isnull=False)
    other = lost.exclude(target=Cast(F("placed__position"), CharField())).order_by("pk")
    yield from (
        f"event {pk} (position.lost): of another position" for pk in other.values_list("pk", flat=True)[:_SHOWN]
    )
    for each in restores:
        rows = EventPosition.objects.filter(event__kind=EventKind.POSITION_LOST, epoch=each.epoch)
        head = rows.filter(position__gt=each.restored_to, position__lte=each.lost_to).count()
        # A fork: positions that this database had given by itself keep their events.
        own = EventPosition.objects.filter(
            position__gt=each.restored_to, position__lte=each.lost_to, epoch__lt=each.epoch
        ).count()
        if head + own != each.lost_to - each.restored_to or rows.count() != head:
            yield f"restore of epoch {each.epoch}: not every lost position says so"


def _epochs(restores: list[Restore]) -> Iterator[str]:
    """The epochs of positions grow with them, and there is none without its restore."""
    rows = EventPosition.objects.order_by("epoch").values_list("epoch")
    spans = list(rows.annotate(first=Min("position"), last=Max("position")))
    known = {1, *(each.epoch for each in restores)}
    yield from (f"positions of epoch {epoch}, which no restore began" for epoch, *_span in spans if epoch not in known)
    if any(last >= first for (_one, _first, last), (_other, first, _last) in pairwise(spans)):
        yield "the epochs of positions do not follow each other"
