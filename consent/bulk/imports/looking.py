"""What each row of an import meets: nothing yet, the same already, something else, or a reason to refuse it.

A table's rows are looked at page by page while the file is read, and once more, under locks, when they are applied.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.db.models import Sum

from accounts.access import split_ident
from accounts.external_ids import erased_hash
from accounts.fields import from_micros, parse_id
from accounts.models import Binding, Member, Organization, Plan, Subscription

from ... import ledger, rules
from ...import_models import ImportTable, ProblemKind
from ...models import PrivacySetting
from ...rules import Choice, State
from .parsing import Parser, Problem, Row, shown

# PAST: the row tells of what is over, and makes nothing.
SAME, DIFFERING, PAST = "same", "differing", "past"
REBIND = "Only an approved job of the kind “rebind” gives it to somebody else."
GIVEN_BEFORE = f"This external id has meant another organization. {REBIND} Give this one an id of its own."


class Looked(NamedTuple):
    """A row with its ids, why it is not to be applied ('' if it is), what is to be said, and whether it loosens.

    `version` is what it was looked at: its setting's, or of a member's row the sum of the organization's.
    """

    row: Row
    outcome: str = ""
    problem: Problem | None = None
    loosens: bool = False
    version: int = 0


def look(table: str, rows: Sequence[Row], parser: Parser) -> Iterator[Looked | Problem]:
    """The rows of one page, in their order; a Problem where a row can't be meant."""
    if table == ImportTable.ORGANIZATIONS:
        yield from _new_organizations(rows, parser)
        return
    organizations = _organizations({ident for row in rows for ident in (row.ident, row.external_ident)} - {""})
    look_at = {
        ImportTable.MEMBERS: _members,
        ImportTable.SUBSCRIPTIONS: _subscriptions,
        ImportTable.CHOICES: _choices,
    }[ImportTable(table)]
    known: list[tuple[Row, Organization]] = []
    for row in rows:
        organization, other = organizations.get(row.ident), organizations.get(row.external_ident)
        if organization and other and organization.pk != other.pk:
            yield _contradicting(row, parser, "organization", row.external_ident)
            continue
        organization = organization or other
        if organization is None and _is_past(row):
            yield Looked(row, PAST)
        elif organization is None:
            column = parser.column("organization")
            yield Problem(row.line, column, shown(row.ident), "There is no such organization. Import it first.")
        else:
            known.append((row._replace(organization=organization.pk), organization))
    yield from look_at(known, parser)


def _contradicting(row: Row, parser: Parser, field: str, value: str) -> Problem:
    remedy = "The id and the external id of this row are those of two. Empty the one that is wrong."
    return Problem(row.line, parser.column(f"{field}_external_id"), shown(value), remedy)


def _is_past(row: Row) -> bool:
    """Whether it makes nothing where its organization is unknown. An opt-out always wants somebody to be filed with."""
    return bool(row.past) or ("closed" in row.held and row.choice != Choice.OPTED_OUT)


def _new_organizations(rows: Sequence[Row], parser: Parser) -> Iterator[Looked | Problem]:
    """New as far as one sees here: which of the external ids are known is asked once all rows are there."""
    erased = erased_ids({row.external_id for row in rows})
    by_id = Organization.objects.only("pk").in_bulk([row.ident for row in rows if row.ident])
    for row in rows:
        if row.external_id in erased:
            yield Problem(row.line, parser.column("external_id"), shown(row.external_id), GIVEN_BEFORE)
        elif row.ident and (pk := parse_id(row.ident)) not in by_id:
            remedy = "It has no external id, and there is no organization with this id. Give it an external id."
            yield Problem(row.line, parser.column("id"), row.ident, remedy)
        else:
            found = row._replace(organization=pk) if row.ident else row
            yield Looked(found, loosens=row.choice == Choice.OPTED_IN or row.since is not None)


def erased_ids(values: Collection[str]) -> set[str]:
    """Of organizations' external ids those that meant one and were erased."""
    erased = Binding.objects.of_organizations().filter(hash__gt="")
    if not erased.exists():
        return set()
    hashes = {erased_hash(value): value for value in values}
    return {hashes[each] for each in erased.filter(hash__in=hashes).values_list("hash", flat=True)}


def ever_given(given: Collection[tuple[uuid.UUID, str]]) -> set[tuple[uuid.UUID, str]]:
    """Of (organization, member's external id) those that mean or meant a member, erased ones included."""
    scopes, values = {pk for pk, _value in given}, {value for _pk, value in given}
    rows = Binding.objects.of_members().filter(organization__in=scopes)
    found = set(rows.filter(value__in=values).values_list("organization_id", "value"))
    if rows.filter(hash__gt="").exists():
        hashes = {erased_hash(value, pk): (pk, value) for pk, value in given}
        found |= {hashes[each] for each in rows.filter(hash__in=hashes).values_list("hash", flat=True)}
    return found & set(given)


def _organizations(idents: Iterable[str]) -> Mapping[str, Organization]:
    split = {ident: split_ident(ident) for ident in idents}
    named = Binding.objects.organizations_named({external_id for _pk, external_id in split.values() if external_id})
    meant = {ident: pk or named.get(external_id or "") for ident, (pk, external_id) in split.items()}
    rows = Organization.objects.only("pk", "kind", "status").in_bulk({pk for pk in meant.values() if pk})
    return {ident: rows[pk] for ident, pk in meant.items() if pk in rows}


def _closed(row: Row, parser: Parser) -> Problem:
    return Problem(
        row.line,
        parser.column("organization"),
        shown(row.ident),
        "The account is closed. Reopen it, or remove the row.",
    )


# --- Members --------------------------------------------------------------------------------------------------------


def _members(pairs: Sequence[tuple[Row, Organization]], parser: Parser) -> Iterator[Looked | Problem]:
    here = Member.objects.filter(organization__in={organization.pk for _row, organization in pairs})
    emails = {row.email for row, _ in pairs}
    known = {(m.organization_id, m.user.email): m for m in here.filter(user__email__in=emails).select_related("user")}
    given = {(organization.pk, row.external_id) for row, organization in pairs if row.external_id}
    taken = ever_given(given)
    named = Binding.objects.members_named({pk for pk, _value in given}, {value for _pk, value in given})
    versions = versions_of(organization.pk for _row, organization in pairs)
    for row, organization in pairs:
        member = known.get((organization.pk, row.email))
        if member is not None and row.past in _LEFT and not member.has_left:
            told = f"is here as {member.role}, and has left by what the file says"
            yield Looked(row, PAST, _differs(row, parser.column("email"), row.email, told))
        elif member is None and row.past:
            yield Looked(row, PAST)
        elif member is not None:
            has = named.get((organization.pk, row.external_id)) == member.pk
            yield _known_member(row, member, parser, has_id=has or not row.external_id)
        elif organization.is_closed:
            yield _closed(row, parser)
        elif organization.kind == Organization.Kind.PERSONAL:
            remedy = "A personal organization has its owner and nobody else. Remove the row."
            yield Problem(row.line, parser.column("organization"), shown(row.ident), remedy)
        elif (organization.pk, row.external_id) in taken:
            remedy = f"Another member of this organization has, or had, this external id. Give each their own. {REBIND}"
            yield Problem(row.line, parser.column("external_id"), shown(row.external_id), remedy)
        else:
            yield Looked(row, loosens=row.since is not None, version=versions.get(organization.pk, 0))


_LEFT = ("status", "left_at")  # fields that say so


def versions_of(organizations: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Of each the sum of its settings' versions: another one once anything about its own side has changed."""
    rows = PrivacySetting.objects.of_organizations().filter(organization__in=set(organizations))
    return dict(rows.order_by().values_list("organization_id").annotate(Sum("version")))


def _known_member(row: Row, member: Member, parser: Parser, *, has_id: bool) -> Looked:
    differences = []
    if member.has_left and row.past not in _LEFT:
        differences.append("has left the organization")
    elif member.role != row.role:
        differences.append(f"is here as {member.role}")
    if not has_id:
        differences.append(f"has the external id “{member.external_id or ''}”")
    if not differences:
        return Looked(row, SAME)
    return Looked(row, DIFFERING, _differs(row, parser.column("email"), row.email, "; ".join(differences)))


def _differs(row: Row, column: str, value: str, what: str) -> Problem:
    return Problem(row.line, column, shown(value), f"It {what}. Left as it is."[:500], ProblemKind.DIFFERING)


# --- Subscriptions ----------------------------------------------------------------------------------------------------


def settings_of(pairs: Iterable[tuple[uuid.UUID, str]]) -> dict[tuple[uuid.UUID, str], PrivacySetting]:
    """Of organizations and products, those settings that are there."""
    rows = PrivacySetting.objects.of_organizations().filter(organization__in={pk for pk, _product in pairs})
    return {(each.organization_id, each.product): each for each in rows}


def _subscriptions(pairs: Sequence[tuple[Row, Organization]], parser: Parser) -> Iterator[Looked | Problem]:
    settings = settings_of([(organization.pk, row.product) for row, organization in pairs])
    defaults = dict(Plan.objects.values_list("key", "training_default"))
    denied = _denied(pairs, parser)
    started = _started({organization.pk for row, organization in pairs if row.past})
    for row, organization in pairs:
        setting = settings.get((organization.pk, row.product))
        state = setting.state if setting else State()
        if row.ended is not None:
            start = started.get((organization.pk, row.plan))
            here = start is not None and start < from_micros(row.ended)
            yield Looked(row, PAST, _differs(row, parser.column("plan"), row.plan, _GOES_ON) if here else None)
        elif state.subscribed and state.plan == row.plan:
            yield Looked(row, SAME)
        elif row.past:
            yield Looked(row, PAST)
        elif organization.is_closed:
            yield _closed(row, parser)
        else:
            after = rules.subscribe(state, row.plan, defaults[row.plan], parser.now)
            if not attestable(after, _since(row), denied.get((organization.pk, row.product), ())):
                yield _known_since(row, parser)
                continue
            again = bool(state.plan) and after.allowed > state.allowed
            loosens = again or (row.since is not None and after.allowed)
            yield Looked(row, loosens=loosens, version=setting.version if setting else 0)


_GOES_ON = "goes on here, and has ended by what the file says"


def _started(organizations: Collection[uuid.UUID]) -> dict[tuple[uuid.UUID, str], dt.datetime]:
    """When the live subscriptions of these began."""
    live = Subscription.objects.filter(organization__in=organizations, ended_at=None)
    return {(each.organization_id, each.plan_id): each.started_at for each in live}


def _denied(
    pairs: Sequence[tuple[Row, Organization]], parser: Parser
) -> Mapping[tuple[uuid.UUID, str], tuple[rules.Span, ...]]:
    """When the layers denied of which an earlier start is to be attested."""
    attested = ((organization.pk, row.product) for row, organization in pairs if row.since is not None)
    return ledger.denied_spans(attested, parser.now)


def _since(row: Row) -> dt.datetime | None:
    return None if row.since is None else from_micros(row.since)


def attestable(after: State, since: dt.datetime | None, denied: Iterable[rules.Span]) -> bool:
    """Whether this start can be attested of the state; where none is given, or nothing is used, none will be."""
    return since is None or not after.allowed or rules.may_attest(after, since, denied)


def _known_since(row: Row, parser: Parser) -> Problem:
    remedy = (
        "The portal knows what happened here: data was not used for a while after that start. An earlier start can be"
        " attested only where nothing contrary is known; empty it."
    )
    return Problem(row.line, parser.column("since"), "", remedy)


# --- Choices ----------------------------------------------------------------------------------------------------------


def _choices(pairs: Sequence[tuple[Row, Organization]], parser: Parser) -> Iterator[Looked | Problem]:
    settings = settings_of([(organization.pk, row.product) for row, organization in pairs])
    members = _find_members(pairs)
    chosen = _choices_of_members({member.pk for member in members.values()})
    denied = _denied(pairs, parser)
    for row, organization in pairs:
        if row.member_ident:
            member = members.get((organization.pk, row.member_ident))
            other = members.get((organization.pk, row.member_external_ident))
            if member and other and member.pk != other.pk:
                yield _contradicting(row, parser, "member", row.member_external_ident)
            else:
                yield _member_choice(row, member or other, chosen, parser)
            continue
        setting = settings.get((organization.pk, row.product))
        if (unlike := _held_otherwise(row, setting.state if setting else State())) and row.choice != Choice.OPTED_OUT:
            yield Problem(row.line, parser.column(unlike), "true", _NOT_HELD)
        elif not row.choice:
            yield Looked(row, SAME)
        else:
            spans = denied.get((organization.pk, row.product), ())
            found = _choice(row, setting, parser, spans)
            if unlike and isinstance(found, Looked):
                found = found._replace(problem=_differs(row, parser.column(unlike), "true", _NOT_SO))
            yield found


_NOT_SO = "is not so here"
_NOT_HELD = (
    "By what the file says this keeps the organization out, and here it is not so. See to that here first, or write "
    "opted_out as its choice."
)


def _held_otherwise(row: Row, state: State) -> str:
    """The first field by which the file says that the organization is kept out, where that is not so here; or ''.

    A carry is over once somebody has chosen.
    """
    here = {"closed": state.closed, "locked": state.locked}
    here["carried_over_from"] = bool(state.carry) or state.choice == Choice.OPTED_OUT
    return next((field for field in row.held if not here[field]), "")


_Chosen = Mapping[tuple[uuid.UUID | None, str], str]


def _member_choice(row: Row, member: Member | None, chosen: _Chosen, parser: Parser) -> Looked | Problem:
    if not row.choice:
        return Looked(row, SAME)
    if member is None:
        remedy = "The organization has no such member. Import the member first."
        return Problem(row.line, parser.column("member"), shown(row.member_ident), remedy)
    here = chosen.get((member.pk, row.product))
    if row.choice == Choice.OPTED_IN != here:
        text = "Only the member opts in. Remove the row: who has not opted out goes with the organization."
        return Problem(row.line, parser.column("choice"), row.choice, text)
    return Looked(row._replace(member=member.pk), SAME if here == row.choice else "")


def _choice(row: Row, setting: PrivacySetting | None, parser: Parser, denied: Iterable[rules.Span]) -> Looked | Problem:
    state = setting.state if setting else State()
    if row.choice == state.choice:
        return Looked(row, SAME)
    if row.choice == Choice.OPTED_OUT:
        return Looked(row)
    if obstacle := opt_in_refusal(state):
        remedy = {
            rules.Reason.ORGANIZATION_OPTED_OUT: "has opted out: only it opts in again",
            rules.Reason.LOCKED: "is locked",
            rules.Reason.NO_SUBSCRIPTION: "has no subscription for this product",
            rules.Reason.ORGANIZATION_CLOSED: "is closed",
        }[rules.Reason(obstacle)]
        return Looked(row, obstacle, _differs(row, parser.column("choice"), row.choice, remedy))
    if not attestable(rules.opt_in(state, parser.now), _since(row), denied):
        return _known_since(row, parser)
    return Looked(row, loosens=True, version=setting.version if setting else 0)


def opt_in_refusal(state: State) -> str:
    """Why an opt-in by import passes over this state; '' where it does not (R13)."""
    if state.choice == Choice.OPTED_OUT:
        return rules.Reason.ORGANIZATION_OPTED_OUT.value
    obstacle = rules.opt_in_obstacle(state)
    return obstacle.value if obstacle else ""


def _find_members(pairs: Sequence[tuple[Row, Organization]]) -> dict[tuple[uuid.UUID, str], Member]:
    here = Member.objects.filter(organization__in={organization.pk for row, organization in pairs if row.member_ident})
    ids = [pk for row, _organization in pairs if (pk := split_ident(row.member_ident)[0])]
    found = {}
    for each in here.filter(pk__in=ids):
        found[each.organization_id, str(each.pk)] = each
    return found | _named_members(pairs)


def _named_members(pairs: Sequence[tuple[Row, Organization]]) -> dict[tuple[uuid.UUID, str], Member]:
    """By external id, however the row spells it."""
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


def _choices_of_members(members: Iterable[uuid.UUID]) -> _Chosen:
    rows = PrivacySetting.objects.of_members().filter(member__in=members)
    return {(pk, product): choice for pk, product, choice in rows.values_list("member_id", "product", "choice")}
