"""People who join organizations by an import: users where they are new, members, their events."""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Sequence

from django.contrib.auth.hashers import make_password

from accounts.fields import MICROSECOND
from accounts.models import Member, Organization, User

from .. import ledger, rules
from ..models import ConsentEvent, EventKind
from ..services.external_ids import Subject, start
from ..services.layers import membership_state
from ..services.members import note_others


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """Who joins which organization; `since` is attested, where it is given."""

    organization: uuid.UUID
    email: str
    name: str
    role: str
    external_id: str = ""
    since: dt.datetime | None = None


def join(people: Sequence[Person], origin: ledger.Origin) -> None:
    """All of them join. Expects the caller's transaction, and organizations that are locked or just made."""
    if not people:
        return
    users = _users(people)
    organizations = Organization.objects.in_bulk({person.organization for person in people})
    at = ledger.clock(*(organization.created_at for organization in organizations.values()))
    attested_at = at + MICROSECOND
    members = Member.objects.bulk_create(
        Member(
            organization=organizations[person.organization],
            user=users[person.email],
            role=person.role,
            external_id=person.external_id or None,
            joined_at=_start(person, at),
            changed_at=attested_at if person.since else at,
        )
        for person in people
    )
    note_others(organizations)
    given = [(person.external_id, person.since or at) for person in people]
    start([(Subject(each.organization, each), *what) for each, what in zip(members, given, strict=True)], at)
    plain = dataclasses.replace(origin, reference="")
    ledger.record([_event(each, EventKind.MEMBER_JOINED, plain, at, since=at, after=each.role) for each in members])
    attested = [each for each, person in zip(members, people, strict=True) if person.since]
    ledger.record(
        [_event(each, EventKind.SINCE_ATTESTED, origin, attested_at, since=each.joined_at) for each in attested]
    )


def _start(person: Person, at: dt.datetime) -> dt.datetime:
    """Before a first joining the ledger says nothing about the membership, so an earlier start can be attested."""
    joined = membership_state(at)
    state = rules.attest(joined, person.since, ()) if person.since else joined
    return state.since or at


def _users(people: Iterable[Person]) -> dict[str, User]:
    """By e-mail; whoever is new has a name and no password yet."""
    names = {person.email: person.name for person in people}
    known = set(User.objects.filter(email__in=names).values_list("email", flat=True))
    new = [
        User(email=email, name=name, password=make_password(None))
        for email, name in names.items()
        if email not in known
    ]
    User.objects.bulk_create(new, ignore_conflicts=True)  # somebody else may make them at the same time
    return {user.email: user for user in User.objects.filter(email__in=names)}


def _event(
    member: Member, kind: EventKind, origin: ledger.Origin, at: dt.datetime, *, since: dt.datetime, after: str = ""
) -> ConsentEvent:
    return ledger.event(
        kind,
        organization=member.organization,
        member=member,
        origin=origin,
        at=at,
        state=membership_state(since),
        after=after,
    )
