"""Choices on a surface: an organization's for itself, and a member's for their own data.

In a personal organization the one person's choice is written to both layers at once (R17); see `one_person`.
"""

import dataclasses
import datetime as dt
import functools
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import Actor, ActorType, Forbidden, Permission, opt_in_act, permissions
from accounts.fields import MICROSECOND
from accounts.models import Member, Organization

from .. import ledger, rules
from ..errors import Invalid, Refused, VersionMismatch, VersionRequired
from ..models import EventKind, PrivacySetting, Source
from ..rules import Choice, Reason, Span, State
from ..surfaces import (
    LE_CHAT_MOBILE,
    NOTHING_SHOWN,
    ORGANIZATION_SURFACES,
    WITH_MEMBERS,
    Scope,
    Shown,
    Surface,
    member_surface,
    organization_surface,
)
from . import layers, one_person
from .layers import Attested, Change

OBSTACLES = {
    Reason.ORGANIZATION_CLOSED: gettext_lazy(
        "The account is closed, so nobody can opt in. Opting out is always possible."
    ),
    Reason.NO_SUBSCRIPTION: gettext_lazy("There is no subscription for this product, so nobody can opt in."),
    Reason.LOCKED: gettext_lazy(
        "Training is locked for this organization, so nobody can opt in until the lock is lifted."
    ),
    Reason.MEMBER_LEFT: gettext_lazy("This member has left the organization and can only opt out."),
}


def choose(
    *,
    surface: Surface,
    organization: Organization,
    member: Member | None = None,
    choice: str,
    actor: Actor,
    source: str,
    reason: str = "",
    expected_version: int | Collection[int] | None = None,
    version_required: bool = True,
    shown: Shown = NOTHING_SHOWN,
) -> PrivacySetting:
    """Make `choice` ('opted_in' or 'opted_out') on a surface; returns the setting as it is afterwards.

    The same choice again writes nothing, unless an operator made it: then the organization, or the member, makes it
    their own by an event. The one person of a personal organization chooses in both of its layers, under the conditions
    of both and with the sum of their versions (R17); everybody else in one.

    If the write would loosen, `expected_version` must be, or contain, the setting's version. A command has shown no
    setting to anybody, so it needs none (`version_required=False`). Raises Forbidden, Invalid, Refused,
    VersionRequired, VersionMismatch or ConfirmationRequired; then nothing is changed.

    `shown`: the words that the person saw, which the caller has checked.
    """
    if choice not in (Choice.OPTED_IN, Choice.OPTED_OUT):
        raise Invalid("unknown_choice", _("Choose “opted_in” or “opted_out”."), "choice")
    if (surface.scope is Scope.MEMBER) != (member is not None):
        raise Invalid("wrong_scope", _("This surface doesn't exist for this subject."), "surface")
    if member is not None and member.organization_id != organization.pk:
        raise Invalid("wrong_organization", _("This is a member of another organization."), "member")
    reason = layers.clean_text(reason, "reason")
    expected = frozenset([expected_version]) if isinstance(expected_version, int) else expected_version
    wish = ChoiceRequest(surface, Choice(choice), actor, source, reason, expected, version_required, shown)
    with transaction.atomic():
        # None for teams, which are not locked as a whole: the setting's own lock is enough there.
        owner = one_person.lock(organization, surface.product)
        if member is None:
            origin = _organization_origin(wish, organization)
            if owner is not None and one_person.speaks(owner, origin):
                return _choose_in_both(wish, owner, origin).of_organization
            return _choose_for_organization(wish, organization, owner, origin)
        member = owner or layers.lock_member(member)
        origin = _member_origin(wish, member)
        if owner is not None and not origin.by_operator:
            return _choose_in_both(wish, owner, origin).of_member
        return _choose_for_member(wish, member, origin)


@transaction.atomic
def opt_out_everywhere(*, actor: Actor, source: str, shown: Shown = NOTHING_SHOWN) -> None:
    """Opt the person out of all that they decide: in each membership, and all products of a personal organization.

    Does nothing for an actor who has no membership.
    """
    own = Member.objects.of_person(actor).select_related("organization", "user").order_by("organization_id")
    opt_out = functools.partial(choose, choice=Choice.OPTED_OUT, actor=actor, source=source, shown=shown)
    for member in own:
        opt_out(surface=LE_CHAT_MOBILE, organization=member.organization, member=member)
        if member.organization.kind == Organization.Kind.PERSONAL:
            for surface in ORGANIZATION_SURFACES:
                if surface.product not in WITH_MEMBERS:
                    opt_out(surface=surface, organization=member.organization)


@dataclasses.dataclass(frozen=True)
class ChoiceRequest:
    surface: Surface
    choice: Choice
    actor: Actor
    source: str
    reason: str
    expected_versions: Collection[int] | None
    version_required: bool
    shown: Shown


def _organization_origin(wish: ChoiceRequest, organization: Organization) -> ledger.Origin:
    origin = layers.origin(wish.actor, wish.source, Permission.CONSENT_CHOOSE, organization, reason=wish.reason)
    if wish.source in (Source.IOS, Source.ANDROID):
        raise Invalid("wrong_source", _("The mobile apps have no control for the organization's choice."), "source")
    return dataclasses.replace(origin, shown=wish.shown)


def _choose_for_organization(
    wish: ChoiceRequest, organization: Organization, owner: Member | None, origin: ledger.Origin
) -> PrivacySetting:
    """`owner`: that of a personal organization, if somebody else chooses here for it; else None."""
    setting = layers.lock_setting(organization, wish.surface.product)
    before = setting.state
    if _is_repeated(setting, wish, origin):
        return setting
    at = ledger.clock(setting.changed_at, organization.created_at)
    if wish.choice == Choice.OPTED_OUT:
        return _store(setting, wish, origin, at)
    _check_opt_in(before)
    # The organization's API key is not the person, so it can't take back their opt-out (R17).
    if owner is not None and wish.actor.type == ActorType.API_KEY and one_person.is_out(owner, setting):
        raise Refused("person_opted_out", _("The owner of this personal account has opted out; only they can opt in."))
    _check_reason(wish, before, origin)
    _check_version(wish, setting.version, loosens=_loosens([setting], wish, at))
    _check_person(wish, before, origin)
    return _store(setting, wish, origin, at)


def _check_reason(wish: ChoiceRequest, before: State, origin: ledger.Origin) -> None:
    if before.choice == Choice.OPTED_IN or wish.reason:
        return
    if rules.opt_in_needs_reason(before):
        raise Invalid("required", _("Opting in on a plan that is opted out by default needs a reason."), "reason")
    if origin.by_operator:  # on the customer's documented instruction
        raise Invalid("required", _("Opting in for an organization needs a reason."), "reason")


def _check_person(wish: ChoiceRequest, before: State, origin: ledger.Origin) -> None:
    act = opt_in_act(needs_reason=rules.opt_in_needs_reason(before), by_operator=origin.by_operator)
    layers.require_confirmed(wish.actor, act)


def _choose_in_both(wish: ChoiceRequest, owner: Member, origin: ledger.Origin) -> one_person.Layers:
    """The one person's choice in both layers, at one instant; an event for each layer that does not say so already."""
    both = one_person.lock_layers(owner, wish.surface.product)
    # A choice that somebody else made in a layer doesn't count: the person makes it their own.
    unsaid = [setting for setting in both if not one_person.said(setting, wish.choice, owner)]
    if not unsaid:
        return both
    at = both.clock()
    if wish.choice == Choice.OPTED_IN:
        before = both.of_organization.state
        _check_opt_in(before)
        _check_reason(wish, before, origin)
        _check_version(wish, both.version, loosens=_loosens(unsaid, wish, at))
        _check_person(wish, before, origin)
    choose_many([Chosen(each, wish.choice, wish.surface) for each in unsaid], origin, at)
    for setting in unsaid:
        setting.refresh_from_db()
    return both


def _choose_for_member(wish: ChoiceRequest, member: Member, origin: ledger.Origin) -> PrivacySetting:
    setting = layers.lock_member_setting(member, wish.surface.product)
    if _is_repeated(setting, wish, origin):
        return setting
    at = ledger.clock(setting.changed_at, member.organization.created_at)
    if wish.choice == Choice.OPTED_OUT:
        return _store(setting, wish, origin, at)
    if member.has_left:
        raise Refused(Reason.MEMBER_LEFT, OBSTACLES[Reason.MEMBER_LEFT])
    # The same obstacles as for the organization: a closed account, no subscription, a lock.
    _check_opt_in(_organization_state(member.organization, wish.surface.product))
    _check_version(wish, setting.version, loosens=_loosens([setting], wish, at))
    return _store(setting, wish, origin, at)


def _organization_state(organization: Organization, product: str) -> State:
    setting = PrivacySetting.objects.of_organizations().filter(organization=organization, product=product).first()
    return setting.state if setting else State(closed=organization.is_closed)


def _member_origin(wish: ChoiceRequest, member: Member) -> ledger.Origin:
    """Only the member may opt in, here or through the app's backend; others with the right to write only out (R4)."""
    actor, sources = wish.actor, wish.surface.sources
    held = permissions(actor, member.organization)
    # On the operators' site a person always acts for the provider, even about their own membership.
    themselves = actor.is_user(member.user_id) and wish.source != Source.ADMIN
    speaks = themselves or Permission.MEMBER_CONSENT_SPEAK in held
    tightens = Permission.MEMBER_CONSENT_TIGHTEN in held and wish.choice == Choice.OPTED_OUT
    if not (speaks or tightens):
        raise Forbidden(Permission.MEMBER_CONSENT_SPEAK)
    if wish.source not in Source.values:
        raise Invalid("unknown_source", f"There is no source “{wish.source}”.", "source")
    if actor.type == ActorType.API_KEY and wish.source not in sources:
        raise Invalid(
            "wrong_source", _("Give the surface where the member chose: %s.") % _(" or ").join(sources), "source"
        )
    return ledger.Origin(actor=actor, source=wish.source, by_operator=not speaks, reason=wish.reason, shown=wish.shown)


def _check_opt_in(organization_state: State) -> None:
    if obstacle := rules.opt_in_obstacle(organization_state):
        raise Refused(obstacle, OBSTACLES[obstacle])


def _is_repeated(setting: PrivacySetting, wish: ChoiceRequest, origin: ledger.Origin) -> bool:
    """Whether this repeats a choice and writes nothing. One that an operator made can still be made one's own (R10)."""
    if setting.choice != wish.choice:
        return False
    # `choice_event` is None only for the default, which nobody can choose here.
    theirs = setting.choice_event is not None and setting.choice_event.by_operator
    return origin.by_operator or not theirs


def _loosens(settings: Iterable[PrivacySetting], wish: ChoiceRequest, at: dt.datetime) -> bool:
    return any(transition(each, wish.choice, at).allowed and not each.allowed for each in settings)


def _check_version(wish: ChoiceRequest, version: int, *, loosens: bool) -> None:
    if not loosens:  # a write that tightens never waits for a version
        return
    if wish.expected_versions is None and wish.version_required:
        raise VersionRequired("version_required", _("Give the version of the setting that this choice is based on."))
    if wish.expected_versions is not None and version not in wish.expected_versions:
        raise VersionMismatch("version_mismatch", _("The setting has changed since you looked at it."))


def _store(setting: PrivacySetting, wish: ChoiceRequest, origin: ledger.Origin, at: dt.datetime) -> PrivacySetting:
    choose_many([Chosen(setting, wish.choice, wish.surface)], origin, at)
    setting.refresh_from_db()
    return setting


# --- Writing choices, one or many -------------------------------------------------------------------------------------


class Chosen(NamedTuple):
    """A setting and its new choice; `since`: an earlier start to be attested, which no span of `denied` contradicts."""

    setting: PrivacySetting
    choice: str
    surface: Surface | None
    since: dt.datetime | None = None
    denied: tuple[Span, ...] = ()


def choose_many(chosen: Sequence[Chosen], origin: ledger.Origin, at: dt.datetime, *, reference: str = "") -> None:
    """Store these choices, all of one instant, by a fixed number of statements; each is an event.

    The caller must have locked the settings and checked whether each choice is allowed: for an opt-in that is not, the
    rules raise ValueError. An attested start is a separate event, one microsecond later, which has the `reference`.
    """
    changes = [
        Change(
            each.setting,
            _kind(each),
            transition(each.setting, each.choice, at),
            each.setting.choice,
            each.choice,
            each.surface,
        )
        for each in chosen
    ]
    layers.write_many(changes, origin, at)
    starts = [Attested(each.setting, each.since, each.denied) for each in chosen if each.since is not None]
    layers.attest_many(starts, dataclasses.replace(origin, reference=reference), at + MICROSECOND)


def _kind(chosen: Chosen) -> EventKind:
    if chosen.setting.choice == chosen.choice:
        return EventKind.CHOICE_CONFIRMED
    return EventKind.CHOICE_OPTED_IN if chosen.choice == Choice.OPTED_IN else EventKind.CHOICE_OPTED_OUT


def transition(setting: PrivacySetting, choice: str, at: dt.datetime) -> State:
    """The state of this layer, an organization's or a member's, after the choice."""
    of_member = setting.member_id is not None
    if choice == Choice.OPTED_IN:
        return (rules.member_opt_in if of_member else rules.opt_in)(setting.state, at)
    return (rules.member_opt_out if of_member else rules.opt_out)(setting.state, at)


SPREAD = "Opted out before this became a personal account: one person, one choice."


def spread_opt_out(both: one_person.Layers, origin: ledger.Origin, at: dt.datetime) -> None:
    """When an organization becomes personal, an opt-out in one of its two layers is written to the other too (R17)."""
    others = [setting for setting in both if setting.choice != Choice.OPTED_OUT]
    if len(others) == 1:
        [other] = others
        surface = member_surface(other.product) if other.member_id else organization_surface(other.product)
        origin = dataclasses.replace(origin, reason=origin.reason or SPREAD)
        choose_many([Chosen(other, Choice.OPTED_OUT, surface)], origin, at)
