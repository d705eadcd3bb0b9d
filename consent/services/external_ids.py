"""External ids: an id means one subject for good, an organization or a member of one (R16).

An id that ever meant another subject is refused here, whoever gives it; only an approved job may call `rebind`. Callers
must have locked the subjects that they pass.
"""

import contextlib
import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts import external_ids
from accounts.access import Actor, NotFound, Permission, require
from accounts.characters import Unusable
from accounts.models import Binding, Member, Organization

from .. import ledger
from ..errors import Invalid, Refused
from ..models import EventKind
from ..witness import quarantine
from . import layers

FIELD = "external_id"
TAKEN = "exists"  # the code of a refusal
_OTHERWISE = (".", "..")  # URL clients resolve these: DELETE …/.. would remove the member, not the id


class Subject(NamedTuple):
    """What an external id means: an organization, or a member of it."""

    organization: Organization
    member: Member | None = None

    @property
    def scope(self) -> uuid.UUID | None:
        """Where its ids are unique: within the organization, for a member; everywhere (None), for an organization."""
        return self.organization.pk if self.member else None

    @property
    def shown(self) -> str | None:
        return (self.member or self.organization).external_id

    def has(self, binding: Binding) -> bool:
        return (binding.organization_id, binding.member_id) == (
            self.organization.pk,
            self.member.pk if self.member else None,
        )


def clean_external_id(external_id: str | None) -> str | None:
    """The normalized id, None if empty. Raises Invalid for invisible characters, and what can't be part of a URL."""
    if not external_id or not external_id.strip():
        return None
    try:
        text = external_ids.normalize(external_id)
    except Unusable as error:
        if not error.character:
            raise Invalid("invalid", _("An external id can't consist only of quotation marks."), FIELD) from None
        raise Invalid("invalid", error.told, FIELD) from None
    layers.clean_text(text, FIELD, length=external_ids.LENGTH)
    if "/" in text:
        raise Invalid(
            "invalid", _("An external id can't contain a slash, because it is part of paths of the API."), FIELD
        )
    if text in _OTHERWISE or text.lower().startswith("external:"):
        told = _(
            "An external id can't begin with “external:” and can't be . or .., because "
            "these have another meaning in a path."
        )
        raise Invalid("invalid", told, FIELD)
    return text


# --- Giving -----------------------------------------------------------------------------------------------------------


def taken(value: str) -> Refused:
    """The error for an id that means or meant another subject."""
    told = _(
        "The external id “%(value)s” is taken: it belongs, or once belonged, to another organization or member. Only "
        "a bulk job of the kind “rebind”, approved by a second operator, can give it to somebody else."
    )
    return Refused(TAKEN, told % {"value": value}, FIELD)


@contextlib.contextmanager
def taken_meanwhile() -> Iterator[None]:
    """Turn the IntegrityError into Refused if an id that was free at the look-up was given before the write."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        # By the name of the constraint or column in the message: other violations are no refusals, but defects.
        if "binding" not in str(error) and FIELD not in str(error):
            raise
        raise Refused(TAKEN, _("The external id has just been taken."), FIELD) from error


def refuse_taken(values: Sequence[str]) -> None:
    """Check the ids of new organizations: raises Invalid if one occurs twice, Refused if one was ever given."""
    if len(set(values)) != len(values):
        raise Invalid("duplicate", _("Two of the new organizations have the same external id."), FIELD)
    hashes = {external_ids.erased_hash(value): value for value in values}
    given = Binding.objects.of_organizations().filter(Q(value__in=values) | Q(hash__in=hashes))
    if (found := given.first()) is not None:
        raise taken(found.value or hashes[found.hash])


def start(subjects: Sequence[tuple[Subject, str | None, dt.datetime]], at: dt.datetime) -> None:
    """Store the ids of new subjects: (subject, id, since when it means it). `at` is the instant of their creation.

    Writes no event of its own: the event of the creation at the same instant accounts for them. Raises Refused for an
    id in quarantine, as for `give`.
    """
    if any(value for _each, value, _since in subjects):
        quarantine.refuse()
    given = [
        Binding(
            organization=each.organization,
            member=each.member,
            value=value,
            folded=_folded(each, value),
            recorded_at=at,
            since=min(since, at),
        )
        for each, value, since in subjects
        if value
    ]
    with taken_meanwhile():
        Binding.objects.bulk_create(given)


def give(subject: Subject, value: str | None, origin: ledger.Origin) -> None:
    """Give the subject this id and show it; earlier ids stay valid. None withdraws the id that is shown.

    The id that is shown already writes nothing. Raises Forbidden; Refused for an id that ever meant another subject.
    """
    if value == subject.shown:
        return
    require(origin.actor, Permission.EXTERNAL_IDS, subject.organization)
    shown = _live(subject, subject.shown)
    if value is None:
        if shown is not None:
            _withdraw(subject, shown, origin)
        return
    # Withdrawn and erased bindings count too: an id that meant another subject stays refused.
    meanings = list(Binding.objects.ever(value, subject.scope).order_by("number"))
    if any(not subject.has(each) for each in meanings):
        raise taken(value)
    at = _instant(subject)
    binding = _live(subject, value) or _bind(subject, value, meanings, at)
    before = str(shown.pk) if shown else ""
    _record(subject, EventKind.EXTERNAL_ID_GIVEN, origin, at, before=before, after=str(binding.pk), shown=value)


def _live(subject: Subject, value: str | None) -> Binding | None:
    return Binding.objects.of_subject(*subject).live().filter(value=value).first() if value else None


def _bind(subject: Subject, value: str, meanings: Sequence[Binding], at: dt.datetime) -> Binding:
    """Store a binding that starts now, even if the id meant the subject before: earlier data stays denied."""
    number = max((each.number for each in meanings), default=0) + 1
    with taken_meanwhile():
        return Binding.objects.create(
            organization=subject.organization,
            member=subject.member,
            value=value,
            folded=_folded(subject, value),
            number=number,
            recorded_at=at,
            since=at,
        )


def _folded(subject: Subject, value: str) -> str:
    """The form by which similar ids are found; only organizations' ids are compared like that."""
    return "" if subject.member else external_ids.folded(value)


# --- Withdrawing ------------------------------------------------------------------------------------------------------


@transaction.atomic
def withdraw_external_id(
    *,
    organization: Organization,
    member: Member | None = None,
    external_id: str,
    actor: Actor,
    source: str,
    reason: str,
) -> None:
    """Withdraw an id: it means nobody from now on. Writes nothing if it is withdrawn already.

    Raises Forbidden, Invalid without a reason, NotFound for an id that this subject never had.
    """
    text = layers.clean_text(reason, "reason", required=True)
    origin = layers.origin(actor, source, Permission.EXTERNAL_IDS, organization, reason=text)
    subject = locked(organization, member)
    value = external_ids.asked(external_id)
    found = Binding.objects.of_subject(*subject).filter(value=value).order_by("-number").first() if value else None
    if found is None:
        raise NotFound(FIELD)
    if found.withdrawn_at is None:
        _withdraw(subject, found, origin)


def locked(organization: Organization, member: Member | None = None) -> Subject:
    """The subject as stored now, locked until the end of the transaction."""
    found = layers.lock_organization(organization)
    return Subject(found, layers.lock_member(member) if member else None)


def _withdraw(subject: Subject, binding: Binding, origin: ledger.Origin, at: dt.datetime | None = None) -> None:
    at = at or _instant(subject)
    Binding.objects.filter(pk=binding.pk).update(withdrawn_at=at)
    shown = None if subject.shown == binding.value else subject.shown
    _record(subject, EventKind.EXTERNAL_ID_WITHDRAWN, origin, at, before=str(binding.pk), after="", shown=shown)


def erase(subject: Subject, names_somebody: Callable[[str], bool], origin: ledger.Origin) -> None:
    """Withdraw the ids that name somebody; of each a keyed hash is kept, so that no other subject can get it."""
    for binding in Binding.objects.of_subject(*subject).exclude(value="").order_by("pk"):
        if not names_somebody(binding.value) and not names_somebody(binding.spelled):
            continue
        if binding.withdrawn_at is None:
            _withdraw(subject, binding, origin)
        digest = external_ids.erased_hash(binding.value, subject.scope)
        Binding.objects.filter(pk=binding.pk).update(value="", spelled="", folded="", hash=digest)


# --- Rebinding --------------------------------------------------------------------------------------------------------


def rebind(
    subject: Subject, value: str, last: Binding | None, before: Subject | None, origin: ledger.Origin
) -> Binding:
    """For an approved job: move the id to this subject, whatever it meant until now.

    `last` is its last binding; `before` is that binding's subject if it is live, locked too, else None.
    """
    # One instant for both subjects, later than everything that happened to either.
    at = max(_instant(subject), _instant(before) if before else _instant(subject))
    if last is not None and before is not None:
        _withdraw(before, last, origin, at)
    meanings = list(Binding.objects.ever(value, subject.scope))
    binding = _bind(subject, value, meanings, at)
    named = str(last.pk) if last else ""
    _record(subject, EventKind.EXTERNAL_ID_REBOUND, origin, at, before=named, after=str(binding.pk), shown=value)
    return binding


def withdraw(subject: Subject, binding: Binding, origin: ledger.Origin) -> None:
    """For an approved job: withdraw the id, so that it means nobody."""
    _withdraw(subject, binding, origin)


# --- Both tables, and the event ---------------------------------------------------------------------------------------


def _instant(subject: Subject) -> dt.datetime:
    """Now, and later than everything that happened to the subject."""
    if subject.member is not None:
        return ledger.clock(subject.member.changed_at)
    return ledger.clock(subject.organization.changed_at)


def _record(
    subject: Subject,
    kind: EventKind,
    origin: ledger.Origin,
    at: dt.datetime,
    *,
    before: str,
    after: str,
    shown: str | None,
) -> None:
    """Write the event, which names bindings by primary key, never by text (R14), and the id shown from now on."""
    organization, member = subject
    holder = member or organization
    holder.external_id, holder.changed_at = shown, at
    with taken_meanwhile():
        holder.save(update_fields=["external_id", "changed_at"])
    state = layers.membership_state(member.joined_at, left=member.has_left) if member else ledger.NO_LAYER
    ledger.record(
        [
            ledger.event(
                kind,
                organization=organization,
                member=member,
                origin=dataclasses.replace(origin, reference=""),
                at=at,
                state=state,
                before=before,
                after=after,
            )
        ]
    )
