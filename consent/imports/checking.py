"""Checks the rows of a file: looks up what is stored about them, without locks, a page at a time, and judges each.

When the rows are applied, the same is looked up again, under locks: see `batches`.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.db.models import Sum

from accounts.external_ids import erased_hash
from accounts.fields import parse_id, split_ident
from accounts.models import Binding, Member, Organization, Plan, Subscription

from .. import ledger, rules
from ..models import ImportTable, PrivacySetting, ProblemKind
from ..rules import State
from .fields import ImportPlan
from .judging import BAD, KnownMember, Met, Verdict, judge_row
from .parsing import Parser, Row, RowError, shown

_Pair = tuple[uuid.UUID, str]


class CheckedRow(NamedTuple):
    """A row with its ids, its outcome, all that is to be said of it, and whether it loosens.

    `version` is that of its setting when it was checked; for a member's row the sum of those of the organization.
    """

    row: Row
    outcome: str = ""
    problems: tuple[RowError, ...] = ()
    loosens: bool = False
    version: int = 0


def check_rows(table: str, rows: Sequence[Row], parser: Parser) -> Iterator[CheckedRow]:
    """Check the rows of one page; yields them in the same order. The outcome of invalid rows is BAD."""
    if table == ImportTable.ORGANIZATIONS:
        yield from _new_organizations(rows, parser)
        return
    look_up = {
        ImportTable.MEMBERS: _members,
        ImportTable.SUBSCRIPTIONS: _subscriptions,
        ImportTable.CHOICES: _choices,
    }[ImportTable(table)]
    named = _organizations({ident for row in rows for ident in (row.ident, row.external_ident) if ident})
    whole: list[_Found] = []
    for row in rows:
        # A file from another installation has its ids; then the external id beside them counts.
        one, other = named.get(row.ident), named.get(row.external_ident)
        of_two = "organization" if one and other and one.pk != other.pk else ""
        organization = one or other
        whole.append(_Found(row._replace(organization=organization.pk if organization else None), organization, of_two))
    for found, met, version in look_up(whole, parser):
        yield _checked(table, found.row, met, parser, version)


class _Found(NamedTuple):
    """A row and its organization; `of_two`: the field whose id and external id mean two different subjects."""

    row: Row
    organization: Organization | None
    of_two: str = ""


_Met = Iterator[tuple[_Found, Met, int]]  # a row, what is stored about it, and the version of that


def _checked(table: str, row: Row, met: Met, parser: Parser, version: int) -> CheckedRow:
    if not met.exists and {"organization", "organization_external_id"} & {*row.unread}:
        return CheckedRow(row)  # the id that can't be read has been reported already
    verdict = judge_row(table, row, met)
    problems = problems_of(row.line, verdict, parser.plan, ProblemKind.BAD, ProblemKind.DIFFERING)
    return CheckedRow(row, BAD if verdict.faults else verdict.outcome, problems, verdict.loosens, version)


def problems_of(
    line: int, verdict: Verdict, plan: ImportPlan, faults: ProblemKind, told: ProblemKind
) -> tuple[RowError, ...]:
    """All that is to be said of a row; `faults` is the kind of its faults, `told` that of what is left as it is."""
    kinds = [(fault, faults) for fault in verdict.faults] + ([(verdict.told, told)] if verdict.told else [])
    return tuple(
        RowError(line, plan.column(fault.field), shown(fault.value), fault.remedy[:500], kind.value)
        for fault, kind in kinds
    )


def _new_organizations(rows: Sequence[Row], parser: Parser) -> Iterator[CheckedRow]:
    """Check rows as new organizations. Which of their external ids are known is found out when all rows are stored."""
    erased = erased_ids({row.external_id for row in rows if row.external_id})
    # Rows with an id are of known organizations without an external id; all others are taken as new for now.
    by_id = Organization.objects.only("pk").in_bulk([row.ident for row in rows if row.ident])
    for row in rows:
        pk = parse_id(row.ident)
        met = Met(now=parser.now, exists=pk is None or pk in by_id, id_taken=row.external_id in erased)
        yield _checked(ImportTable.ORGANIZATIONS, row._replace(organization=pk or row.organization), met, parser, 0)


def erased_ids(values: Collection[str]) -> set[str]:
    """Those of the external ids that meant an organization and were erased."""
    erased = Binding.objects.of_organizations().filter(hash__gt="")
    if not erased.exists():
        return set()
    hashes = {erased_hash(value): value for value in values}
    return {hashes[each] for each in erased.filter(hash__in=hashes).values_list("hash", flat=True)}


def ever_given(given: Collection[tuple[uuid.UUID, str]]) -> set[tuple[uuid.UUID, str]]:
    """Those (organization, external id) that mean or meant a member, erased ones included."""
    scopes, values = {pk for pk, _value in given}, {value for _pk, value in given}
    rows = Binding.objects.of_members().filter(organization__in=scopes)
    found = set(rows.filter(value__in=values).values_list("organization_id", "value"))
    if rows.filter(hash__gt="").exists():
        # Erased ids are stored only as hashes.
        hashes = {erased_hash(value, pk): (pk, value) for pk, value in given}
        found |= {hashes[each] for each in rows.filter(hash__in=hashes).values_list("hash", flat=True)}
    # The queries match organizations and values separately, so they find other pairs too.
    return found & set(given)


def _organizations(idents: Iterable[str]) -> Mapping[str, Organization]:
    split = {ident: split_ident(ident) for ident in idents}
    named = Binding.objects.organizations_named({external_id for _pk, external_id in split.values() if external_id})
    meant = {ident: pk or named.get(external_id or "") for ident, (pk, external_id) in split.items()}
    rows = Organization.objects.only("pk", "kind", "status").in_bulk({pk for pk in meant.values() if pk})
    return {ident: rows[pk] for ident, pk in meant.items() if pk in rows}


# --- Members --------------------------------------------------------------------------------------------------------


def _members(rows: Sequence[_Found], parser: Parser) -> _Met:
    scopes = {each.organization.pk for each in rows if each.organization}
    members = members_by_email(scopes, {each.row.email for each in rows})
    given = {
        (each.organization.pk, each.row.external_id) for each in rows if each.organization and each.row.external_id
    }
    ids = Ids.of(given)
    versions = versions_of(scopes)
    for each in rows:
        pk = each.organization.pk if each.organization else None
        member = members.get((pk, each.row.email)) if pk else None
        met = Met(
            now=parser.now,
            exists=each.organization is not None,
            of_two=each.of_two,
            closed=bool(each.organization and each.organization.is_closed),
            personal=bool(each.organization and each.organization.kind == Organization.Kind.PERSONAL),
            member=ids.known(member, each.row.external_id) if member else None,
            id_taken=(pk, each.row.external_id) in ids.taken,
        )
        yield each, met, versions.get(pk, 0) if pk else 0


class Ids(NamedTuple):
    """Members' external ids, as (organization, id): `taken` mean or meant somebody; `named`: the member of each."""

    taken: Collection[_Pair]
    named: Mapping[_Pair, uuid.UUID]

    @classmethod
    def of(cls, given: Collection[_Pair]) -> "Ids":
        return cls(
            ever_given(given),
            Binding.objects.members_named({pk for pk, _value in given}, {value for _pk, value in given}),
        )

    def known(self, member: Member, external_id: str) -> KnownMember:
        has_id = not external_id or self.named.get((member.organization_id, external_id)) == member.pk
        return KnownMember(member.role, member.has_left, member.external_id or "", has_id)


def members_by_email(organizations: Collection[uuid.UUID], emails: Collection[str]) -> dict[_Pair, Member]:
    here = Member.objects.filter(organization__in=organizations, user__email__in=emails).select_related("user")
    return {(each.organization_id, each.user.email): each for each in here}


def versions_of(organizations: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Organization → the sum of its settings' versions, which grows with every change of one of them."""
    rows = PrivacySetting.objects.of_organizations().filter(organization__in=set(organizations))
    return dict(rows.order_by().values_list("organization_id").annotate(Sum("version")))


# --- Subscriptions ----------------------------------------------------------------------------------------------------


def settings_of(pairs: Iterable[_Pair]) -> dict[_Pair, PrivacySetting]:
    """(organization, product) → setting: all existing settings of the organizations in `pairs`."""
    rows = PrivacySetting.objects.of_organizations().filter(organization__in={pk for pk, _product in pairs})
    return {(each.organization_id, each.product): each for each in rows}


def _subscriptions(rows: Sequence[_Found], parser: Parser) -> _Met:
    settings, denied = _settings(rows), _denied(rows, parser.now)
    defaults = dict(Plan.objects.values_list("key", "training_default"))
    live = _started({each.organization.pk for each in rows if each.organization and each.row.past})
    for each in rows:
        pk = each.organization.pk if each.organization else None
        setting = settings.get((pk, each.row.product)) if pk else None
        met = Met(
            now=parser.now,
            exists=each.organization is not None,
            of_two=each.of_two,
            closed=bool(each.organization and each.organization.is_closed),
            state=setting.state if setting else State(),
            plan_default=defaults.get(each.row.plan, ""),
            denied=denied.get((pk, each.row.product), ()) if pk else (),
            live_since=live.get((pk, each.row.plan)) if pk else None,
        )
        yield each, met, setting.version if setting else 0


def _settings(rows: Iterable[_Found]) -> dict[_Pair, PrivacySetting]:
    return settings_of([(each.organization.pk, each.row.product) for each in rows if each.organization])


def _started(organizations: Collection[uuid.UUID]) -> dict[_Pair, dt.datetime]:
    """(organization, plan) → start of its live subscription."""
    live = Subscription.objects.filter(organization__in=organizations, ended_at=None)
    return {(each.organization_id, each.plan_id): each.started_at for each in live}


def _denied(rows: Iterable[_Found], now: dt.datetime) -> Mapping[_Pair, tuple[rules.Span, ...]]:
    """The spans in which layers denied, for the rows that attest an earlier start."""
    attested = [
        (each.organization.pk, each.row.product)
        for each in rows
        if each.organization and each.row.product and each.row.since is not None
    ]
    return ledger.denied_spans(attested, now)


# --- Choices ----------------------------------------------------------------------------------------------------------


def _choices(rows: Sequence[_Found], parser: Parser) -> _Met:
    settings, denied = _settings(rows), _denied(rows, parser.now)
    members = _find_members([(each.row, each.organization) for each in rows if each.organization])
    chosen = _choices_of_members({member.pk for member in members.values()})
    for each in rows:
        row, pk = each.row, each.organization.pk if each.organization else None
        setting = settings.get((pk, row.product)) if pk else None
        member, other = (
            (members.get((pk, row.member_ident)), members.get((pk, row.member_external_ident))) if pk else (None, None)
        )
        of_two = each.of_two or ("member" if member and other and member.pk != other.pk else "")
        member = member or other
        met = Met(
            now=parser.now,
            exists=each.organization is not None,
            of_two=of_two,
            state=setting.state if setting else State(),
            denied=denied.get((pk, row.product), ()) if pk else (),
            member=KnownMember(choice=chosen.get((member.pk, row.product), "")) if member else None,
        )
        yield (
            each._replace(row=row._replace(member=member.pk if member else None)),
            met,
            setting.version if setting else 0,
        )


def _find_members(pairs: Sequence[tuple[Row, Organization]]) -> dict[tuple[uuid.UUID, str], Member]:
    here = Member.objects.filter(organization__in={organization.pk for row, organization in pairs if row.member_ident})
    ids = [pk for row, _organization in pairs if (pk := split_ident(row.member_ident)[0])]
    found = {}
    for each in here.filter(pk__in=ids):
        found[each.organization_id, str(each.pk)] = each
    return found | _named_members(pairs)


def _named_members(pairs: Sequence[tuple[Row, Organization]]) -> dict[tuple[uuid.UUID, str], Member]:
    """(organization, id as the row has it) → member, for external ids."""
    asked = {
        (organization.pk, ident): external_id
        for row, organization in pairs
        for ident in (row.member_ident, row.member_external_ident)
        if (external_id := split_ident(ident)[1])
    }
    named = Binding.objects.members_named({pk for pk, _ident in asked}, set(asked.values()))
    members = Member.objects.in_bulk(set(named.values()))
    meant = {key: named.get((key[0], external_id)) for key, external_id in asked.items()}
    return {key: members[pk] for key, pk in meant.items() if pk is not None}


def _choices_of_members(members: Iterable[uuid.UUID]) -> Mapping[tuple[uuid.UUID | None, str], str]:
    rows = PrivacySetting.objects.of_members().filter(member__in=members)
    return {(pk, product): choice for pk, product, choice in rows.values_list("member_id", "product", "choice")}
