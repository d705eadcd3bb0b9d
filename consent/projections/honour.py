"""The honour clock: which events wait to be applied, and within what time those of each day were.

`await_events` follows the ledger and keeps each event that tightens while a consumer has still to apply it.
`count_honoured` takes those that all consumers have come past, and adds their times to the numbers of their days.
`tell_overdue` mails operators, once of each lapse.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from accounts.models import User

from .. import honour_clock, ledger
from ..honour_clock import Waiting
from ..models import AwaitedEvent, ConsentEvent, Consumer, ConsumerDataset, DailyHonour, PositionAdvance
from ..notices.catalogue import Notice
from ..notices.sending import portal_url, send
from ..presentation.effects import Effects
from ..presentation.honoured import is_tightening

BATCH = 2_000


def await_events(events: Sequence[ConsentEvent]) -> None:
    """Keep those that tighten, if there is a dataset that they count for."""
    datasets = honour_clock.live_datasets()
    first = min((dataset.starts_after for dataset in datasets), default=None)
    if first is None:
        return
    effects = Effects(events)
    AwaitedEvent.objects.bulk_create(
        AwaitedEvent(position=event.placed.position, at=event.recorded_at)
        for event in events
        if event.placed.position > first and event.product and is_tightening(event, effects)
    )


@transaction.atomic
def count_honoured() -> bool:
    """Take one batch of events that nobody has left to apply; returns whether there was one."""
    datasets = honour_clock.live_datasets()
    level = honour_clock.level(datasets)
    rows = AwaitedEvent.objects.all() if level is None else AwaitedEvent.objects.filter(position__lte=level)
    # Locked, so that each is counted once, whatever the number of workers.
    taken = list(rows.select_for_update(skip_locked=True).order_by("position")[:BATCH])
    if not taken:
        return False
    _add_up(_times(taken, datasets))
    AwaitedEvent.objects.filter(pk__in=[each.pk for each in taken]).delete()
    return True


def _times(taken: Sequence[AwaitedEvent], datasets: Iterable[ConsumerDataset]) -> Counter[tuple[dt.date, int]]:
    """(day of saving, seconds until the last consumer said that it had applied it) → how many events."""
    latest: dict[int, dt.datetime] = {}
    for dataset in datasets:
        for event, at in _applied(taken, dataset):
            latest[event.pk] = max(at, latest.get(event.pk, at))
    found: Counter[tuple[dt.date, int]] = Counter()
    for event in taken:
        if event.pk in latest:  # else it counted for no dataset that is left
            seconds = (latest[event.pk] - event.at).total_seconds()
            found[event.at.date(), honour_clock.rounded(seconds)] += 1
    return found


def _applied(taken: Sequence[AwaitedEvent], dataset: ConsumerDataset) -> Iterable[tuple[AwaitedEvent, dt.datetime]]:
    """Each event that counts for the dataset, with the instant of the first advance past it; both in order."""
    counting = [event for event in taken if event.pk > dataset.starts_after]
    if not counting:
        return
    rows = PositionAdvance.objects.filter(dataset=dataset, position__gte=counting[0].pk).order_by("position")
    advances = rows.values_list("position", "at").iterator()
    position, at = next(advances, (None, None))
    for event in counting:
        while position is not None and position < event.pk:
            position, at = next(advances, (None, None))
        if at is None:
            return
        yield event, at


def _add_up(found: Counter[tuple[dt.date, int]]) -> None:
    for (day, within), number in sorted(found.items()):
        rows = DailyHonour.objects.filter(day=day, within=within)
        if not rows.update(events=F("events") + number):
            DailyHonour.objects.create(day=day, within=within, events=number)


# --- Telling operators ------------------------------------------------------------------------------------------------


def tell_overdue() -> bool:
    """Mail operators of each consumer that has become overdue, and note those that are not any more."""
    now = ledger.clock()
    late: dict[Any, Waiting] = {}
    for each in honour_clock.overdue(now):
        held = late.setdefault(each.dataset.consumer_id, each)
        if each.since and held.since and each.since < held.since:
            late[each.dataset.consumer_id] = each
    known = set(Consumer.objects.live().exclude(overdue_since=None).values_list("pk", flat=True))
    Consumer.objects.filter(pk__in=known - late.keys()).update(overdue_since=None)
    told = [_tell(each, now) for pk, each in late.items() if pk not in known]
    return any(told)


@transaction.atomic
def _tell(waiting: Waiting, now: dt.datetime) -> bool:
    """Mail all operators, unless another worker has done it."""
    consumer = waiting.dataset.consumer
    if not Consumer.objects.filter(pk=consumer.pk, overdue_since=None, removed_at=None).update(overdue_since=now):
        return False
    operators = User.objects.filter(is_active=True, is_staff=True).order_by("pk").values_list("email", flat=True)
    send(
        Notice.CONSUMER_OVERDUE,
        operators,
        _("%(consumer)s has not applied an opt-out in time"),
        consumer=consumer.name,
        contact=consumer.contact,
        dataset=waiting.dataset.name,
        position=waiting.dataset.position,
        since=waiting.since,
        hours=settings.HONOUR_WITHIN.total_seconds() / 3600,
        url=portal_url("admin:consent_consumer_change", consumer.pk),
    )
    return True
