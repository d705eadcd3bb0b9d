"""People and operators: what one operator may do alone, and what a command on the server does (R19).

One operator may take authority away. Giving authority, or an operator a way to sign in, takes two operators: see
`operator_requests`.
"""

import datetime as dt
from collections.abc import Callable

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import deactivation
from accounts.access import Act, Actor, Forbidden, Permission
from accounts.models import User
from accounts.operators import active_operators

from .. import ledger
from ..errors import Refused
from ..models import EventKind, Source
from ..notices.catalogue import Notice, Words
from ..notices.sending import send
from . import credentials, layers, members, sign_in, trail

# Makes the URL of the page where this person sets a password; its token is bound to the account as it is now.
PasswordLink = Callable[[User], str]
# How long no link is mailed to an address that operators gave somebody: the person at the old one has time to object.
NO_LINKS = dt.timedelta(days=7)
NEEDS_SECOND = gettext_lazy("For an operator this needs a second operator: ask for it, and another one confirms it.")


def in_person(actor: Actor) -> User:
    """The operator who acts, signed in or named by a command. Raises Forbidden for API keys and everybody else."""
    if actor.key is not None or actor.user is None or not actor.is_operator:
        raise Forbidden(Permission.OPERATORS_MANAGE)
    return actor.user


@transaction.atomic
def rename(*, person: User, name: str, actor: Actor) -> User:
    """Change a person's name. Raises Forbidden and Invalid."""
    in_person(actor)
    person = User.objects.select_for_update().get(pk=person.pk)
    if name != person.name:
        person.name = layers.clean_name(name)
        person.save(update_fields=["name"])
    return person


@transaction.atomic
def end_operator(*, person: User, actor: Actor, source: str = Source.ADMIN) -> User:
    """End a person's role as operator, and their sessions. Raises Forbidden; Refused for oneself."""
    person = _lock_other(person, actor)
    if person.is_staff:
        person.is_staff = person.is_superuser = False
        person.save(update_fields=["is_staff", "is_superuser"])
        deactivation.end_sessions(person)
        trail.note(EventKind.ACCESS_OPERATOR_ENDED, organization=None, actor=actor, source=source, target=person.pk)
        credentials.suspend_for(person, actor=actor, source=source)
    return person


@transaction.atomic
def deactivate(*, person: User, actor: Actor, source: str = Source.ADMIN) -> User:
    """Deactivate a person: sign-in, sessions and keys end at once. Raises Forbidden; Refused for oneself."""
    person = _lock_other(person, actor)
    if person.is_active:
        person.is_active = False
        person.save(update_fields=["is_active"])
        deactivation.end_sessions(person)
        trail.note(
            EventKind.ACCESS_ACCOUNT_DEACTIVATED, organization=None, actor=actor, source=source, target=person.pk
        )
        credentials.suspend_for(person, actor=actor, source=source)
    return person


@transaction.atomic
def reactivate(*, person: User, actor: Actor, source: str = Source.ADMIN) -> User:
    """Let a person sign in again. Raises Forbidden, ConfirmationRequired; Refused for operators: that takes two."""
    in_person(actor)
    person = User.objects.select_for_update().get(pk=person.pk)
    if person.is_staff:
        raise Refused("second_person", NEEDS_SECOND, "is_active")
    layers.require_confirmed(actor, Act.OPERATOR_MAKE)
    if not person.is_active:
        person.is_active = True
        person.save(update_fields=["is_active"])
        trail.note(
            EventKind.ACCESS_ACCOUNT_REACTIVATED, organization=None, actor=actor, source=source, target=person.pk
        )
    return person


@transaction.atomic
def create_person(
    *, email: str, name: str, actor: Actor, password_link: PasswordLink, source: str = Source.ADMIN
) -> User:
    """Create a person, no operator, and mail them a link to set a password. Raises Forbidden, Invalid, Refused."""
    in_person(actor)
    address = free_address(email)
    person = User.objects.create_user(address, None, name=layers.clean_name(name))
    trail.note(EventKind.ACCESS_ACCOUNT_CREATED, organization=None, actor=actor, source=source, target=person.pk)
    send_link(person, password_link)
    return person


@transaction.atomic
def mail_link(*, person: User, actor: Actor, password_link: PasswordLink, source: str = Source.ADMIN) -> None:
    """Mail a person a link to set a password.

    Raises Forbidden, ConfirmationRequired; Refused for operators, and soon after operators changed the address.
    """
    in_person(actor)
    person = User.objects.select_for_update().get(pk=person.pk)
    if person.is_staff:
        raise Refused("second_person", NEEDS_SECOND)
    check_link(person)
    layers.require_confirmed(actor, Act.OPERATOR_MAKE)
    send_link(person, password_link)
    trail.note(EventKind.ACCESS_PASSWORD_LINK_SENT, organization=None, actor=actor, source=source, target=person.pk)


@transaction.atomic
def remove_second_factors(*, person: User, actor: Actor, source: str = Source.ADMIN) -> None:
    """For somebody who has lost their second factors. Raises Forbidden, ConfirmationRequired; Refused for operators."""
    in_person(actor)
    person = User.objects.select_for_update().get(pk=person.pk)
    if person.is_staff:
        raise Refused("second_person", NEEDS_SECOND)
    layers.require_confirmed(actor, Act.OPERATOR_MAKE)
    take_second_factors(person, actor, source)


# --- By a command on the server --------------------------------------------------------------------------------------


@transaction.atomic
def create_operator(*, email: str, name: str, remove_factors: bool = False) -> User:
    """Create or reactivate an operator, or let one sign in again, by a command; all operators are told by e-mail.

    An existing person counts as a new operator from now, so others have to approve what was submitted before. Raises
    Invalid.
    """
    address = members.clean_email(email)
    name = layers.clean_name(name)
    person = User.objects.select_for_update().filter(email=address).first()
    kind = EventKind.ACCESS_OPERATOR_REACTIVATED if person else EventKind.ACCESS_OPERATOR_MADE
    if person is None:
        person = User.objects.create_user(address, None, name=name, is_staff=True)
    else:
        person.name = name or person.name
        person.is_active = person.is_staff = True
        person.operator_since = person.credentials_at = ledger.clock()
        person.save()
    machine = Actor.on_machine()
    trail.note(kind, organization=None, actor=machine, source=Source.COMMAND, target=person.pk)
    if remove_factors:
        take_second_factors(person, machine, Source.COMMAND)
    tell_operators(person, by=gettext_lazy("by a command on the server"))
    return person


# --- Shared with operator_requests -----------------------------------------------------------------------------------


def free_address(email: str) -> str:
    """The normalized address. Raises Invalid if it is not valid, Refused if somebody has it."""
    address = members.clean_email(email)
    if User.objects.filter(email=address).exists():
        raise Refused("exists", _("Somebody signs in with this address already."), "email")
    return address


def check_link(person: User) -> None:
    """Raise Refused if the person gets no link: they are deactivated, or operators changed their address recently."""
    if not person.is_active:
        raise Refused("inactive", _("This person is deactivated."))
    if person.no_links_until is not None and person.no_links_until > ledger.clock():
        raise Refused("new_address", _("This address is too new: no link is mailed to it for some days."))


def send_link(person: User, password_link: PasswordLink) -> None:
    """Mail the URL of the page that sets a password."""
    send(Notice.PASSWORD_LINK, [person.email], gettext_lazy("Set your password"), link=password_link(person))


def take_second_factors(person: User, actor: Actor, source: str) -> None:
    before = sign_in.factors_of(person)
    deactivation.remove_second_factors(person)
    sign_in.note_factors(person=person, before=before, actor=actor, source=source)


def tell_operators(person: User, *, by: Words) -> None:
    """Mail all operators, the new one too: nobody becomes an operator unnoticed."""
    told = active_operators().values_list("email", flat=True)
    send(Notice.OPERATOR_MADE, told, gettext_lazy("There is a new operator"), person=person, by=by)


def _lock_other(person: User, actor: Actor) -> User:
    if in_person(actor).pk == person.pk:
        raise Refused("oneself", _("You can't do this to yourself; ask another operator."))
    return User.objects.select_for_update().get(pk=person.pk)
