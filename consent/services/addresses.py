"""A person changes their own address (R19) by two links: one mailed to the old address, one to the new."""

import datetime as dt
import hashlib
import secrets
from collections.abc import Callable

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import deactivation, limits
from accounts.access import Act, Actor, ActorType, Forbidden
from accounts.models import AddressChange, User

from .. import ledger
from ..errors import Invalid, Refused
from ..models import EventKind, Source
from ..notices.catalogue import Notice
from ..notices.sending import send
from . import layers, members, trail

PER_HOUR = 5
GOOD_FOR = dt.timedelta(days=1)


@transaction.atomic
def ask(*, actor: Actor, email: str, link: Callable[[str], str]) -> AddressChange:
    """Mail a link to each of the actor's two addresses, in place of earlier ones; nothing is changed yet.

    `link` makes the URL of the page for a secret. Whether the new address has an account is checked only in `confirm`:
    before that, nobody has shown that it is theirs. Raises Forbidden for whoever is not signed in; Invalid; Refused for
    too many requests, and soon after operators changed the address; ConfirmationRequired.
    """
    if actor.type != ActorType.USER or actor.user is None:
        raise Forbidden("address")
    user = actor.user
    layers.require_confirmed(actor, Act.OWN_ADDRESS)
    address = members.clean_email(email)
    if address == user.email:
        raise Invalid("same", _("This is your address already."), "email")
    if user.no_links_until is not None and user.no_links_until > ledger.clock():
        raise Refused("new_address", _("Operators changed your address recently. Try again in a few days."))
    try:
        limits.count(f"address:{user.pk}", limit=PER_HOUR, seconds=3600)
    except limits.TooMany:
        raise Refused("too_many", _("Too many changes in one hour. Try again later.")) from None
    # One row per person: a new change makes the links of an earlier one invalid.
    old, new = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    change, _made = AddressChange.objects.update_or_create(
        user=user,
        defaults={
            "email": address,
            "old_hash": _digest(old),
            "new_hash": _digest(new),
            "old_confirmed_at": None,
            "new_confirmed_at": None,
            "expires_at": ledger.clock() + GOOD_FOR,
        },
    )
    for recipient, secret in ((user.email, old), (address, new)):
        send(
            Notice.ADDRESS_CONFIRM,
            [recipient],
            gettext_lazy("Confirm your new address"),
            email=address,
            link=link(secret),
        )
    return change


def find(*, user: User, secret: str) -> AddressChange | None:
    """The person's change with this secret in one of its links; None if there is none, or it has expired."""
    digest = _digest(secret)
    own = AddressChange.objects.filter(user=user, expires_at__gt=ledger.clock())
    return own.filter(Q(old_hash=digest) | Q(new_hash=digest)).first()


def pending(user: User) -> AddressChange | None:
    """The person's change that waits for its links, if there is one."""
    return AddressChange.objects.filter(user=user, expires_at__gt=ledger.clock()).first()


@transaction.atomic
def confirm(*, user: User, secret: str) -> bool:
    """Confirm one of the two addresses by its link; returns whether both are confirmed, and the address is changed.

    Raises Refused if the link has expired, or somebody else has the new address.
    """
    user = User.objects.select_for_update().get(pk=user.pk)
    change = find(user=user, secret=secret)
    if change is None:
        raise Refused("ended", _("This link is no longer valid. Ask for another one."))
    field = "old_confirmed_at" if change.old_hash == _digest(secret) else "new_confirmed_at"
    setattr(change, field, ledger.clock())
    change.save(update_fields=[field])
    if change.old_confirmed_at is None or change.new_confirmed_at is None:
        return False
    # Checked only now: both links were used, so the person has the address, and may learn this.
    if User.objects.filter(email=change.email).exists():
        raise Refused("exists", _("Somebody signs in with this address already."))
    user.email = change.email
    user.save(update_fields=["email"])
    deactivation.forget_other_addresses(user)
    change.delete()
    trail.note(
        EventKind.ACCESS_ADDRESS_CHANGED,
        organization=None,
        actor=Actor.from_user(user),
        source=Source.ACCOUNT,
        target=user.pk,
    )
    return True


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
