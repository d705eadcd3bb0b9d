"""Subscriptions: starting, moving, ending. What a move does to the choice is for the rules to say (R5)."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.access import Actor, Permission
from accounts.models import Organization, Plan, Subscription

from .. import ledger, rules
from ..errors import Invalid, Refused
from ..models import EventKind, PrivacySetting
from ..rules import Reason
from . import layers


@transaction.atomic
def subscribe(*, organization: Organization, plan: Plan, actor: Actor, source: str, reason: str = "") -> PrivacySetting:
    """Start a subscription, move it to another plan, or start again after a gap. The same plan again writes nothing.

    Raises Forbidden, and Refused on a closed account.
    """
    reason = layers.clean_text(reason, "reason")
    origin = layers.origin(actor, source, Permission.SUBSCRIPTIONS_MANAGE, organization, reason=reason)
    setting = layers.lock_setting(organization, plan.product)
    before = setting.state
    if before.subscribed and before.plan == plan.key:
        return setting
    if before.closed:
        raise Refused(Reason.ORGANIZATION_CLOSED, _("The account is closed; reopen it first."))
    plan = layers.hold_plan(plan)
    at = ledger.clock(setting.changed_at, organization.created_at)
    after = rules.subscribe(before, plan.key, plan.training_default, at)
    Subscription.objects.filter(organization=organization, product=plan.product, ended_at=None).update(ended_at=at)
    Subscription.objects.create(organization=organization, product=plan.product, plan=plan, started_at=at)
    kind = EventKind.PLAN_CHANGED if before.subscribed else EventKind.SUBSCRIPTION_STARTED
    return layers.write(
        setting, kind, after, origin, at, before=before.plan if before.subscribed else "", after=plan.key
    )


@transaction.atomic
def end_subscription(
    *, organization: Organization, product: str, actor: Actor, source: str, reason: str = ""
) -> PrivacySetting:
    """End the live subscription; without one nothing is written. Raises Forbidden."""
    reason = layers.clean_text(reason, "reason")
    origin = layers.origin(actor, source, Permission.SUBSCRIPTIONS_MANAGE, organization, reason=reason)
    setting = layers.lock_setting(organization, product)
    before = setting.state
    if not before.subscribed:
        return setting
    at = ledger.clock(setting.changed_at, organization.created_at)
    Subscription.objects.filter(organization=organization, product=product, ended_at=None).update(ended_at=at)
    return layers.write(
        setting, EventKind.SUBSCRIPTION_ENDED, rules.end_subscription(before, at), origin, at, before=before.plan
    )


def get_plan(key: str, product: str | None = None) -> Plan:
    """The plan with this key; raises Invalid, naming it, where there is none or it is another product's."""
    plan = Plan.objects.filter(key=key).first()
    if plan is None:
        raise Invalid("unknown_plan", _("There is no plan “%(key)s”.") % {"key": key}, "plan")
    if product is not None and plan.product != product:
        raise Invalid("wrong_product", _("%(plan)s is not a plan of this product.") % {"plan": plan.name}, "plan")
    return plan
