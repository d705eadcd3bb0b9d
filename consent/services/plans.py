"""Subscriptions: starting, moving, ending, by the rules (R5); and the plans themselves: making and editing them."""

import dataclasses
import datetime as dt
import re
from collections.abc import Sequence
from typing import NamedTuple, TypedDict, Unpack

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from accounts.access import Actor, Permission, require
from accounts.catalogue import MAY_DEFAULT_IN, Product, TrainingDefault
from accounts.fields import MICROSECOND
from accounts.models import Organization, Plan, Subscription

from .. import ledger, rules
from ..errors import Invalid, Refused
from ..models import EventKind, PrivacySetting
from ..rules import Span
from . import layers, trail
from .layers import Attested, Change

# A key is what the access trail takes for a word: see `trail`.
_KEY = re.compile(r"[a-z]+(?:_[a-z]+)*")
_KEY_LENGTH, _NAME_LENGTH, _DESCRIPTION_LENGTH = 40, 80, 300
LAST_POSITION = 1_000


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


# --- The plans themselves ---------------------------------------------------------------------------------------------


class PlanChanges(TypedDict, total=False):
    name: str
    description: str
    position: int


@transaction.atomic
def create_plan(
    *,
    key: str,
    product: str,
    name: str,
    actor: Actor,
    source: str,
    description: str = "",
    training_default: str = TrainingDefault.OPTED_OUT,
    reason: str = "",
) -> Plan:
    """Create a plan, as the last in order. Its key is for good: no plan is deleted, because events name plans by key.

    Raises Forbidden; Invalid, also for a default of "in" that the database refuses (R2); Refused if the key is taken.
    """
    require(actor, Permission.PLANS_MANAGE, None)
    reason = layers.clean_text(reason, "reason")
    values = {"key": _clean_key(key, product), "product": product, "training_default": training_default}
    if training_default not in TrainingDefault.values:
        raise Invalid("unknown_choice", _("Choose “opted_in” or “opted_out”."), "training_default")
    if training_default == TrainingDefault.OPTED_IN and values["key"] not in MAY_DEFAULT_IN:
        raise Invalid("opted_out", _("This plan is opted out by default, always."), "training_default")
    words = _clean(product, {"name": name, "description": description})
    last = Plan.objects.aggregate(last=Max("position"))["last"] or 0
    try:
        with transaction.atomic():
            plan = Plan.objects.create(**values, **words, position=min(last + 1, LAST_POSITION))
    except IntegrityError:
        raise Refused("exists", _("There is a plan “%(key)s” already.") % {"key": values["key"]}, "key") from None
    kind = EventKind.ACCESS_PLAN_CREATED
    _note(kind, plan, actor, source, after=plan.training_default, reason=reason)
    return plan


@transaction.atomic
def edit_plan(*, plan: Plan, actor: Actor, source: str, reason: str = "", **changes: Unpack[PlanChanges]) -> Plan:
    """Change name, description or position; a value that is the same already writes nothing.

    Raises Forbidden, Invalid.
    """
    require(actor, Permission.PLANS_MANAGE, None)
    reason = layers.clean_text(reason, "reason")
    held = Plan.objects.select_for_update(no_key=True).get(pk=plan.pk)
    wanted = _clean(held.product, changes, held.key)
    changed = {field: value for field, value in sorted(wanted.items()) if getattr(held, field) != value}
    if changed:
        for field, value in changed.items():
            setattr(held, field, value)
        held.save(update_fields=list(changed))
        _note(EventKind.ACCESS_PLAN_EDITED, held, actor, source, after=", ".join(changed), reason=reason)
    return held


def _note(kind: EventKind, plan: Plan, actor: Actor, source: str, *, after: str, reason: str) -> None:
    trail.note(kind, organization=None, actor=actor, source=source, target=plan.key, after=after, reason=reason)


def _clean_key(key: str, product: str) -> str:
    text = layers.clean_text(key, "key", required=True, length=_KEY_LENGTH)
    if product not in Product.values:
        raise Invalid("unknown_product", _("There is no product “%(value)s”.") % {"value": product}, "product")
    if not _KEY.fullmatch(text) or not text.startswith(f"{product}_"):
        raise Invalid(
            "invalid",
            _("A key has small letters and underscores, and begins with %(start)s.") % {"start": f"{product}_"},
            "key",
        )
    return text


def _clean(product: str, changes: PlanChanges, key: str = "") -> PlanChanges:
    """The changes with normalized values; `key` is that of the plan that exists already."""
    clean: PlanChanges = {}
    if "name" in changes:
        layers.clean_text(changes["name"], "name", required=True, length=_NAME_LENGTH)
        clean["name"] = layers.clean_name(changes["name"], required=True)
        if Plan.objects.filter(product=product, name__iexact=clean["name"]).exclude(key=key).exists():
            raise Invalid("exists", _("Another plan of this product has this name."), "name")
    if "description" in changes:
        clean["description"] = layers.clean_text(changes["description"], "description", length=_DESCRIPTION_LENGTH)
    if "position" in changes:
        if not 0 <= changes["position"] <= LAST_POSITION:
            raise Invalid("invalid", _("Give a number from 0 to %(last)s.") % {"last": LAST_POSITION}, "position")
        clean["position"] = changes["position"]
    return clean
