"""A person's own proof: of a day, whether what they said then may be used now, and what that rests on.

And which of their opt-outs came after data was taken for training. Of others it tells nothing (R4): it is decided by
the organization's state, which its members may know, and by what the person chose.
"""

import dataclasses
import datetime as dt

from django.conf import settings as conf
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import time_zones
from accounts.access import Actor, Permission, permissions
from accounts.catalogue import Product
from accounts.fields import MICROSECOND
from accounts.models import Member, Organization

from ..decisions import Answer, decide_own
from ..models import ConsentEvent, EventKind, ReasonCode
from ..rules import LayerAnswer, Reason
from .honoured import Step
from .removal_steps import removal_steps
from .sentences import day
from .wordings import Seen, seen

OPT_OUTS = 10  # of the person's, the latest

_WHY: dict[Reason, str | Promise] = {
    Reason.NOT_YET_KNOWN: gettext_lazy("That is before anything is known here about %(organization)s."),
    Reason.UNKNOWN_MEMBER: gettext_lazy("You did not belong to %(organization)s yet."),
    Reason.ORGANIZATION_CLOSED: gettext_lazy("The account is closed."),
    Reason.NO_SUBSCRIPTION: gettext_lazy("There is no subscription for this product."),
    Reason.LOCKED: gettext_lazy("Training is locked."),
    Reason.ORGANIZATION_OPTED_OUT: gettext_lazy("%(organization)s has opted out."),
    Reason.PLAN_DEFAULT: gettext_lazy("The plan of %(organization)s is opted out by default."),
    Reason.CARRIED_OVER: gettext_lazy("%(organization)s stays out, as under an earlier plan, until it opts in."),
    Reason.MEMBER_OPTED_OUT: gettext_lazy("You have opted out."),
    Reason.MEMBER_LEFT: gettext_lazy("You had left %(organization)s when it came in."),
    Reason.COLLECTED_BEFORE_ALLOWED: gettext_lazy("It came in before use was allowed, which it is since %(since)s."),
    Reason.COOLING_OFF: gettext_lazy("It is too new: it can be used from %(usable)s at the earliest."),
}
# In a personal organization the organization is the person: “you”, and never its name (R17).
_WHY_ONE: dict[Reason, str | Promise] = {
    Reason.NOT_YET_KNOWN: gettext_lazy("That is before anything is known here about your account."),
    Reason.UNKNOWN_MEMBER: gettext_lazy("You did not have this account yet."),
    Reason.ORGANIZATION_OPTED_OUT: gettext_lazy("You have opted out."),
    Reason.PLAN_DEFAULT: gettext_lazy("Your plan is opted out by default."),
    Reason.CARRIED_OVER: gettext_lazy("You stay out, as under an earlier plan, until you opt in."),
    Reason.MEMBER_LEFT: gettext_lazy("You had left when it came in."),
}
_LAYER: dict[str, str | Promise] = {
    Reason.MEMBER_OPTED_OUT: gettext_lazy("You opted out"),
    Reason.MEMBER_OPTED_IN: gettext_lazy("You opted in"),
    Reason.MEMBER_LEFT: gettext_lazy("You have left"),
    Reason.DEFAULT: gettext_lazy("You have not chosen"),
}


@dataclasses.dataclass(frozen=True)
class Layer:
    """One subject's say. `event` and what is told of it: None where the reader may not read the organization's."""

    name: str
    allowed: bool
    reason: str
    since: dt.datetime | None
    event: ConsentEvent | None
    seen: Seen | None
    own: bool

    @property
    def by_provider(self) -> str:
        return str(conf.PROVIDER_NAME) if self.event is not None and self.event.by_operator else ""


@dataclasses.dataclass(frozen=True)
class Part:
    """The answer for one moment of the day; `when`: which, '' if all of the day has the same."""

    when: str
    allowed: bool
    why: str
    layers: list[Layer]


@dataclasses.dataclass(frozen=True)
class OfProduct:
    product: str
    parts: list[Part]


@dataclasses.dataclass(frozen=True)
class Removed:
    """An opt-out after which earlier data has to go from what was trained on it."""

    event: ConsentEvent
    steps: list[Step]


def products_of(member: Member) -> list[Product]:
    """What the person alone decides about, or what is theirs alone: in a team Le Chat, for one person everything."""
    personal = member.organization.kind == Organization.Kind.PERSONAL
    return list(Product) if personal else [Product.LE_CHAT]


def of_day(member: Member, asked: dt.date, actor: Actor) -> list[OfProduct]:
    """Of each product the answer for the first and the last moment of the day, where the reader is."""
    first = time_zones.start_of(asked)
    last = min(time_zones.end_of(asked) - MICROSECOND, timezone.now())
    return [OfProduct(str(each.label), _parts(member, each, first, last, actor)) for each in products_of(member)]


def _parts(member: Member, product: Product, first: dt.datetime, last: dt.datetime, actor: Actor) -> list[Part]:
    early, late = (decide_own(member, product.value, at, actor) for at in (first, last))
    if _said(early) == _said(late):
        return [_part("", late, member, actor)]
    return [_part(_("As the day began"), early, member, actor), _part(_("As the day ended"), late, member, actor)]


def _said(answer: Answer) -> tuple[bool, Reason]:
    return answer.decision.allowed, answer.decision.reason


def _part(when: str, answer: Answer, member: Member, actor: Actor) -> Part:
    may_read = _reads_all(member, actor)
    ids = {layer: pk for layer, pk in answer.events.items() if pk and (layer == "member" or may_read)}
    found = ConsentEvent.objects.in_bulk(list(ids.values()))
    layers = [_layer(each, found.get(ids.get(each.layer, 0)), member) for each in answer.decision.layers]
    return Part(when, answer.decision.allowed, _why(answer, member), layers)


def _reads_all(member: Member, actor: Actor) -> bool:
    """Whether the person may read the organization's events, as in its history."""
    personal = member.organization.kind == Organization.Kind.PERSONAL
    return personal or Permission.HISTORY_VIEW in permissions(actor, member.organization)


def _layer(answer: LayerAnswer, event: ConsentEvent | None, member: Member) -> Layer:
    own, personal = answer.layer == "member", member.organization.kind == Organization.Kind.PERSONAL
    if own:
        name, reason = _("You"), str(_LAYER.get(answer.reason, answer.reason))
    else:
        name = _("Your account") if personal else member.organization.name
        reason = str(dict(ReasonCode.choices).get(answer.reason, answer.reason))
        if personal and answer.reason in (Reason.ORGANIZATION_OPTED_OUT, Reason.ORGANIZATION_OPTED_IN):
            reason = _("Opted out") if answer.reason == Reason.ORGANIZATION_OPTED_OUT else _("Opted in")
    return Layer(name, answer.allowed, reason, answer.since, event, seen(event) if event else None, own)


def _why(answer: Answer, member: Member) -> str:
    decision, personal = answer.decision, member.organization.kind == Organization.Kind.PERSONAL
    names = {
        "organization": member.organization.name,
        "since": time_zones.moment(decision.boundary),
        "usable": day(decision.usable_from),
    }
    if decision.allowed:
        if personal:
            return _("Nothing has kept it out since it came in.")
        return _("%(organization)s allows it, and you have not opted out since it came in.") % names
    reason = decision.reason
    template = (_WHY_ONE.get(reason) if personal else None) or _WHY.get(reason)
    return str(template) % names if template else answer.detail


def removed(member: Member) -> tuple[list[ConsentEvent], list[Removed]]:
    """The person's latest opt-outs, and those of them after which earlier data has to go from training."""
    mine = Q(member=member)
    if member.organization.kind == Organization.Kind.PERSONAL:
        mine |= Q(member=None, organization=member.organization)
    events = ConsentEvent.objects.filter(mine, kind=EventKind.CHOICE_OPTED_OUT).select_related("placed")
    latest = list(events.order_by("-pk")[:OPT_OUTS])
    steps = [
        (event, removal_steps(event, event.placed.position if hasattr(event, "placed") else None)) for event in latest
    ]
    return latest, [Removed(event, found) for event, found in steps if found]
