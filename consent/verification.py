"""Proof that the ledger is whole: guards in place, no gap in its order, every state what its events say."""

import dataclasses
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from django.db import connection, models
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, Subquery

from accounts.models import Member, Organization, Subscription

from . import rules, triggers
from .models import STATE_FIELDS, ConsentEvent, EventKind, EventPosition, Lock, PendingEvent, PrivacySetting
from .rules import MEMBER_START, State

_BATCH = 2000
SHOWN = 10  # offenders named per check
Layer = tuple[Any, Any, str]  # organization id, member id or None, product

_TRANSITIONS: dict[str, Callable[[State, ConsentEvent], State]] = {
    EventKind.SUBSCRIPTION_STARTED: lambda s, e: rules.subscribe(s, e.plan, e.applied_default, e.recorded_at),
    EventKind.PLAN_CHANGED: lambda s, e: rules.subscribe(s, e.plan, e.applied_default, e.recorded_at),
    EventKind.SUBSCRIPTION_ENDED: lambda s, e: rules.end_subscription(s, e.recorded_at),
    EventKind.CHOICE_OPTED_OUT: lambda s, e: rules.opt_out(s, e.recorded_at),
    EventKind.CHOICE_OPTED_IN: lambda s, e: rules.opt_in(s, e.recorded_at),
    EventKind.CHOICE_CONFIRMED: lambda s, e: s,
    EventKind.LOCK_PLACED: lambda s, e: rules.lock(s, e.recorded_at),
    EventKind.LOCK_LIFTED: lambda s, e: rules.lift_lock(s, e.recorded_at),
    EventKind.ORGANIZATION_CLOSED: lambda s, e: rules.close(s, e.recorded_at),
    EventKind.ORGANIZATION_REOPENED: lambda s, e: rules.reopen(s, e.recorded_at),
}
_MEMBER_TRANSITIONS: dict[str, Callable[[State, ConsentEvent], State]] = {
    EventKind.CHOICE_OPTED_OUT: lambda s, e: rules.member_opt_out(s, e.recorded_at),
    EventKind.CHOICE_OPTED_IN: lambda s, e: rules.member_opt_in(s, e.recorded_at),
    EventKind.CHOICE_CONFIRMED: lambda s, e: s,
}


@dataclasses.dataclass
class Report:
    events: int = 0
    settings: int = 0
    head: int = 0
    pending: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)


def verify(on_progress: Callable[[int], None] | None = None) -> Report:
    """Check everything; `problems` has a line for each thing that is not as it should be. Changes nothing.

    On a portal in use it may see a change half way; PostgreSQL callers give it one snapshot (see `verify_ledger`).
    """
    report = Report(problems=triggers.problems(connection))
    _verify_order(report)
    _verify_layers(report, on_progress)
    _verify_accounts(report)
    return report


def _verify_order(report: Report) -> None:
    order = EventPosition.objects.aggregate(count=Count("pk"), first=Min("pk"), last=Max("pk"))
    report.head, report.pending = order["last"] or 0, PendingEvent.objects.count()
    if order["count"] and (order["first"], order["last"]) != (1, order["count"]):
        report.problems.append(
            f"positions run from {order['first']} to {order['last']}, but there are {order['count']}"
        )
    events = ConsentEvent.objects.order_by()
    for pk in (
        events.filter(placed=None)
        .exclude(pk__in=PendingEvent.objects.values("pk"))
        .values_list("pk", flat=True)[:SHOWN]
    ):
        report.problems.append(f"event {pk} has no position and is not pending")
    twice = PendingEvent.objects.filter(pk__in=EventPosition.objects.values("event_id"))
    report.problems.extend(
        f"event {pk} has a position and is pending" for pk in twice.values_list("pk", flat=True)[:SHOWN]
    )


def _verify_layers(report: Report, on_progress: Callable[[int], None] | None) -> None:
    events = ConsentEvent.objects.exclude(product="").order_by("organization_id", "member_id", "product", "id")
    replayed: dict[Layer, tuple[State, int, int]] = {}
    for key, group in groupby(events.iterator(_BATCH), key=lambda e: (e.organization_id, e.member_id, e.product)):
        replayed[key] = _replay(key, group, report)
        if len(replayed) == _BATCH:
            _compare(replayed, report)
            replayed = {}
            if on_progress:
                on_progress(report.events)
    _compare(replayed, report)
    settings = PrivacySetting.objects.count()
    if settings != report.settings:
        report.problems.append(f"there are {settings} settings, but the ledger tells of {report.settings}")


def _replay(key: Layer, events: Iterator[ConsentEvent], report: Report) -> tuple[State, int, int]:
    """The state, number of events and last event's id of one layer, each event checked against the rules on the way."""
    transitions, state = (_MEMBER_TRANSITIONS, MEMBER_START) if key[1] else (_TRANSITIONS, State())
    count = last = 0
    for event in events:
        count, last = count + 1, event.pk
        transition = transitions.get(event.kind)
        try:
            expected = transition(state, event) if transition else None
        except ValueError:
            expected = None
        if expected != event.state:
            report.problems.append(f"event {event.pk} ({event.kind}) does not follow from what was before it")
        state = event.state
    report.events += count
    return state, count, last


def _compare(replayed: dict[Layer, tuple[State, int, int]], report: Report) -> None:
    settings = PrivacySetting.objects.filter(organization_id__in={key[0] for key in replayed}).order_by()
    found = {(s.organization_id, s.member_id, s.product): s for s in settings.iterator(_BATCH)}
    for key, (state, count, last) in replayed.items():
        setting = found.get(key)
        report.settings += 1
        name = f"setting of {'member ' + str(key[1]) if key[1] else 'organization ' + str(key[0])}, {key[2]}"
        if setting is None:
            report.problems.append(f"{name}: missing, though there are events")
        elif setting.state != state:
            fields = [field for field in STATE_FIELDS if getattr(setting, field) != getattr(state, field)]
            report.problems.append(f"{name}: {', '.join(fields)} differ from the ledger")
        elif (setting.version, setting.last_event_id) != (count, last):
            report.problems.append(f"{name}: version or last event differ from the ledger")


def _verify_accounts(report: Report) -> None:
    """Subscriptions, locks, status and memberships agree with the settings and events beside them."""
    of_this = {"organization": OuterRef("organization"), "product": OuterRef("product")}
    settings = PrivacySetting.objects.of_organizations()
    subscriptions = Subscription.objects.filter(ended_at=None)
    locks = Lock.objects.filter(lifted_at=None)
    membership = ConsentEvent.objects.filter(
        member=OuterRef("pk"), product="", kind__in=(EventKind.MEMBER_JOINED, EventKind.MEMBER_LEFT)
    ).order_by("-recorded_at")
    members = Member.objects.annotate(
        told=Subquery(membership.values("kind")[:1]), told_since=Subquery(membership.values("since")[:1])
    )
    offenders: dict[str, models.QuerySet[Any]] = {
        "setting {}: subscribed without that subscription": settings.filter(subscribed=True).exclude(
            Exists(subscriptions.filter(**of_this, plan_id=OuterRef("plan")))
        ),
        "subscription {}: its setting does not say so": subscriptions.exclude(
            Exists(settings.filter(**of_this, subscribed=True, plan=OuterRef("plan_id")))
        ),
        "setting {}: locked without a lock": settings.filter(locked=True).exclude(Exists(locks.filter(**of_this))),
        "lock {}: its setting does not say so": locks.exclude(Exists(settings.filter(**of_this, locked=True))),
        "setting {}: open or closed unlike its organization": settings.filter(
            Q(closed=True, organization__status="active") | Q(closed=False, organization__status="closed")
        ),
        "member {}: unlike what the ledger tells": members.exclude(
            Q(status="active", told=EventKind.MEMBER_JOINED) | Q(status="left", told=EventKind.MEMBER_LEFT),
            told_since=F("joined_at"),
        ),
        "organization {}: no event of its creation": Organization.objects.exclude(
            Exists(
                ConsentEvent.objects.filter(
                    organization=OuterRef("pk"),
                    product="",
                    member=None,
                    recorded_at=OuterRef("created_at"),
                    kind=EventKind.ORGANIZATION_CREATED,
                )
            )
        ),
    }
    for text, rows in offenders.items():
        report.problems.extend(text.format(pk) for pk in rows.order_by().values_list("pk", flat=True)[:SHOWN])
