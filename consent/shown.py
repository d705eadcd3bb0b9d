"""A setting as every face shows it: effective state, source, who and when, what it covers, what can be done.

Console, admin and API read settings here, so that all say the same, and the same as `decisions.decide` answers.
"""

import dataclasses
import datetime as dt
import functools
import uuid
from collections.abc import Iterable

from django.conf import settings as conf
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from accounts.access import Actor, Permission, acts_as_operator, permissions
from accounts.models import Member, Organization, Plan

from . import actors, rules
from .models import ConsentEvent, PrivacySetting
from .rules import MEMBER_START, Choice, Reason, State
from .surfaces import ORGANIZATION_SURFACES, Surface


@dataclasses.dataclass(frozen=True)
class ShownSetting:
    """`effective` is what a decision asked now would say for new data; `choice` is this layer's own."""

    surface: Surface
    organization: Organization
    member: Member | None
    choice: str
    effective: str
    reason_code: str
    since: dt.datetime | None
    locked: bool
    locked_at: dt.datetime | None
    lock_reason: str | None
    lock_reference: str | None
    carried_from: str | None
    members_opted_out: int | None
    changed_at: dt.datetime | None
    changed_by: str | None
    event: str | None
    version: int
    plan: Plan | None
    set_by_operator: bool
    decided_by_organization: bool
    can_opt_out: bool
    can_opt_in: bool
    can_confirm: bool  # an operator chose, and this actor is one of those whose choice it is
    opt_in_needs_reason: bool
    carried_from_name: str = ""

    @property
    def is_in(self) -> bool:
        return self.effective == Choice.OPTED_IN

    @property
    def checked(self) -> bool:
        """The control's position: a member's own choice first, else what the organization's state makes of it."""
        return self.choice == Choice.OPTED_IN if self.member and self.choice != Choice.DEFAULT else self.is_in

    @property
    def sentence(self) -> str:
        return _sentence(self)


def organization_settings(organization: Organization, actor: Actor) -> list[ShownSetting]:
    """One per organization surface, in the catalogue's order."""
    rows = PrivacySetting.objects.of_organizations().filter(organization=organization).with_events()
    found = {row.product: row for row in rows}
    held = permissions(actor, organization)
    may = Permission.CONSENT_CHOOSE in held
    theirs = may and not acts_as_operator(actor, Permission.CONSENT_CHOOSE, organization)
    names = actors.labels([row.choice_event for row in found.values() if row.choice_event], actor)
    show = functools.partial(
        _show_organization,
        organization,
        may=may,
        theirs=theirs,
        plans=Plan.objects.in_bulk(),
        names=names,
        counted=Permission.MEMBER_CONSENT_VIEW in held,
    )
    return [show(surface, found.get(surface.product)) for surface in ORGANIZATION_SURFACES]


def organization_setting(organization: Organization, surface: Surface, actor: Actor) -> ShownSetting:
    return next(shown for shown in organization_settings(organization, actor) if shown.surface is surface)


def member_setting(member: Member, surface: Surface, actor: Actor) -> ShownSetting:
    return member_settings([member], surface, actor)[0]


def member_settings(members: Iterable[Member], surface: Surface, actor: Actor) -> list[ShownSetting]:
    """A member's surface for each member (their `organization` selected); a fixed number of queries."""
    members = list(members)
    organizations = {member.organization_id for member in members}
    rows = PrivacySetting.objects.filter(product=surface.product, organization_id__in=organizations).with_events()
    theirs = {row.member_id: row for row in rows.filter(member__in=members)}
    organization_rows = {row.organization_id: row for row in rows.of_organizations()}
    plans = Plan.objects.in_bulk()
    others = {m.organization_id: m.organization for m in members if not actor.is_user(m.user_id)}
    held = {pk: permissions(actor, organization) for pk, organization in others.items()}
    names = actors.labels([row.choice_event for row in theirs.values() if row.choice_event], actor)
    show = functools.partial(_show_member, surface=surface, plans=plans, actor=actor, held=held, names=names)
    return [show(m, row=theirs.get(m.pk), above=organization_rows.get(m.organization_id)) for m in members]


def _show_organization(
    organization: Organization,
    surface: Surface,
    row: PrivacySetting | None,
    *,
    may: bool,
    theirs: bool,
    plans: dict[str, Plan],
    names: dict[int, str],
    counted: bool,
) -> ShownSetting:
    state = _current(organization, row)
    return ShownSetting(
        surface=surface,
        organization=organization,
        member=None,
        effective=_effective(state.allowed),
        reason_code=state.reason_code,
        since=state.since,
        members_opted_out=_members_opted_out(organization, surface.product) if counted else None,
        decided_by_organization=False,
        can_opt_out=may,
        can_opt_in=may and rules.opt_in_obstacle(state) is None,
        can_confirm=theirs and _set_by_operator(row),
        opt_in_needs_reason=rules.opt_in_needs_reason(state),
        **_common(state, row, state, row, plans=plans, names=names),  # type: ignore[arg-type]
    )


def _show_member(
    member: Member,
    *,
    surface: Surface,
    row: PrivacySetting | None,
    above: PrivacySetting | None,
    plans: dict[str, Plan],
    actor: Actor,
    held: dict[uuid.UUID, frozenset[Permission]],
    names: dict[int, str],
) -> ShownSetting:
    state = row.state if row else MEMBER_START
    organization = _current(member.organization, above)
    decision = rules.resolve(
        rules.Layers(
            now=timezone.now(),
            first_event_at=member.organization.created_at,
            organization=organization,
            membership=rules.Membership(member.joined_at, member.left_at),
            member=state,
            member_told=True,  # a member's setting is shown to them and to the provider alone
        )
    )
    granted = held.get(member.organization_id, frozenset())
    own = actor.is_user(member.user_id) or Permission.MEMBER_CONSENT_SPEAK in granted
    return ShownSetting(
        surface=surface,
        organization=member.organization,
        member=member,
        effective=_effective(decision.allowed),
        reason_code=decision.reason,
        since=max((answer.since for answer in decision.layers if answer.since), default=None),
        members_opted_out=None,
        decided_by_organization=not organization.allowed,
        can_opt_out=own or Permission.MEMBER_CONSENT_TIGHTEN in granted,
        can_opt_in=own and not member.has_left and rules.opt_in_obstacle(organization) is None,
        can_confirm=own and _set_by_operator(row),
        opt_in_needs_reason=False,
        **_common(state, row, organization, above, plans=plans, names=names),  # type: ignore[arg-type]
    )


def _common(
    state: State,
    row: PrivacySetting | None,
    above: State,
    above_row: PrivacySetting | None,
    *,
    plans: dict[str, Plan],
    names: dict[int, str],
) -> dict[str, object]:
    """What both kinds of setting say: the choice from its own row; plan, lock and carry from the organization's."""
    chosen: ConsentEvent | None = row.choice_event if row else None
    lock: ConsentEvent | None = above_row.lock_event if above_row and above.locked else None
    carried = above.carry if above.reason_code == Reason.CARRIED_OVER else ""
    return {
        "choice": state.choice,
        "locked": above.locked,
        "locked_at": lock.recorded_at if lock else None,
        "lock_reason": lock.reason if lock else None,
        "lock_reference": lock.reference if lock else None,
        "carried_from": carried or None,
        "carried_from_name": _carry_name(carried, above, plans) if carried else "",
        "changed_at": chosen.recorded_at if chosen else None,
        "changed_by": names[chosen.pk] if chosen else None,
        "event": str(chosen.pk) if chosen else None,
        "version": row.version if row else 0,
        "plan": plans.get(above.plan) if above.subscribed else None,
        "set_by_operator": _set_by_operator(row),
    }


def _set_by_operator(row: PrivacySetting | None) -> bool:
    return row is not None and row.choice_event is not None and row.choice_event.by_operator


def _carry_name(carried: str, state: State, plans: dict[str, Plan]) -> str:
    name = plans[carried].name if carried in plans else carried
    return _("the earlier default of %(plan)s") % {"plan": name} if carried == state.plan else name


def _current(organization: Organization, row: PrivacySetting | None) -> State:
    if row is None:
        return State(closed=True, reason_code=Reason.ORGANIZATION_CLOSED) if organization.is_closed else State()
    return row.state


def _effective(allowed: bool) -> str:
    return Choice.OPTED_IN if allowed else Choice.OPTED_OUT


def _members_opted_out(organization: Organization, product: str) -> int:
    """Who has left counts too. For the provider alone: with accounts of its own, one reads any count."""
    return (
        PrivacySetting.objects.of_members()
        .filter(organization=organization, product=product, choice=Choice.OPTED_OUT)
        .count()
    )


def _sentence(shown: ShownSetting) -> str:
    """The state in words, the same on every face."""
    names = {
        "organization": shown.organization.name,
        "plan": shown.plan.name if shown.plan else "",
        "actor": shown.changed_by or "",
        "date": day(shown.changed_at),
        "locked": day(shown.locked_at),
        "provider": conf.PROVIDER_NAME,
        "cause": shown.carried_from_name,
        "reason": shown.lock_reason or "",
    }
    return _template(shown) % names


def _template(shown: ShownSetting) -> str:
    if shown.member and shown.choice == Choice.OPTED_OUT:
        return _("Your data is not used for training. Chosen by %(actor)s on %(date)s.")
    if shown.member and shown.member.has_left:
        return _("You have left %(organization)s; nothing collected since then is used for training.")
    match shown.reason_code:
        case Reason.ORGANIZATION_CLOSED:
            return _("Not used for training. The account of %(organization)s is closed.")
        case Reason.NO_SUBSCRIPTION:
            return _("Not used for training. There is no subscription for this product.")
    if shown.member and shown.reason_code == Reason.ORGANIZATION_OPTED_OUT:
        return _("Your organization %(organization)s has opted out, so your data is not used.")
    if shown.member and shown.decided_by_organization:
        return _("Your organization %(organization)s is opted out, so your data is not used.")
    if shown.locked:
        return _(
            "Not used for training. Locked since %(locked)s: %(reason)s. Opting in is not possible while it is locked."
        )
    if shown.member:
        return _member_template(shown)
    return _organization_template(shown)


def _member_template(shown: ShownSetting) -> str:
    if shown.choice == Choice.OPTED_IN:
        return _("Your data may be used for training. Chosen by %(actor)s on %(date)s.")
    return _("Your data may be used for training, as %(organization)s allows. You have not chosen yet.")


def _organization_template(shown: ShownSetting) -> str:
    if shown.reason_code == Reason.CARRIED_OVER:
        return _("Not used for training. Kept from %(cause)s, until you opt in.")
    if shown.choice == Choice.DEFAULT:
        if shown.is_in:
            return _("Following the default of %(plan)s: used for training. Nobody has chosen yet.")
        return _("Following the default of %(plan)s: not used for training. Nobody has chosen yet.")
    if shown.set_by_operator:
        return (
            _("Used for training. Set by %(provider)s on %(date)s.")
            if shown.is_in
            else _("Not used for training. Set by %(provider)s on %(date)s.")
        )
    return (
        _("Used for training. Chosen by %(actor)s on %(date)s.")
        if shown.is_in
        else _("Not used for training. Chosen by %(actor)s on %(date)s.")
    )


def day(instant: dt.datetime | None) -> str:
    """A day in the reader's language, '' without one."""
    return formats.date_format(timezone.localtime(instant), "DATE_FORMAT") if instant else ""
