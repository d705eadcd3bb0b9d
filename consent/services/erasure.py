"""Erasing a person: names, addresses and sessions go; opt-outs and ledger stay, with ids that name nobody (R14)."""

import dataclasses
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from accounts import deactivation, keys
from accounts.access import Actor, Forbidden, Permission, require
from accounts.fields import external_ident, split_ident
from accounts.models import (
    AddressChange,
    ApiKey,
    Binding,
    Invitation,
    Member,
    Organization,
    OutgoingMessage,
    RateCount,
    User,
)

from ..errors import Invalid, Refused
from ..models import (
    OVER,
    BulkJob,
    ConsentEvent,
    EventKind,
    IdempotencyKey,
    ImportFile,
    ImportProblem,
    ImportRow,
    NoticeOff,
    OperatorRequest,
    RebindRow,
    Source,
    WebhookAttempt,
)
from ..rules import Choice
from ..surfaces import LE_CHAT_MOBILE, ORGANIZATION_SURFACES
from . import choices, credentials, external_ids, layers, members, organizations, trail

REASON = "Erased."


@dataclasses.dataclass(frozen=True)
class Erased:
    """What was done, in numbers; `left`: events whose reason or reference names the person, which can't be changed."""

    memberships: int
    sessions: int
    keys: int
    left: int


def find_person(email: str) -> User:
    """The person with this address. Raises Invalid if there is none."""
    user: User | None = User.objects.filter(email=email).first()
    if user is None:
        raise Invalid(
            "unknown_person", _("There is no person with the address “%(value)s”.") % {"value": email}, "email"
        )
    return user


@transaction.atomic
def erase_person(*, person: User, actor: Actor, source: str = Source.COMMAND) -> Erased:
    """Opt the person out everywhere, end their memberships, and remove what names them; this can't be undone.

    Raises Forbidden; Refused if they are the last owner of a team, if a file that may name them is being imported, or
    if they are the actor.
    """
    require(actor, Permission.MEMBERS_MANAGE, None)
    if not actor.is_operator:
        raise Forbidden(Permission.MEMBERS_MANAGE)
    if actor.user is not None and actor.user.pk == person.pk:
        raise Refused("self", _("You can't erase yourself; ask another operator."))
    words = _Words.of(person)
    own = list(Member.objects.filter(user=person).select_related("organization", "user").order_by("pk"))
    ids = _ids_of(own, words)
    _refuse_imports(words, ids)
    _refuse_last_owner(own)
    # Now, while the external ids still say which organizations they mean.
    _forget_selections(ids)
    for member in own:
        _leave(member, words, actor, source)
    sessions = deactivation.end_sessions(person, unlisted=True)
    _forget(person, words)
    _forget_ids(own, ids, words)
    trail.note(EventKind.ACCESS_ACCOUNT_ERASED, organization=None, actor=actor, source=source, target=person.pk)
    # Credentials of the provider; those of organizations were suspended with the memberships.
    credentials.suspend_for(person, actor=actor, source=source)
    keys = ApiKey.objects.filter(issued_by=person, revoked_at=None, installation=False).count()
    return Erased(len(own), sessions, keys, ConsentEvent.objects.filter(words.within("reason", "reference")).count())


@dataclasses.dataclass(frozen=True)
class _Words:
    """The texts that name the person, and searches for them."""

    email: str
    name: str

    @classmethod
    def of(cls, person: User) -> "_Words":
        return cls(person.email, person.name.strip())

    def within(self, *fields: str) -> Q:
        found = Q()
        for field in fields:
            found |= Q(**{f"{field}__icontains": self.email})
            # Very short names occur in too many other words.
            if len(self.name) > 2:
                found |= Q(**{f"{field}__icontains": self.name})
        return found

    def are_named_in(self, text: str) -> bool:
        """The same test as `within`, in Python."""
        told = text.casefold()
        return self.email.casefold() in told or (len(self.name) > 2 and self.name.casefold() in told)

    def are_in(self, text: str | None) -> bool:
        """Whether an external id contains a part of the address or of the name; otherwise it names nobody."""
        told = (text or "").casefold()
        parts = [self.email.partition("@")[0], *self.name.split()]
        return bool(told) and any(len(part) > 2 and part.casefold() in told for part in parts)


def _ids_of(own: Iterable[Member], words: _Words) -> frozenset[str]:
    """The external ids that will be erased, as stored and in their original spelling."""
    bindings = Binding.objects.filter(Q(member__in=own) | Q(member=None, organization__in=_personal(own)))
    texts = {text for pair in bindings.values_list("value", "spelled") for text in pair}
    return frozenset(text for text in texts if words.are_in(text))


def _personal(own: Iterable[Member]) -> list[uuid.UUID]:
    return [each.organization_id for each in own if each.organization.kind == Organization.Kind.PERSONAL]


def _refuse_imports(words: _Words, ids: frozenset[str]) -> None:
    named = words.within("email", "name") | Q(external_id__in=ids)
    rows = ImportRow.objects.exclude(job__status__in=OVER).filter(named)
    # Uploaded files that are not read yet are not searched, so any of them may name the person.
    if ImportFile.objects.exists() or rows.exists():
        raise Refused(
            "importing",
            _(
                "A file that may contain this person is being imported. Finish or "
                "discard the import, then erase the person."
            ),
        )


def _refuse_last_owner(own: Iterable[Member]) -> None:
    """Raise Refused if the person is the last owner of an open team.

    A closed account doesn't count: nobody can join it to become an owner, so refusing would keep the person's name for
    as long as it is closed. It keeps its last owner, as a member without a name.
    """
    for member in own:
        organization = member.organization
        if organization.kind == Organization.Kind.PERSONAL or organization.is_closed:
            continue
        if members.is_last_owner(member):
            text = _("“%(organization)s” has no other owner; make somebody else owner first, or close it.")
            raise Refused("last_owner", text % {"organization": organization.name})


def _leave(member: Member, words: _Words, actor: Actor, source: str) -> None:
    """Opt out and end the membership, in the ledger; then erase the external ids, if they name the person."""
    organization = member.organization
    chosen: dict[str, Any] = {"choice": Choice.OPTED_OUT, "actor": actor, "source": source, "reason": REASON}
    choices.choose(surface=LE_CHAT_MOBILE, organization=organization, member=member, **chosen)
    if organization.kind == Organization.Kind.PERSONAL:
        for surface in ORGANIZATION_SURFACES:
            choices.choose(surface=surface, organization=organization, **chosen)
        if not organization.is_closed:
            organizations.close_organization(organization=organization, actor=actor, source=source, reason=REASON)
        organization.refresh_from_db()
        name = _("Erased person")
        organizations.update_organization(organization=organization, actor=actor, source=source, name=name)
        _erase_ids(organization, None, words, actor, source)
    elif not member.has_left and not organization.is_closed:
        members.remove_member(member=member, actor=actor, source=source)
    _erase_ids(organization, member, words, actor, source)


def _erase_ids(organization: Organization, member: Member | None, words: _Words, actor: Actor, source: str) -> None:
    origin = layers.origin(actor, source, Permission.EXTERNAL_IDS, organization, reason=REASON)
    external_ids.erase(external_ids.locked(organization, member), words.are_in, origin)


def _forget_messages(words: _Words) -> None:
    """Delete mail that names the person. Bodies are encrypted, so each is read by itself; unreadable ones go too."""
    OutgoingMessage.objects.filter(words.within("subject")).delete()
    for pk in list(OutgoingMessage.objects.values_list("pk", flat=True)):
        try:
            body = OutgoingMessage.objects.filter(pk=pk).values_list("body", flat=True).first()
        except (keys.UnknownKey, keys.NotEncrypted):
            # As if it named the person, so that it is deleted.
            body = words.email
        if body is not None and words.are_named_in(body):
            OutgoingMessage.objects.filter(pk=pk).delete()


def _forget_answers(texts: Iterable[str]) -> None:
    """Delete stored responses of the API that contain one of these texts, as it is or escaped as in JSON."""
    found = Q(pk=None)  # matches no row
    for text in texts:
        if len(text) > 2:
            found |= Q(text__icontains=text) | Q(text__icontains=json.dumps(text)[1:-1]) | Q(location__icontains=text)
    IdempotencyKey.objects.alias(text=Cast("body", TextField())).filter(found).delete()


def _forget_ids(own: Sequence[Member], ids: frozenset[str], words: _Words) -> None:
    """Remove the erased ids from all other tables, and from rebinding jobs about this person.

    A row without its id is not applied any more: it is refused when its job runs.
    """
    rows = Q(member__in=own) | Q(seen__member__in=own) | words.within("external_id") | Q(external_id__in=ids)
    rows |= Q(organization__in=_personal(own)) | Q(seen__organization__in=_personal(own))
    told = RebindRow.objects.filter(rows).exclude(external_id="").values_list("pk", "external_id")
    named = [pk for pk, text in told if text in ids or words.are_in(text)]
    RebindRow.objects.filter(pk__in=named).update(external_id="")
    ImportRow.objects.filter(external_id__in=ids).delete()
    spelled = [each for text in ids for each in (text, external_ident(text))]
    ImportProblem.objects.filter(value__in=spelled).update(value="…")
    for text in ids:
        ImportProblem.objects.filter(remedy__contains=f"“{text}”").update(remedy="…")
        BulkJob.objects.filter(error__contains=text).update(error="…")
    _forget_answers(ids)


def _forget_selections(ids: frozenset[str]) -> None:
    """Replace these external ids in the selections of jobs by the organizations' own ids."""
    meant = dict(Binding.objects.of_organizations().filter(value__in=ids).values_list("value", "organization_id"))
    for job in BulkJob.objects.filter(selection__has_key="organizations"):
        named = job.selection["organizations"]
        kept = [str(meant.get(split_ident(ident)[1] or "", ident)) for ident in named]
        if kept != named:
            BulkJob.objects.filter(pk=job.pk).update(selection=job.selection | {"organizations": kept})


def _forget(person: User, words: _Words) -> None:
    """Remove the address and the name from everything outside the ledger."""
    EmailAddress.objects.filter(user=person).delete()
    NoticeOff.objects.filter(user=person).delete()
    AddressChange.objects.filter(Q(user=person) | Q(email=words.email)).delete()
    asked = OperatorRequest.objects.filter(Q(subject=person) | Q(details__email=words.email))
    # The requests themselves stay: they show who asked and who confirmed.
    asked.update(details={})
    OperatorRequest.objects.filter(words.within("reason")).update(reason="…")
    Authenticator.objects.filter(user=person).delete()
    Invitation.objects.filter(email=words.email).delete()
    OutgoingMessage.objects.filter(recipient=words.email).delete()
    _forget_messages(words)
    RateCount.objects.filter(subject__icontains=words.email).delete()
    ImportRow.objects.filter(words.within("email", "name")).delete()
    ImportProblem.objects.filter(words.within("value")).update(value="…")
    _forget_answers([words.email, words.name])
    WebhookAttempt.objects.filter(words.within("answer")).update(answer="…")
    LogEntry.objects.filter(words.within("object_repr", "change_message")).update(object_repr="…", change_message="")
    # Addresses are unique and required; .invalid is a reserved domain, so no mail goes there.
    person.email, person.name = f"erased-{person.pk}@erased.invalid", ""
    person.language = person.time_zone = ""
    person.is_active = person.is_staff = person.is_superuser = False
    person.last_login = None
    person.set_unusable_password()
    person.save()
