"""Subscriptions: starting, moving, ending. The rules decide what a move does to the choice (R5)."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.access import Actor, Permission
from accounts.fields import MICROSECOND
from accounts.models import Organization, Plan, Subscription

from .. import ledger, rules
from ..errors import Invalid, Refused
from ..models import EventKind, PrivacySetting
from ..rules import Span
from . import layers
from .layers import Attested, Change


@transaction.atomic
def subscribe(*, organization: Organization, plan: Plan, actor: Actor, source: str, reason: str = "") -> PrivacySetting:
    """Start a subscription, move it to another plan, or start again after a gap. The same plan again writes nothing.

    Raises Forbidden; Refused if the account is closed.
    """
    reason = layers.clean_text(reason, "reason")
    origin = layers.origin(actor, source, Permission.SUBSCRIPTIONS_MANAGE, organization, reason=reason)
    setting = layers.lock_setting(organization, plan.product)
    if rules.holds(setting.state, plan.key):
        return setting
    if obstacle := rules.subscribe_obstacle(setting.state):
        raise Refused(obstacle, _("The account is closed; reopen it first."))
    plan = layers.hold_plan(plan)
    at = ledger.clock(setting.changed_at, organization.created_at)
    subscribe_many([Move(setting, plan)], origin, at)
    setting.refresh_from_db()
    return setting


class Move(NamedTuple):
    """A setting and its new plan; `since`: an earlier start to be attested, which no span of `denied` contradicts."""

    setting: PrivacySetting
    plan: Plan
    since: dt.datetime | None = None
    denied: tuple[Span, ...] = ()


def subscribe_many(moves: Sequence[Move], origin: ledger.Origin, at: dt.datetime, *, reference: str = "") -> None:
    """Start or move these subscriptions, all at one instant, by a fixed number of statements; each is an event.

    The caller must have locked the settings and held the plans, and left out settings for which `rules.holds` or
    `rules.subscribe_obstacle` says so. An attested start is a separate event, one microsecond later, which has the
    `reference`.
    """
    _end_live([each.setting for each in moves if each.setting.subscribed], at)
    Subscription.objects.bulk_create(
        Subscription(organization=setting.organization, product=setting.product, plan=plan, started_at=at)
        for setting, plan, _since, _denied in moves
    )
    changes = [_change(each.setting, each.plan, at) for each in moves]
    layers.write_many(changes, origin, at)
    starts = [Attested(each.setting, each.since, each.denied) for each in moves if each.since is not None]
    layers.attest_many(starts, dataclasses.replace(origin, reference=reference), at + MICROSECOND)


def _change(setting: PrivacySetting, plan: Plan, at: dt.datetime) -> Change:
    before = setting.state
    kind = EventKind.PLAN_CHANGED if before.subscribed else EventKind.SUBSCRIPTION_STARTED
    held = before.plan if before.subscribed else ""
    return Change(setting, kind, rules.subscribe(before, plan.key, plan.training_default, at), held, plan.key)


def _end_live(settings: Sequence[PrivacySetting], at: dt.datetime) -> None:
    # The settings are locked, so nobody else ends or starts these.
    for product in sorted({each.product for each in settings}):
        of_product = {each.organization_id for each in settings if each.product == product}
        live = Subscription.objects.filter(organization__in=of_product, product=product, ended_at=None)
        live.update(ended_at=at)


@transaction.atomic
def end_subscription(
    *, organization: Organization, product: str, actor: Actor, source: str, reason: str = ""
) -> PrivacySetting:
    """End the live subscription; if there is none, nothing is written. Raises Forbidden."""
    reason = layers.clean_text(reason, "reason")
    origin = layers.origin(actor, source, Permission.SUBSCRIPTIONS_MANAGE, organization, reason=reason)
    setting = layers.lock_setting(organization, product)
    before = setting.state
    if not before.subscribed:
        return setting
    at = ledger.clock(setting.changed_at, organization.created_at)
    _end_live([setting], at)
    return layers.write(
        setting, EventKind.SUBSCRIPTION_ENDED, rules.end_subscription(before, at), origin, at, before=before.plan
    )


def get_plan(key: str, product: str | None = None) -> Plan:
    """The plan with this key. Raises Invalid if there is none, or if it belongs to another product."""
    plan = Plan.objects.filter(key=key).first()
    if plan is None:
        raise Invalid("unknown_plan", _("There is no plan “%(key)s”.") % {"key": key}, "plan")
    if product is not None and plan.product != product:
        raise Invalid("wrong_product", _("%(plan)s is not a plan of this product.") % {"plan": plan.name}, "plan")
    return plan
