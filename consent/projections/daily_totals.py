"""Daily totals, updated with each event, so that a chart of years costs hardly more than one of a week."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.models import F

from ..models import ConsentEvent, DailyChanges, DailyStanding, EventKind
from ..rules import Reason
from ..surfaces import LE_CHAT_MOBILE, ORGANIZATION_SURFACES

_SURFACES = {surface.product.value: surface.key for surface in ORGANIZATION_SURFACES}
# The state that is counted: surface, plan, reason code, and whether data is used.
Standing = tuple[str, str, str, bool]
_UNDECIDED: Standing = (LE_CHAT_MOBILE.key, "", Reason.DEFAULT.value, True)


def add_up(events: Sequence[ConsentEvent]) -> None:
    """Add a batch of events to the totals of their days."""
    before = _before(events)
    standings: Counter[tuple[dt.date, Standing]] = Counter()
    choices: Counter[tuple[dt.date, str]] = Counter()
    for event in events:
        day = event.recorded_at.date()
        if event.kind.startswith("choice."):
            choices[day, event.source] += 1
        now = _standing(event)
        if now is None:
            continue
        earlier = before.get(event.pk)
        if event.member_id is not None and event.kind != EventKind.MEMBER_JOINED:
            earlier = earlier or _UNDECIDED
        elif event.kind == EventKind.MEMBER_JOINED and earlier is not None:
            continue  # somebody who joins again is counted already
        # The event moves its layer from one state to another.
        if earlier is not None:
            standings[day, earlier] -= 1
        standings[day, now] += 1
    _add_standings(standings)
    _add_choices(choices)


def _standing(event: ConsentEvent) -> Standing | None:
    """The layer's state after this event; None if the event belongs to no layer that is counted."""
    if event.member_id is not None:
        if event.kind == EventKind.MEMBER_JOINED:
            return _UNDECIDED
        if event.kind.startswith("choice."):
            return LE_CHAT_MOBILE.key, "", event.reason_code, event.allowed
        return None
    if not event.product or event.product not in _SURFACES:
        return None
    return _SURFACES[event.product], event.plan, event.reason_code, event.allowed


def _before(events: Sequence[ConsentEvent]) -> dict[int, Standing]:
    """Event id → the state of its layer before it, from the layer's previous event (an indexed look-up for each)."""
    found: dict[int, Standing] = {}
    layers = [event for event in events if event.member_id is None and event.product in _SURFACES]
    for pk, product, plan, reason, allowed in _rows(_OF_ORGANIZATION, [event.pk for event in layers]):
        found[pk] = (_SURFACES[product], plan, reason, bool(allowed))
    chosen = [event.pk for event in events if event.member_id is not None and event.kind.startswith("choice.")]
    for pk, _product, _plan, reason, allowed in _rows(_OF_MEMBER, chosen):
        found[pk] = (LE_CHAT_MOBILE.key, "", reason, bool(allowed))
    joined = [event.pk for event in events if event.kind == EventKind.MEMBER_JOINED]
    for pk, *_rest in _rows(_JOINED_BEFORE, joined):
        found[pk] = _UNDECIDED
    return found


def _rows(statement: str, ids: list[int]) -> Iterable[tuple[Any, ...]]:
    if not ids:
        return
    with connection.cursor() as cursor:
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            cursor.execute(statement.format(ids=", ".join(["%s"] * len(part))), part)
            yield from cursor.fetchall()


# In each statement `e` is the event at hand, `p` the event of the same layer whose state it follows.
_COLUMNS = "e.id, p.product, p.plan, p.reason_code, p.allowed"
# The organization's latest event about the product before `e`.
_OF_ORGANIZATION = f"""
SELECT {_COLUMNS} FROM consent_consentevent AS e
JOIN consent_consentevent AS p ON p.organization_id = e.organization_id AND p.product = e.product
 AND p.member_id IS NULL AND p.recorded_at = (
   SELECT MAX(q.recorded_at) FROM consent_consentevent AS q
   WHERE q.organization_id = e.organization_id AND q.product = e.product AND q.member_id IS NULL
     AND q.recorded_at < e.recorded_at)
WHERE e.id IN ({{ids}})"""  # noqa: S608  names of ours
# The member's latest choice before `e`.
_OF_MEMBER = f"""
SELECT {_COLUMNS} FROM consent_consentevent AS e
JOIN consent_consentevent AS p ON p.member_id = e.member_id AND p.product = e.product AND p.recorded_at = (
   SELECT MAX(q.recorded_at) FROM consent_consentevent AS q
   WHERE q.member_id = e.member_id AND q.product = e.product AND q.recorded_at < e.recorded_at
     AND q.kind LIKE 'choice.%%')
WHERE e.id IN ({{ids}})"""  # noqa: S608
# The member's first event before `e`: there is one only if they join again.
_JOINED_BEFORE = f"""
SELECT {_COLUMNS} FROM consent_consentevent AS e
JOIN consent_consentevent AS p ON p.member_id = e.member_id AND p.product = e.product AND p.recorded_at = (
   SELECT MIN(q.recorded_at) FROM consent_consentevent AS q
   WHERE q.member_id = e.member_id AND q.product = e.product AND q.recorded_at < e.recorded_at)
WHERE e.id IN ({{ids}})"""  # noqa: S608


def _add_standings(changes: Counter[tuple[dt.date, Standing]]) -> None:
    for (day, (surface, plan, reason, allowed)), change in sorted(changes.items()):
        if not change:
            continue
        key = {"day": day, "surface": surface, "plan": plan, "reason_code": reason, "allowed": allowed}
        if not DailyStanding.objects.filter(**key).update(change=F("change") + change):
            DailyStanding.objects.create(**key, change=change)


def _add_choices(changes: Counter[tuple[dt.date, str]]) -> None:
    for (day, source), count in sorted(changes.items()):
        if not DailyChanges.objects.filter(day=day, source=source).update(choices=F("choices") + count):
            DailyChanges.objects.create(day=day, source=source, choices=count)
