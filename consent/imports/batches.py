"""Applies rows in Python, a page at a time, under locks: members, subscriptions, choices.

Each row is judged again by the locked data, because that may have changed since the file was read. A row that can't be
applied now is refused, in the same words as when it is read; no row that loosens is applied without an approval.
"""

import dataclasses
import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from accounts.models import Member, Organization, Plan

from .. import ledger, rules
from ..jobs.approval import AUTHORITY_ENDED, may_still_loosen, plans_set_since
from ..jobs.cases import CHANGED_SINCE
from ..models import BulkJob, ImportRow, ImportTable, PrivacySetting, ProblemKind
from ..services import choices, layers, members, plans
from ..services.choices import Chosen
from ..services.members import Newcomer
from ..services.plans import Move
from ..surfaces import MEMBER_SURFACES, organization_surface
from .checking import Ids, members_by_email, problems_of, versions_of
from .fields import ImportPlan
from .judging import APPLY, DIFFERING, SAME, UNAPPROVED, Fault, KnownMember, Met, Verdict, judge_row
from .parsing import RowError, as_read
from .staging import keep_problems

CHANGE = "change"
MEMBER_PRODUCT = MEMBER_SURFACES[0].product
# What is said of rows that loosen and are refused, for reasons that are known only when they are applied.
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
    """The conditions for rows that loosen (R13); a new one is made for each chunk."""

    obstacle: str  # why no row may loosen; '' if rows may
    set_since: frozenset[str]  # plans whose default another job has set since the file was read

    @classmethod
    def of(cls, job: BulkJob) -> "Gate":
        obstacle = "" if may_still_loosen(job) else AUTHORITY_ENDED
        return cls(obstacle if job.approver_id else UNAPPROVED, frozenset(plans_set_since(job)))

    def judge(self, table: str, row: ImportRow, met: Met, version: int) -> Verdict:
        """Like `judge_row`, with CHANGE for a row that is applied, and a refusal for one that may not loosen.

        `version` is that of the locked setting. A row that tightens is never held back.
        """
        verdict = judge_row(table, as_read(row), met)
        if verdict.loosens and (refusal := self.refusal(row, version)):
            return _refused(refusal)
        return Verdict(CHANGE) if verdict.outcome == APPLY else verdict

    def refusal(self, row: ImportRow, version: int) -> str:
        return self.obstacle or (CHANGED_SINCE if row.version != version or row.plan in self.set_since else "")


def _refused(outcome: str) -> Verdict:
    return Verdict(outcome, (Fault("organization", "", _SAID[outcome], outcome),))


def apply_batch(job: BulkJob, origin: ledger.Origin, rows: Sequence[ImportRow], plan: ImportPlan) -> Counter[str]:
    """Apply these rows of the job; returns outcome → number. Expects the chunk's transaction."""
    apply = {
        ImportTable.MEMBERS: _members,
        ImportTable.SUBSCRIPTIONS: _subscriptions,
        ImportTable.CHOICES: _choices,
    }[ImportTable(job.table)]
    verdicts = apply(Gate.of(job), origin, rows)
    refused = [row for row in rows if verdicts[row.number].outcome not in (CHANGE, SAME)]
    problems: list[RowError] = []
    for row in refused:
        verdict = verdicts[row.number]
        row.outcome = verdict.outcome
        told = ProblemKind.DIFFERING if verdict.outcome == DIFFERING else ProblemKind.REFUSED
        problems += problems_of(row.line, verdict, plan, ProblemKind.REFUSED, told)
    _keep_outcomes(job, refused, problems)
    return Counter(verdict.outcome for verdict in verdicts.values())


def refuse(job: BulkJob, rows: Sequence[ImportRow], outcome: str, plan: ImportPlan) -> None:
    """Store the refusal of rows that loosen, and may not be applied any more."""
    problems: list[RowError] = []
    for row in rows:
        row.outcome = outcome
        problems += problems_of(row.line, _refused(outcome), plan, ProblemKind.REFUSED, ProblemKind.REFUSED)
    _keep_outcomes(job, rows, problems)


def _keep_outcomes(job: BulkJob, rows: Sequence[ImportRow], problems: Sequence[RowError]) -> None:
    ImportRow.objects.bulk_update(rows, ["outcome"], batch_size=500)
    keep_problems(job, problems)


def _lock_organizations(rows: Sequence[ImportRow]) -> dict[uuid.UUID, Organization]:
    wanted = {_organization_of(row) for row in rows}
    locked = Organization.objects.filter(pk__in=wanted).select_for_update(no_key=True).order_by("pk")
    return {each.pk: each for each in locked}


# --- Members --------------------------------------------------------------------------------------------------------


def _members(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
    # Locked before anything is looked up: until the commit nobody joins, leaves or closes one.
    organizations = _lock_organizations(rows)
    at, versions = _instant([], organizations.values()), versions_of(organizations)
    here = members_by_email(organizations, {row.email for row in rows})
    ids = Ids.of({(_organization_of(row), row.external_id) for row in rows if row.external_id})
    verdicts: Verdicts = {}
    for row in rows:
        organization = organizations[_organization_of(row)]
        member = here.get((organization.pk, row.email))
        met = Met(
            now=at,
            closed=organization.is_closed,
            personal=organization.kind == Organization.Kind.PERSONAL,
            member=ids.known(member, row.external_id) if member else None,
            id_taken=(organization.pk, row.external_id) in ids.taken,
        )
        verdicts[row.number] = gate.judge(ImportTable.MEMBERS, row, met, versions.get(organization.pk, 0))
    changed = [row for row in rows if verdicts[row.number].outcome == CHANGE]
    join(organizations, changed, origin)
    return verdicts


def join(
    organizations: Mapping[uuid.UUID, Organization], rows: Sequence[ImportRow], origin: ledger.Origin, role: str = ""
) -> None:
    """Let the people of these rows join their organizations, which are locked or new; with `role`, or the row's."""
    users = members.get_or_create_users({row.email: row.name for row in rows})
    newcomers = [
        Newcomer(
            organizations[_organization_of(row)],
            users[row.email],
            role or row.role,
            # With one role for all, the rows are organizations, and the external ids are theirs.
            None if role else row.external_id,
            row.since,
        )
        for row in rows
    ]
    members.join_many(newcomers, _without_reference(origin), reference=origin.reference)


def _without_reference(origin: ledger.Origin) -> ledger.Origin:
    """The origin of all events but attestations: the reference of an import is only about those."""
    return dataclasses.replace(origin, reference="")


def _organization_of(row: ImportRow) -> uuid.UUID:
    if row.organization is None:
        raise RuntimeError(f"row {row.line} has no organization")
    return row.organization


# --- Subscriptions ----------------------------------------------------------------------------------------------------


def _subscriptions(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
    organizations = _lock_organizations(rows)
    # In order of key, so that two imports can't deadlock.
    plans_here = {key: layers.hold_plan(Plan(pk=key)) for key in sorted({row.plan for row in rows})}
    settings = _lock_settings(rows, organizations)
    at = _instant(settings.values(), organizations.values())
    denied = _denied(rows, at)
    verdicts: Verdicts = {}
    moves: list[Move] = []
    for row in rows:
        setting, plan = settings[_organization_of(row), row.product], plans_here[row.plan]
        met = Met(
            now=at,
            closed=organizations[setting.organization_id].is_closed,
            state=setting.state,
            plan_default=plan.training_default,
            denied=_spans(row, denied),
        )
        verdicts[row.number] = gate.judge(ImportTable.SUBSCRIPTIONS, row, met, setting.version)
        if verdicts[row.number].outcome == CHANGE:
            moves.append(Move(setting, plan, row.since, _spans(row, denied)))
    plans.subscribe_many(moves, _without_reference(origin), at, reference=origin.reference)
    return verdicts


def _lock_settings(
    rows: Sequence[ImportRow], organizations: Mapping[uuid.UUID, Organization]
) -> dict[_Pair, PrivacySetting]:
    return layers.lock_settings((organizations[_organization_of(row)], row.product) for row in rows)


def _instant(settings: Iterable[PrivacySetting], organizations: Iterable[Organization]) -> dt.datetime:
    """One instant for the whole page, after the latest change of any of them."""
    return ledger.clock(*(each.changed_at for each in settings), *(each.created_at for each in organizations))


def _denied(rows: Sequence[ImportRow], at: dt.datetime) -> _Denied:
    """The spans in which layers denied, for the rows that attest an earlier start."""
    return ledger.denied_spans(((_organization_of(row), row.product) for row in rows if row.since is not None), at)


def _spans(row: ImportRow, denied: _Denied) -> tuple[rules.Span, ...]:
    return denied.get((_organization_of(row), row.product), ())


# --- Choices ----------------------------------------------------------------------------------------------------------


def _choices(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
    own = [row for row in rows if row.member is not None]
    verdicts = _member_choices(gate, origin, own) if own else {}
    others = [row for row in rows if row.member is None]
    return verdicts | opt(gate, origin, others) if others else verdicts


def opt(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
    """Write the choices of these organizations; returns what came of each row."""
    organizations = _lock_organizations(rows)
    settings = _lock_settings(rows, organizations)
    at = _instant(settings.values(), organizations.values())
    denied = _denied(rows, at)
    verdicts: Verdicts = {}
    chosen: list[Chosen] = []
    for row in rows:
        setting = settings[_organization_of(row), row.product]
        met = Met(now=at, state=setting.state, denied=_spans(row, denied))
        verdicts[row.number] = gate.judge(ImportTable.CHOICES, row, met, setting.version)
        if verdicts[row.number].outcome == CHANGE:
            surface = organization_surface(row.product)
            chosen.append(Chosen(setting, row.choice, surface, row.since, _spans(row, denied)))
    choices.choose_many(chosen, _without_reference(origin), at, reference=origin.reference)
    return verdicts


def _member_choices(gate: Gate, origin: ledger.Origin, rows: Sequence[ImportRow]) -> Verdicts:
    """Write members' opt-outs; only the member may opt in (R4)."""
    found = Member.objects.filter(pk__in=[row.member for row in rows]).select_related("organization")
    locked = {each.pk: each for each in found.select_for_update(of=("self",), no_key=True).order_by("pk")}
    settings = layers.lock_member_settings(locked.values(), MEMBER_PRODUCT)
    at = _instant(settings.values(), (each.organization for each in locked.values()))
    verdicts: Verdicts = {}
    chosen: list[Chosen] = []
    for row in rows:
        if row.member is None:
            raise RuntimeError(f"row {row.line} has no member")
        setting = settings[row.member]
        met = Met(now=at, member=KnownMember(choice=setting.choice))
        verdicts[row.number] = gate.judge(ImportTable.CHOICES, row, met, setting.version)
        if verdicts[row.number].outcome == CHANGE:
            chosen.append(Chosen(setting, row.choice, MEMBER_SURFACES[0]))
    choices.choose_many(chosen, origin, at)
    return verdicts
