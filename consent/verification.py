"""Verifies the ledger: triggers in place, no gap in its order, every state equal to a replay of its events."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from django.db import connection, models
from django.db.models import Case, Count, Exists, F, Max, Min, OuterRef, Q, When

from accounts.models import Member, Organization, Subscription

from . import (
    rules,
    triggers,
    verification_bindings,
    verification_consumers,
    verification_flags,
    verification_log,
    verification_restores,
    verification_runs,
    verification_wordings,
)
from .log import store
from .models import (
    OF_NO_LAYER,
    STATE_FIELDS,
    ConsentEvent,
    CoolingOff,
    EventKind,
    EventPosition,
    Lock,
    LogCheckpoint,
    PendingEvent,
    PrivacySetting,
)
from .rules import MEMBER_START, State

_BATCH = 2000
_OF_NO_LAYER: dict[str, Any] = {"product": None, "member": None} | {
    name: getattr(State(reason_code=""), name) for name in STATE_FIELDS
}
_POINTERS = ("version", "last_event_id", "changed_at", "choice_event_id", "carry_event_id", "lock_event_id")
SHOWN = 10  # offenders named per check
Layer = tuple[Any, Any, str]  # organization id, member id or None, product

_TRANSITIONS: dict[str, Callable[[State, ConsentEvent], State]] = {
    EventKind.SUBSCRIPTION_STARTED: lambda s, e: rules.subscribe(s, e.plan, e.applied_default, e.recorded_at),
    EventKind.PLAN_CHANGED: lambda s, e: rules.subscribe(s, e.plan, e.applied_default, e.recorded_at),
    EventKind.SUBSCRIPTION_ENDED: lambda s, e: rules.end_subscription(s, e.recorded_at),
    EventKind.CHOICE_OPTED_OUT: lambda s, e: rules.opt_out(s, e.recorded_at),
    EventKind.CHOICE_OPTED_IN: lambda s, e: rules.opt_in(s, e.recorded_at),
    EventKind.CHOICE_CONFIRMED: lambda s, e: s,
    EventKind.CHOICE_RESTORED: lambda s, e: rules.restore(s, e.choice, e.carry, e.recorded_at),
    EventKind.PLAN_DEFAULT_CHANGED: lambda s, e: rules.subscribe(s, e.plan, e.applied_default, e.recorded_at),
    EventKind.LOCK_PLACED: lambda s, e: rules.lock(s, e.recorded_at),
    EventKind.LOCK_LIFTED: lambda s, e: rules.lift_lock(s, e.recorded_at),
    EventKind.ORGANIZATION_CLOSED: lambda s, e: rules.close(s, e.recorded_at),
    EventKind.ORGANIZATION_REOPENED: lambda s, e: rules.reopen(s, e.recorded_at),
    # Whether the layer ever denied since then was checked when it was attested; here only the resulting state is.
    EventKind.SINCE_ATTESTED: lambda s, e: rules.attest(s, e.since, ()),
    EventKind.SINCE_RESTARTED: lambda s, e: rules.restart(s, e.recorded_at),
}
_MEMBER_TRANSITIONS: dict[str, Callable[[State, ConsentEvent], State]] = {
    EventKind.CHOICE_OPTED_OUT: lambda s, e: rules.member_opt_out(s, e.recorded_at),
    EventKind.CHOICE_OPTED_IN: lambda s, e: rules.member_opt_in(s, e.recorded_at),
    EventKind.CHOICE_CONFIRMED: lambda s, e: s,
    EventKind.SINCE_RESTARTED: lambda s, e: rules.restart(s, e.recorded_at),
}


@dataclasses.dataclass
class Report:
    events: int = 0
    settings: int = 0
    head: int = 0
    pending: int = 0
    leaves: int = 0
    checkpoints: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)

    def name(self, offenders: Mapping[str, models.QuerySet[Any]]) -> None:
        """Add a line for each offending row, at most SHOWN per check; `offenders`: text with a `{}` → its rows."""
        for text, rows in offenders.items():
            self.problems += [text.format(pk) for pk in rows.order_by().values_list("pk", flat=True)[:SHOWN]]


def verify(on_progress: Callable[[int], None] | None = None, *, signatures: bool = True) -> Report:
    """Check everything; `problems` has a line for each fault. Changes nothing. `on_progress` gets a number of events.

    `signatures`: False where the keys of the log may not be known yet.

    On a portal in use it may see half of a change; on PostgreSQL callers give it one snapshot (see `verify_ledger`).
    """
    report = Report(problems=triggers.problems(connection))
    _verify_order(report)
    _verify_layers(report, on_progress)
    _verify_members(report)
    _verify_accounts(report)
    _verify_cooling_off(report)
    report.problems += verification_flags.problems()
    report.name(verification_bindings.offenders())
    report.problems += verification_consumers.problems()
    report.problems += verification_runs.problems()
    report.problems += verification_restores.problems()
    report.problems += verification_wordings.problems()
    report.problems += verification_log.problems(on_progress, signatures=signatures)
    report.leaves, report.checkpoints = store.size(), LogCheckpoint.objects.count()
    report.events = ConsentEvent.objects.count()
    return report


def _verify_order(report: Report) -> None:
    order = EventPosition.objects.aggregate(count=Count("pk"), first=Min("pk"), last=Max("pk"))
    report.head, report.pending = order["last"] or 0, PendingEvent.objects.count()
    # Positions are unique: if they run from 1 to their number, there is no gap.
    if order["count"] and (order["first"], order["last"]) != (1, order["count"]):
        report.problems.append(
            f"positions run from {order['first']} to {order['last']}, but there are {order['count']}"
        )
    events, pending = ConsentEvent.objects.order_by(), PendingEvent.objects.order_by()
    waiting = Exists(PendingEvent.objects.filter(event=OuterRef("pk")))
    placed = Exists(EventPosition.objects.filter(event=OuterRef("event_id")))
    there = Exists(ConsentEvent.objects.filter(pk=OuterRef("event_id")))
    told_alike = Q(organization_id=F("event__organization_id")) | Q(organization_id=None, event__organization_id=None)
    report.name(
        {
            "event {} has no position and is not pending": events.filter(placed=None).exclude(waiting),
            "event {} has a position and is pending": pending.filter(placed),
            "position {} is that of no event": EventPosition.objects.exclude(there),
            "position {} is of another organization than its event": EventPosition.objects.filter(there).exclude(
                told_alike
            ),
            "event {} is of no layer, and says something of one": events.filter(kind__in=OF_NO_LAYER).exclude(
                **_OF_NO_LAYER
            ),
            "pending event {} is not there": pending.exclude(there),
        }
    )


def _verify_layers(report: Report, on_progress: Callable[[int], None] | None) -> None:
    layers = ConsentEvent.objects.filter(product__isnull=False).exclude(product="")
    events = layers.order_by("organization_id", "member_id", "product", "id")
    replayed: dict[Layer, dict[str, Any]] = {}
    for key, group in groupby(events.iterator(_BATCH), key=lambda e: (e.organization_id, e.member_id, e.product)):
        replayed[key] = _replay(key, group, report)
        # Compared in batches, so that memory doesn't grow with the ledger.
        if len(replayed) == _BATCH:
            _compare(replayed, report)
            replayed = {}
            if on_progress:
                on_progress(report.events)
    _compare(replayed, report)
    if on_progress:
        on_progress(report.events)
    # A setting's row is created before its first event, and may never get one.
    unwritten = Q(version=0, allowed=F("untouched"), choice="default", last_event=None)
    untouched = Case(When(member=None, then=False), default=True, output_field=models.BooleanField())
    settings = PrivacySetting.objects.annotate(untouched=untouched).exclude(unwritten).count()
    if settings != report.settings:
        report.problems.append(f"there are {settings} settings, but the ledger tells of {report.settings}")


def _replay(key: Layer, events: Iterator[ConsentEvent], report: Report) -> dict[str, Any]:
    """The expected setting of one layer after these events; each event is checked against the rules on the way."""
    transitions, state = (_MEMBER_TRANSITIONS, MEMBER_START) if key[1] else (_TRANSITIONS, State())
    told: dict[str, Any] = {"version": 0, "choice_event_id": None, "carry_event_id": None, "lock_event_id": None}
    for event in events:
        transition = transitions.get(event.kind)
        try:
            expected = transition(state, event) if transition else None
        except ValueError:
            # The rules refuse such a transition, for example an opt-in under a lock.
            expected = None
        if expected != event.state:
            report.problems.append(f"event {event.pk} ({event.kind}) does not follow from what was before it")
        _point(told, event, state.carry)
        state = event.state
    report.events += told["version"]
    return told | {name: getattr(state, name) for name in STATE_FIELDS}


def _point(told: dict[str, Any], event: ConsentEvent, carry_before: str) -> None:
    """Update the ids of the events behind choice, carry and lock, as `ledger.PROJECT` does."""
    told |= {"version": told["version"] + 1, "last_event_id": event.pk, "changed_at": event.recorded_at}
    if event.choice == rules.Choice.DEFAULT:
        told["choice_event_id"] = None
    elif event.kind.startswith("choice."):
        told["choice_event_id"] = event.pk
    if event.carry != carry_before:
        told["carry_event_id"] = event.pk if event.carry else None
    if event.kind == EventKind.LOCK_PLACED:
        told["lock_event_id"] = event.pk
    elif not event.locked:
        told["lock_event_id"] = None


def _compare(replayed: dict[Layer, dict[str, Any]], report: Report) -> None:
    settings = PrivacySetting.objects.filter(organization_id__in={key[0] for key in replayed}).order_by()
    found = {(s.organization_id, s.member_id, s.product): s for s in settings.iterator(_BATCH)}
    for key, told in replayed.items():
        setting = found.get(key)
        report.settings += 1
        name = f"setting of {'member ' + str(key[1]) if key[1] else 'organization ' + str(key[0])}, {key[2]}"
        if setting is None:
            report.problems.append(f"{name}: missing, though there are events")
        elif wrong := [field for field in (*STATE_FIELDS, *_POINTERS) if getattr(setting, field) != told[field]]:
            report.problems.append(f"{name}: {', '.join(wrong)} differ from the ledger")


def _verify_members(report: Report) -> None:
    """Check that each member's row agrees with the last of their events."""
    kinds = (
        EventKind.MEMBER_JOINED,
        EventKind.MEMBER_LEFT,
        EventKind.MEMBER_ROLE_CHANGED,
        EventKind.SINCE_ATTESTED,
    )
    events = ConsentEvent.objects.filter(product="", kind__in=kinds).order_by("member_id", "id")
    told: dict[Any, tuple[Any, ...]] = {}
    seen = 0
    for pk, group in groupby(events.iterator(_BATCH), key=lambda e: e.member_id):
        role = ""
        for event in group:
            role = event.after or role
        left = event.kind == EventKind.MEMBER_LEFT
        told[pk] = (role, "left" if left else "active", event.since, event.recorded_at if left else None)
        seen += 1
        if len(told) == _BATCH:
            _compare_members(told, report)
            told = {}
    _compare_members(told, report)
    if (members := Member.objects.count()) != seen:
        report.problems.append(f"there are {members} members, unlike what the ledger tells: {seen}")


def _compare_members(told: dict[Any, tuple[Any, ...]], report: Report) -> None:
    found = {m.pk: (m.role, m.status, m.joined_at, m.left_at) for m in Member.objects.filter(pk__in=told)}
    report.problems += [f"member {pk}: unlike what the ledger tells" for pk in told if found.get(pk) != told[pk]]


def _second_member() -> "models.QuerySet[Member]":
    """Members of the outer query's organization, without the first."""
    here = Member.objects.filter(organization=OuterRef("organization"), pk__lt=OuterRef("pk"))
    return Member.objects.filter(Exists(here), organization=OuterRef("pk"))


def _verify_accounts(report: Report) -> None:
    """Check that subscriptions, locks, status and memberships agree with the settings and events."""
    of_this = {"organization": OuterRef("organization"), "product": OuterRef("product")}
    settings = PrivacySetting.objects.of_organizations()
    subscriptions = Subscription.objects.filter(ended_at=None)
    locks = Lock.objects.filter(lifted_at=None)
    report.name(
        {
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
            "organization {}: had other members or not, unlike what its members say": Organization.objects.annotate(
                several=Case(When(Exists(_second_member()), then=True), default=False)
            ).exclude(had_others=F("several")),
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
    )


def _verify_cooling_off(report: Report) -> None:
    """Check that the days of each product are what its events say, each from the instant of its event."""
    rows = CoolingOff.objects.order_by("product", "since").values_list("product", "since", "days", "event_id")
    events = ConsentEvent.objects.filter(kind=EventKind.COOLING_OFF_CHANGED).order_by("target", "recorded_at")
    told = list(events.values_list("target", "recorded_at", "after", "pk", "before"))
    found = [(product, since, str(days), event) for product, since, days, event in rows]
    there, said = set(found), {each[:4] for each in told}
    problems = [f"cooling-off of {each[0]}, event {each[3]}: no such event" for each in found if each not in said]
    days: dict[str, str] = {}
    for product, since, after, pk, before in told:
        if (product, since, after, pk) not in there:
            problems.append(f"event {pk}: the cooling-off of {product} does not say so")
        elif days.get(product, "0") != before:
            problems.append(f"event {pk} (cooling_off.changed) does not follow from what was before it")
        days[product] = after
    report.problems += problems[:SHOWN]
