"""Invitations: links, sent by e-mail, with which people join an organization and set their own password."""

import datetime as dt
import hashlib
import secrets
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.hashers import is_password_usable
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import limits
from accounts.access import Actor, Forbidden, Permission, act_of_giving, require
from accounts.models import Invitation, Member, Organization, User

from .. import ledger
from ..errors import Invalid, Refused
from ..models import EventKind, Source
from ..notices.catalogue import Notice
from ..notices.sending import send
from . import layers, members, sign_in, trail

# Invitations that one organization may send in an hour; more would look like spam.
PER_HOUR = 100


@transaction.atomic
def invite(
    *, organization: Organization, email: str, role: str, actor: Actor, source: str, link: Callable[[str], str]
) -> Invitation:
    """Send an invitation, in place of an earlier one to this address. `link` makes the URL of the page for a secret.

    Whether the address has an account is not looked up, so nothing about it can be learned here. An API key invites in
    the name of the person responsible for it. Raises Forbidden, Invalid, ConfirmationRequired, Refused (a member
    already, personal organization, closed account, too many).
    """
    require(actor, Permission.MEMBERS_MANAGE, organization)
    address, wanted = members.clean_email(email), members.clean_role(role)
    members.refuse_joining(organization)
    if Member.objects.active().filter(organization=organization, user__email=address).exists():
        raise Refused("exists", _("This person is a member already."), "email")
    layers.require_confirmed(actor, act_of_giving(wanted))
    try:
        limits.count(f"invite:{organization.pk}", limit=PER_HOUR, seconds=3600)
    except limits.TooMany:
        raise Refused("too_many", _("Too many invitations in one hour. Try again later.")) from None
    secret = secrets.token_urlsafe(32)
    until = timezone.now() + dt.timedelta(days=settings.INVITATION_DAYS)
    invitation, _made = Invitation.objects.update_or_create(
        organization=organization,
        email=address,
        defaults={
            "role": wanted,
            "hash": _digest(secret),
            "invited_by": actor.person,
            "invited_by_key": actor.key,
            "created_at": timezone.now(),
            "expires_at": until,
        },
    )
    subject = gettext_lazy("%(organization)s invites you")
    words = {"organization": organization.name, "invitation": invitation, "link": link(secret)}
    send(Notice.INVITATION, [address], subject, **words)
    _note(EventKind.ACCESS_INVITATION_SENT, invitation, actor, source, after=wanted.value)
    return invitation


@transaction.atomic
def withdraw(*, invitation: Invitation, actor: Actor, source: str) -> None:
    """Delete the invitation, so that its link is invalid. Raises Forbidden."""
    require(actor, Permission.MEMBERS_MANAGE, invitation.organization)
    _note(EventKind.ACCESS_INVITATION_WITHDRAWN, invitation, actor, source)
    invitation.delete()


def find(secret: str) -> Invitation | None:
    """The invitation with this secret, if it can still be accepted; else None."""
    live = Invitation.objects.live().select_related("organization", "invited_by")
    return live.filter(hash=_digest(secret)).first()


def account_of(invitation: Invitation) -> User | None:
    """The person who has to sign in to accept; None if accepting creates the account, or sets its first password.

    Operators, and people whose address operators changed recently, must sign in too: a link sets no password for them
    (R19).
    """
    user: User | None = User.objects.filter(email=invitation.email).first()
    if user is None:
        return None
    held = user.no_links_until is not None and user.no_links_until > ledger.clock()
    known = is_password_usable(user.password) or not user.is_active or user.is_staff
    return user if known or held else None


@transaction.atomic
def accept(*, invitation: Invitation, user: User | None = None, name: str = "", password: str = "") -> Member:
    """Join as `user`, who is signed in, or else with a new account with this name and password.

    The invitation is used up. It counts only if the inviter still has the right to invite. Raises Invalid (password),
    Refused (expired, for another person, or the organization can't be joined).
    """
    locked = Invitation.objects.select_for_update().filter(pk=invitation.pk, hash=invitation.hash).first()
    if locked is None or locked.expires_at <= timezone.now():
        raise Refused("ended", _("This invitation is no longer valid. Ask for another one."))
    known = account_of(locked)
    if user is not None and user.email != locked.email:
        raise Refused("not_yours", _("This invitation is for another address."))
    if user is None and known is not None:
        raise Refused("sign_in", _("Sign in first, to show that the address is yours."))
    try:
        member = members.join_invited(
            organization=locked.organization,
            email=locked.email,
            name=name,
            role=locked.role,
            inviter=_inviter(locked),
            source=Source.CONSOLE,
        )
    except Forbidden:
        # The inviter has lost the right to invite: to the invited person that looks like an expired invitation.
        raise Refused("ended", _("This invitation is no longer valid. Ask for another one.")) from None
    if user is None:
        _first_password(member.user, name, password)
    _note(EventKind.ACCESS_INVITATION_ACCEPTED, locked, Actor.from_user(member.user), Source.CONSOLE)
    locked.delete()
    return member


def _inviter(invitation: Invitation) -> Actor:
    """The inviter with their current rights: a person, or an API key. Raises Forbidden if the key has ended (R18)."""
    key = invitation.invited_by_key
    if key is not None and key.is_live(timezone.now()):
        return Actor.from_key(key)
    if key is not None or invitation.invited_by is None:
        raise Forbidden(Permission.MEMBERS_MANAGE)
    return Actor.from_user(invitation.invited_by)


def _first_password(user: User, name: str, password: str) -> None:
    # The person's name, if the provider has given one already, stays.
    user.name = user.name or layers.clean_name(name)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid("weak", " ".join(error.messages), "password") from None
    user.set_password(password)
    user.save(update_fields=["name", "password"])
    sign_in.note_password(
        EventKind.ACCESS_PASSWORD_SET, person=user, actor=Actor.from_user(user), source=Source.ACCOUNT
    )


def _note(kind: EventKind, invitation: Invitation, actor: Actor, source: str, *, after: str = "") -> None:
    organization = invitation.organization
    trail.note(kind, organization=organization, actor=actor, source=source, target=invitation.pk, after=after)


def _digest(secret: str) -> str:
    # No pepper: 256 random bits can't be guessed from their hash.
    return hashlib.sha256(secret.encode()).hexdigest()
