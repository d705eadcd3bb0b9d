"""Rows applied in Python, a page at a time, under locks: members, subscriptions, choices.

Each row is looked at anew, for much can have happened since its file was read. What can't be applied now is refused
and told; nothing that loosens is applied without an approval.
"""

import dataclasses
import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accounts.fields import MICROSECOND
from accounts.models import Member, Organization, Plan, Subscription

from ... import ledger, rules
from ...import_models import ImportRow, ImportTable, ProblemKind
from ...job_models import BulkJob
from ...models import ConsentEvent, EventKind, PrivacySetting
from ...rules import MEMBER_START, Choice, Reason, State
from ...services import layers
from ...surfaces import MEMBER_SURFACES, Surface, organization_surface
from ..approval import AUTHORITY_ENDED, may_still_loosen, plans_set_since
from ..shapes import CHANGED_SINCE
from .looking import SAME, attestable, ever_given, opt_in_refusal, versions_of
from .parsing import Parser, Problem
from .people import Person, join
from .staging import keep_problems

CHANGE = "change"
MEMBER_PRODUCT = MEMBER_SURFACES[0].product
_SAID = {
    "exists": "Somebody has added it since the file was read. Nothing to do, or mend it on its page.",
    Reason.ORGANIZATION_CLOSED: "The account has been closed since the file was read. Reopen it and import again.",
    Reason.ORGANIZATION_OPTED_OUT: "It has opted out: only it opts in again.",
    Reason.LOCKED: "It is locked since the file was read.",
    Reason.NO_SUBSCRIPTION: "It has no subscription for this product any more.",
    "personal": "A personal organization has its owner and nobody else.",
    CHANGED_SINCE: "It has changed since the file was read, and this would loosen. Import the row again.",
    AUTHORITY_ENDED: "It would loosen, and somebody who wrote, submitted or approved the import may no longer do so.",
    "unapproved": "It would loosen by now, and nobody has approved that. Import the row again.",
    "known": "It was not used for a while after that start: an earlier start can't be attested over that.",
}  # fmt: skip
Outcomes = dict[int, str]  # number of the row → what came of it
_Pair = tuple[uuid.UUID, str]
_Denied = Mapping[_Pair, tuple[rules.Span, ...]]


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a row that loosens has to pass (R13); made for each chunk."""

    obstacle: str  # for all of them, '' without one
    set_since: frozenset[str]  # plans whose default another job has set since the file was read

    @classmethod
    def of(cls, job: BulkJob) -> "Gate":
        obstacle = "" if may_still_loosen(job) else AUTHORITY_ENDED
        return cls(obstacle if job.approver_id else "unapproved", frozenset(plans_set_since(job)))

    def outcome(self, row: ImportRow, *, loosens: bool, version: int) -> str:
        """`version` is what the row meets now. What tightens passes always."""
        if not loosens:
            return CHANGE
        return self.obstacle or (CHANGED_SINCE if row.version != version or row.plan in self.set_since else CHANGE)


def apply_batch(job: BulkJob, origin: ledger.Origin, rows: Sequence[ImportRow], parser: Parser) -> Counter[str]:
    """Apply these rows of the job; returns outcome → number. Expects the chunk's transaction."""
    apply = {
        ImportTable.MEMBERS: _members,
        ImportTable.SUBSCRIPTIONS: _subscriptions,
        ImportTable.CHOICES: _choices,
    }[ImportTable(job.table)]
    outcomes = apply(Gate.of(job), origin, rows)
    refused = [row for row in rows if outcomes[row.number] not in (CHANGE, SAME)]
    for row in refused:
        row.outcome = outcomes[row.number]
    refuse(job, refused, parser)
    return Counter(outcomes.values())


def refuse(job: BulkJob, rows: Sequence[ImportRow], parser: Parser) -> None:
    """Keep the outcome that these rows have, and say why."""
    ImportRow.objects.bulk_update(rows, ["outcome"], batch_size=500)
    keep_problems(job, [_problem(row, parser) for row in rows])


def _problem(row: ImportRow, parser: Parser) -> Problem:
    return Problem(row.line, parser.column("organization"), "", str(_SAID[row.outcome]), ProblemKind.REFUSED)


def _lock_organizations(rows: Sequence[ImportRow]) -> dict[uuid.UUID, Organization]:
    wanted = {_organization_of(row) for row in rows}
    locked = Organization.objects.filter(pk__in=wanted).select_for_update(no_key=True).order_by("pk")
    return {each.pk: each for each in locked}


# --- Members --------------------------------------------------------------------------------------------------------


def _members(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Outcomes:
    organizations = _lock_organizations(rows)
    here = Member.objects.filter(organization__in=organizations)
    known: set[tuple[uuid.UUID, str | None]] = set(
        here.filter(user__email__in={row.email for row in rows}).values_list("organization_id", "user__email")
    )
    known |= ever_given({(_organization_of(row), row.external_id) for row in rows if row.external_id})
    versions = versions_of(organizations)
    outcomes: dict[int, str] = {}
    for row in rows:
        organization = organizations[_organization_of(row)]
        if (organization.pk, row.email) in known or (row.external_id and (organization.pk, row.external_id) in known):
            outcomes[row.number] = "exists"
        elif organization.is_closed:
            outcomes[row.number] = Reason.ORGANIZATION_CLOSED
        elif organization.kind == Organization.Kind.PERSONAL:
            outcomes[row.number] = "personal"
        else:
            version = versions.get(organization.pk, 0)
            outcomes[row.number] = gate.outcome(row, loosens=row.since is not None, version=version)
    people = [
        Person(_organization_of(row), row.email, row.name, row.role, row.external_id, row.since)
        for row in rows
        if outcomes[row.number] == CHANGE
    ]
    join(people, origin)
    return outcomes


def _organization_of(row: ImportRow) -> uuid.UUID:
    if row.organization is None:
        raise RuntimeError(f"row {row.line} has no organization")
    return row.organization


# --- Subscriptions ----------------------------------------------------------------------------------------------------


def _subscriptions(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Outcomes:
    organizations = _lock_organizations(rows)
    plans = {key: layers.hold_plan(Plan(pk=key)) for key in sorted({row.plan for row in rows})}
    settings = _lock_settings(rows, organizations)
    at = _instant(settings.values(), organizations.values())
    denied = _denied(rows, at)
    outcomes: dict[int, str] = {}
    events: list[ConsentEvent] = []
    moved: list[ImportRow] = []
    for row in rows:
        setting = settings[_organization_of(row), row.product]
        before, plan = setting.state, plans[row.plan]
        after = rules.subscribe(before, plan.key, plan.training_default, at)
        if before.subscribed and before.plan == plan.key:
            outcomes[row.number] = SAME
        elif before.closed or organizations[setting.organization_id].is_closed:
            outcomes[row.number] = Reason.ORGANIZATION_CLOSED
        else:
            loosens = after.allowed and (row.since is not None or (before.plan != "" and not before.allowed))
            outcomes[row.number] = gate.outcome(row, loosens=loosens, version=setting.version)
            if outcomes[row.number] == CHANGE and not attestable(after, row.since, _spans(row, denied)):
                outcomes[row.number] = "known"
        if outcomes[row.number] == CHANGE:
            moved.append(row)
            kind = EventKind.PLAN_CHANGED if before.subscribed else EventKind.SUBSCRIPTION_STARTED
            held = before.plan if before.subscribed else ""
            change = _Change(kind, after, held, plan.key, since=row.since, denied=_spans(row, denied))
            events += _events(setting, change, origin, at)
    held_ones = Subscription.objects.filter(organization__in=[row.organization for row in moved], ended_at=None)
    wanted = {(row.organization, row.product) for row in moved}
    ended = [each.pk for each in held_ones if (each.organization_id, each.product) in wanted]
    Subscription.objects.filter(pk__in=ended).update(ended_at=at)
    Subscription.objects.bulk_create(
        Subscription(organization_id=_organization_of(row), product=row.product, plan=plans[row.plan], started_at=at)
        for row in moved
    )
    _record(events)
    return outcomes


def _lock_settings(
    rows: Sequence[ImportRow], organizations: Mapping[uuid.UUID, Organization]
) -> dict[_Pair, PrivacySetting]:
    pairs = {(_organization_of(row), row.product) for row in rows}
    layers.ensure_settings((organizations[pk], product) for pk, product in pairs)
    found = PrivacySetting.objects.of_organizations().filter(organization__in={pk for pk, _product in pairs})
    locked = found.select_for_update(no_key=True).order_by("pk")
    return {(each.organization_id, each.product): each for each in locked}


def _instant(settings: Iterable[PrivacySetting], organizations: Iterable[Organization]) -> dt.datetime:
    """One for the whole page, later than all that happened to any of them."""
    return ledger.clock(*(each.changed_at for each in settings), *(each.created_at for each in organizations))


@dataclasses.dataclass(frozen=True)
class _Change:
    """What a row makes of an organization's setting."""

    kind: EventKind
    state: State
    before: str
    after: str
    surface: Surface | None = None
    since: dt.datetime | None = None  # an earlier start to be attested
    denied: tuple[rules.Span, ...] = ()


def _denied(rows: Sequence[ImportRow], at: dt.datetime) -> _Denied:
    """When the layers denied of which an earlier start is to be attested."""
    return ledger.denied_spans(((_organization_of(row), row.product) for row in rows if row.since is not None), at)


def _spans(row: ImportRow, denied: _Denied) -> tuple[rules.Span, ...]:
    return denied.get((_organization_of(row), row.product), ())


def _events(setting: PrivacySetting, change: _Change, origin: ledger.Origin, at: dt.datetime) -> list[ConsentEvent]:
    """The change and, where an earlier start is attested of what is allowed now, that."""
    subject: dict[str, Any] = {"organization": setting.organization, "product": setting.product}
    found = [
        ledger.event(
            change.kind,
            origin=dataclasses.replace(origin, reference=""),
            at=at,
            state=change.state,
            surface=change.surface,
            before=change.before,
            after=change.after,
            **subject,
        )
    ]
    if change.since is not None and change.state.allowed:
        attested = rules.attest(change.state, change.since, change.denied)
        kind = EventKind.SINCE_ATTESTED
        found.append(ledger.event(kind, origin=origin, at=at + MICROSECOND, state=attested, **subject))
    return found


def _record(events: Sequence[ConsentEvent]) -> None:
    """At most one event per layer at a time (see `ledger.record`): the attestations after all else."""
    attested = [each for each in events if each.kind == EventKind.SINCE_ATTESTED]
    ledger.record([each for each in events if each.kind != EventKind.SINCE_ATTESTED])
    ledger.record(attested)


# --- Choices ----------------------------------------------------------------------------------------------------------


def _choices(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Outcomes:
    own = [row for row in rows if row.member is not None]
    outcomes = _member_choices(origin, own) if own else {}
    others = [row for row in rows if row.member is None]
    return outcomes | opt(gate, origin, others) if others else outcomes


def opt(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> dict[int, str]:
    """What these organizations chose; returns the outcome of each row."""
    organizations = _lock_organizations(rows)
    settings = _lock_settings(rows, organizations)
    at = _instant(settings.values(), organizations.values())
    denied = _denied(rows, at)
    outcomes: dict[int, str] = {}
    events: list[ConsentEvent] = []
    for row in rows:
        setting = settings[_organization_of(row), row.product]
        before = setting.state
        opts_in = row.choice == Choice.OPTED_IN
        if not row.choice or before.choice == row.choice:
            outcomes[row.number] = SAME
        elif opts_in and (refusal := opt_in_refusal(before)):
            outcomes[row.number] = refusal
        else:
            outcomes[row.number] = gate.outcome(row, loosens=opts_in, version=setting.version)
            if (
                outcomes[row.number] == CHANGE
                and opts_in
                and not attestable(rules.opt_in(before, at), row.since, _spans(row, denied))
            ):
                outcomes[row.number] = "known"
        if outcomes[row.number] == CHANGE:
            kind = EventKind.CHOICE_OPTED_IN if opts_in else EventKind.CHOICE_OPTED_OUT
            after = (rules.opt_in if opts_in else rules.opt_out)(before, at)
            surface = organization_surface(row.product)
            change = _Change(kind, after, before.choice, row.choice, surface, row.since, _spans(row, denied))
            events += _events(setting, change, origin, at)
    _record(events)
    return outcomes


def _member_choices(origin: ledger.Origin, rows: Sequence[ImportRow]) -> dict[int, str]:
    """Opt-outs alone: only the member opts in (R4)."""
    found = Member.objects.filter(pk__in=[row.member for row in rows]).select_related("organization")
    locked = {each.pk: each for each in found.select_for_update(of=("self",), no_key=True).order_by("pk")}
    fresh = [PrivacySetting(organization=m.organization, member=m, product=MEMBER_PRODUCT) for m in locked.values()]
    for setting in fresh:
        setting.put_state(MEMBER_START)
    PrivacySetting.objects.bulk_create(fresh, ignore_conflicts=True)
    settings = PrivacySetting.objects.of_members().filter(member__in=locked, product=MEMBER_PRODUCT)
    by_member = {each.member_id: each for each in settings.select_for_update(no_key=True).order_by("pk")}
    at = _instant(by_member.values(), (each.organization for each in locked.values()))
    outcomes: dict[int, str] = {}
    events: list[ConsentEvent] = []
    for row in rows:
        if row.member is None:
            raise RuntimeError(f"row {row.line} has no member")
        member, before = locked[row.member], by_member[row.member].state
        outcomes[row.number] = SAME if before.choice == Choice.OPTED_OUT else CHANGE
        if outcomes[row.number] == CHANGE:
            after = rules.member_opt_out(before, at)
            events.append(
                ledger.event(
                    EventKind.CHOICE_OPTED_OUT,
                    organization=member.organization,
                    member=member,
                    product=MEMBER_PRODUCT,
                    surface=MEMBER_SURFACES[0],
                    before=before.choice,
                    after=Choice.OPTED_OUT,
                    origin=origin,
                    at=at,
                    state=after,
                )
            )
    ledger.record(events)
    return outcomes
