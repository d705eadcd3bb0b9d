"""Rows applied in Python, a page at a time, under locks: members, subscriptions, choices.

Each row is judged anew by what is locked, for much can have happened since its file was read. What can't be applied now
is refused, in the words in which a file with it is; nothing that loosens is applied without an approval.
"""

import dataclasses
import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accounts.fields import MICROSECOND, to_micros
from accounts.models import Member, Organization, Plan, Subscription

from .. import ledger, rules
from ..jobs.approval import AUTHORITY_ENDED, may_still_loosen, plans_set_since
from ..jobs.cases import CHANGED_SINCE
from ..models import BulkJob, ConsentEvent, EventKind, ImportRow, ImportTable, PrivacySetting, ProblemKind
from ..rules import MEMBER_START, Choice, State
from ..services import layers
from ..surfaces import MEMBER_SURFACES, Surface, organization_surface
from .checking import Ids, members_by_email, problems_of, versions_of
from .judging import APPLY, DIFFERING, SAME, UNAPPROVED, Fault, KnownMember, Met, Verdict, judge_row
from .parsing import KEPT, Parser, Problem, Row
from .people import Person, join
from .staging import keep_problems

CHANGE = "change"
MEMBER_PRODUCT = MEMBER_SURFACES[0].product
# Of rows that loosen, and that only those who apply them can tell.
_SAID = {
    CHANGED_SINCE: "It has changed since the file was read, and this would loosen. Import the row again.",
    AUTHORITY_ENDED: "It would loosen, and somebody who wrote, submitted or approved the import may no longer do so.",
    UNAPPROVED: "It would loosen by now, and nobody has approved that. Import the row again.",
}
Verdicts = dict[int, Verdict]  # number of the row → what came of it
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
        return cls(obstacle if job.approver_id else UNAPPROVED, frozenset(plans_set_since(job)))

    def judge(self, table: str, row: ImportRow, met: Met, version: int) -> Verdict:
        """As `judge_row`, CHANGE where the row is applied. `version` is what it meets; what tightens passes always."""
        verdict = judge_row(table, _as_read(row), met)
        if verdict.loosens and (refusal := self.refusal(row, version)):
            return _refused(refusal)
        return Verdict(CHANGE) if verdict.outcome == APPLY else verdict

    def refusal(self, row: ImportRow, version: int) -> str:
        return self.obstacle or (CHANGED_SINCE if row.version != version or row.plan in self.set_since else "")


def _as_read(row: ImportRow) -> Row:
    kept = {name: getattr(row, name) for name in KEPT}
    return Row(row.line, **kept | {"since": None if row.since is None else to_micros(row.since)})


def _refused(outcome: str) -> Verdict:
    return Verdict(outcome, (Fault("organization", "", _SAID[outcome], outcome),))


def apply_batch(job: BulkJob, origin: ledger.Origin, rows: Sequence[ImportRow], parser: Parser) -> Counter[str]:
    """Apply these rows of the job; returns outcome → number. Expects the chunk's transaction."""
    apply = {
        ImportTable.MEMBERS: _members,
        ImportTable.SUBSCRIPTIONS: _subscriptions,
        ImportTable.CHOICES: _choices,
    }[ImportTable(job.table)]
    verdicts = apply(Gate.of(job), origin, rows)
    refused = [row for row in rows if verdicts[row.number].outcome not in (CHANGE, SAME)]
    problems: list[Problem] = []
    for row in refused:
        verdict = verdicts[row.number]
        row.outcome = verdict.outcome
        told = ProblemKind.DIFFERING if verdict.outcome == DIFFERING else ProblemKind.REFUSED
        problems += problems_of(row.line, verdict, parser, ProblemKind.REFUSED, told)
    _keep_outcomes(job, refused, problems)
    return Counter(verdict.outcome for verdict in verdicts.values())


def refuse(job: BulkJob, rows: Sequence[ImportRow], outcome: str, parser: Parser) -> None:
    """Rows that loosen, and may not be applied any more."""
    problems: list[Problem] = []
    for row in rows:
        row.outcome = outcome
        problems += problems_of(row.line, _refused(outcome), parser, ProblemKind.REFUSED, ProblemKind.REFUSED)
    _keep_outcomes(job, rows, problems)


def _keep_outcomes(job: BulkJob, rows: Sequence[ImportRow], problems: Sequence[Problem]) -> None:
    ImportRow.objects.bulk_update(rows, ["outcome"], batch_size=500)
    keep_problems(job, problems)


def _lock_organizations(rows: Sequence[ImportRow]) -> dict[uuid.UUID, Organization]:
    wanted = {_organization_of(row) for row in rows}
    locked = Organization.objects.filter(pk__in=wanted).select_for_update(no_key=True).order_by("pk")
    return {each.pk: each for each in locked}


# --- Members --------------------------------------------------------------------------------------------------------


def _members(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
    organizations = _lock_organizations(rows)
    at, versions = _instant([], organizations.values()), versions_of(organizations)
    members = members_by_email(organizations, {row.email for row in rows})
    ids = Ids.of({(_organization_of(row), row.external_id) for row in rows if row.external_id})
    verdicts: Verdicts = {}
    for row in rows:
        organization = organizations[_organization_of(row)]
        member = members.get((organization.pk, row.email))
        met = Met(
            now=at,
            closed=organization.is_closed,
            personal=organization.kind == Organization.Kind.PERSONAL,
            member=ids.known(member, row.external_id) if member else None,
            id_taken=(organization.pk, row.external_id) in ids.taken,
        )
        verdicts[row.number] = gate.judge(ImportTable.MEMBERS, row, met, versions.get(organization.pk, 0))
    people = [
        Person(_organization_of(row), row.email, row.name, row.role, row.external_id, row.since)
        for row in rows
        if verdicts[row.number].outcome == CHANGE
    ]
    join(people, origin)
    return verdicts


def _organization_of(row: ImportRow) -> uuid.UUID:
    if row.organization is None:
        raise RuntimeError(f"row {row.line} has no organization")
    return row.organization


# --- Subscriptions ----------------------------------------------------------------------------------------------------


def _subscriptions(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
    organizations = _lock_organizations(rows)
    plans = {key: layers.hold_plan(Plan(pk=key)) for key in sorted({row.plan for row in rows})}
    settings = _lock_settings(rows, organizations)
    at = _instant(settings.values(), organizations.values())
    denied = _denied(rows, at)
    verdicts: Verdicts = {}
    events: list[ConsentEvent] = []
    moved: list[ImportRow] = []
    for row in rows:
        setting, plan = settings[_organization_of(row), row.product], plans[row.plan]
        before = setting.state
        met = Met(
            now=at,
            closed=organizations[setting.organization_id].is_closed,
            state=before,
            plan_default=plan.training_default,
            denied=_spans(row, denied),
        )
        verdicts[row.number] = gate.judge(ImportTable.SUBSCRIPTIONS, row, met, setting.version)
        if verdicts[row.number].outcome == CHANGE:
            moved.append(row)
            after = rules.subscribe(before, plan.key, plan.training_default, at)
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
    return verdicts


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


def _choices(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
    own = [row for row in rows if row.member is not None]
    verdicts = _member_choices(gate, origin, own) if own else {}
    others = [row for row in rows if row.member is None]
    return verdicts | opt(gate, origin, others) if others else verdicts


def opt(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
    """What these organizations chose; returns what came of each row."""
    organizations = _lock_organizations(rows)
    settings = _lock_settings(rows, organizations)
    at = _instant(settings.values(), organizations.values())
    denied = _denied(rows, at)
    verdicts: Verdicts = {}
    events: list[ConsentEvent] = []
    for row in rows:
        setting = settings[_organization_of(row), row.product]
        before = setting.state
        met = Met(now=at, state=before, denied=_spans(row, denied))
        verdicts[row.number] = gate.judge(ImportTable.CHOICES, row, met, setting.version)
        if verdicts[row.number].outcome == CHANGE:
            opts_in = row.choice == Choice.OPTED_IN
            kind = EventKind.CHOICE_OPTED_IN if opts_in else EventKind.CHOICE_OPTED_OUT
            after = (rules.opt_in if opts_in else rules.opt_out)(before, at)
            surface = organization_surface(row.product)
            change = _Change(kind, after, before.choice, row.choice, surface, row.since, _spans(row, denied))
            events += _events(setting, change, origin, at)
    _record(events)
    return verdicts


def _member_choices(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
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
    verdicts: Verdicts = {}
    events: list[ConsentEvent] = []
    for row in rows:
        if row.member is None:
            raise RuntimeError(f"row {row.line} has no member")
        member, before = locked[row.member], by_member[row.member].state
        met = Met(now=at, member=KnownMember(choice=before.choice))
        verdicts[row.number] = gate.judge(ImportTable.CHOICES, row, met, by_member[row.member].version)
        if verdicts[row.number].outcome == CHANGE:
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
    return verdicts
