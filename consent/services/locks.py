"""Locks: an operator's "never" on organization × product, until it is lifted."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.access import Act, Actor, Permission
from accounts.models import Organization

from .. import ledger, rules
from ..errors import Refused
from ..models import EventKind, Lock, PrivacySetting
from . import layers


@transaction.atomic
def place_lock(
    *, organization: Organization, product: str, reason: str, reference: str, actor: Actor, source: str
) -> PrivacySetting:
    """Place a lock; the same lock again writes nothing. Raises Forbidden, Invalid; Refused under another lock."""
    reason = layers.clean_text(reason, "reason", required=True)
    reference = layers.clean_text(reference, "reference", required=True, length=layers.REFERENCE_LENGTH)
    origin = layers.origin(actor, source, Permission.LOCKS_MANAGE, organization, reason=reason, reference=reference)
    setting = layers.lock_setting(organization, product)
    if setting.locked:
        live = Lock.objects.get(organization=organization, product=product, lifted_at=None)
        if (live.reason, live.reference) == (reason, reference):
            return setting
        raise Refused("locked", _("It is locked already, with another reason or reference. Lift that lock first."))
    at = ledger.clock(setting.changed_at, organization.created_at)
    Lock.objects.create(organization=organization, product=product, reason=reason, reference=reference, placed_at=at)
    return layers.write(
        setting, EventKind.LOCK_PLACED, rules.lock(setting.state, at), origin, at, before="unlocked", after="locked"
    )


@transaction.atomic
def lift_lock(*, organization: Organization, product: str, reason: str, actor: Actor, source: str) -> PrivacySetting:
    """Lift the lock; without one nothing is written.

    Raises Forbidden, Invalid without a reason, ConfirmationRequired.
    """
    reason = layers.clean_text(reason, "reason", required=True)
    origin = layers.origin(actor, source, Permission.LOCKS_MANAGE, organization, reason=reason)
    setting = layers.lock_setting(organization, product)
    if not setting.locked:
        return setting
    layers.require_confirmed(actor, Act.LOCK_LIFT)
    at = ledger.clock(setting.changed_at, organization.created_at)
    Lock.objects.filter(organization=organization, product=product, lifted_at=None).update(lifted_at=at)
    return layers.write(
        setting,
        EventKind.LOCK_LIFTED,
        rules.lift_lock(setting.state, at),
        origin,
        at,
        before="locked",
        after="unlocked",
    )
