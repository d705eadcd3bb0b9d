"""Settings as console, admin and API show them: effective state, reason, who chose when, and what this actor may do.

All three read settings here, so that they say the same, and the same as `decisions.decide` answers.
"""

import dataclasses
import datetime as dt
import functools
import uuid
from collections.abc import Iterable, Sequence

from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.access import Actor, Permission, operates_by_role, permissions, permissions_by_role, roles_of
from accounts.fields import parse_id
from accounts.models import Member, Organization, Plan

from .. import rules
from ..decisions import in_effect
from ..models import ActorType, ConsentEvent, CoolingOff, PrivacySetting
from ..rules import MEMBER_START, Choice, Decision, Reason, State
from ..services.one_person import is_own_word, version_of
from ..surfaces import ORGANIZATION_SURFACES, WITH_MEMBERS, Scope, Surface
from . import actors, sentences


@dataclasses.dataclass(frozen=True)
class Word:
    """Who made a choice, when and where, as the reader may know it. `by_reader`: the reader chose for themselves."""

    at: dt.datetime
    by: str
    by_provider: bool
    by_reader: bool
    source: str
    choice: str = ""
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class SettingView:
    """A setting as one reader sees it. `effective` is what a decision now says of new data; `choice` is its layer's.

    In a personal organization (`personal`) the one person sees and makes one choice for both layers (R17): `choice` is
    that one, and `version` counts changes of both. Other readers see the choice of one layer, but the `effective`
    state of both.
    """

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
    can_confirm: bool  # an operator chose, and this actor may confirm it as their own choice
    opt_in_needs_reason: bool
    carried_from_name: str = ""
    word: Word | None = None  # the choice that explains the state, in whichever layer it was made
    chosen: Word | None = None  # the choice of this layer, or of the one person; it may decide nothing now
    default: str = ""  # the plan's default as it applies to this organization; '' without a subscription
    personal: bool = False
    cooling_off: int = 0  # how many days old new data has to be before it is used

    @property
    def of_member(self) -> bool:
        """Whether it is the setting of a team's member, where the organization has a choice of its own."""
        return self.member is not None and not self.personal

    @property
    def set_by_provider(self) -> bool:
        return self.word.by_provider if self.personal and self.word else self.set_by_operator

    @property
    def is_in(self) -> bool:
        return self.effective == Choice.OPTED_IN

    @property
    def checked(self) -> bool:
        """Whether the control is on: by the member's own choice, or without one by the effective state."""
        return self.choice == Choice.OPTED_IN if self.of_member and self.choice != Choice.DEFAULT else self.is_in

    @property
    def sentence(self) -> str:
        return sentences.sentence(self)


def organization_settings(organization: Organization, actor: Actor) -> list[SettingView]:
    """One for each organization surface, in the order of the catalogue."""
    return settings_of([organization], actor)[organization.pk]


def settings_of(
    organizations: Sequence[Organization], actor: Actor, surfaces: Sequence[Surface] = ORGANIZATION_SURFACES
) -> dict[uuid.UUID, list[SettingView]]:
    """Organization id → one setting for each surface; a fixed number of queries."""
    found = _Rows(organizations)
    roles = roles_of(actor, organizations)
    held = {each.pk: permissions_by_role(actor, each, roles.get(each.pk)) for each in organizations}
    reader = _Reader(actor, Plan.objects.in_bulk(), held, found.every, found.counts(held))
    shown = {}
    for each in organizations:
        may = Permission.CONSENT_CHOOSE in held[each.pk]
        # Whether the choice is the actor's own to confirm: people of the organization, not operators acting for it.
        theirs = may and not operates_by_role(actor, Permission.CONSENT_CHOOSE, roles.get(each.pk))
        owner, show = found.owners.get(each.pk), functools.partial(_build_organization, each, may=may, theirs=theirs)
        shown[each.pk] = [
            _build_one_person(owner, surface, above=above, own=found.own(owner, surface), reader=reader)
            if owner is not None and surface.product in WITH_MEMBERS
            else show(surface, above, reader=reader, owner=owner)
            for surface in surfaces
            for above in [found.of_organization.get((each.pk, surface.product))]
        ]
    return shown


class _Rows:
    """The stored settings of organizations, and those of the one person in each personal organization."""

    def __init__(self, organizations: Sequence[Organization]) -> None:
        self._organizations = organizations
        rows = PrivacySetting.objects.of_organizations().filter(organization__in=organizations).with_events()
        self.of_organization = {(row.organization_id, row.product): row for row in rows}
        personal = [each for each in organizations if each.kind == Organization.Kind.PERSONAL]
        people = Member.objects.filter(organization__in=personal).select_related("organization", "user")
        self.owners = {member.organization_id: member for member in people} if personal else {}
        own = PrivacySetting.objects.of_members().filter(member__in=self.owners.values()).with_events()
        self._own = {(row.member_id, row.product): row for row in own} if personal else {}
        self.every = [*self.of_organization.values(), *self._own.values()]

    def own(self, owner: Member, surface: Surface) -> PrivacySetting | None:
        return self._own.get((owner.pk, surface.product))

    def counts(self, held: dict[uuid.UUID, frozenset[Permission]]) -> dict[tuple[uuid.UUID, str], int]:
        """(organization id, product) → the number of members opted out, those who left included.

        Only where the actor may view members' choices, that is for the provider: by adding accounts of its own, an
        organization could find out a single member's choice from the count.
        """
        told = [each for each in self._organizations if Permission.MEMBER_CONSENT_VIEW in held[each.pk]]
        if not told:
            return {}
        out = PrivacySetting.objects.of_members().filter(organization__in=told, choice=Choice.OPTED_OUT)
        counted = out.values_list("organization_id", "product").annotate(number=Count("pk")).order_by()
        products = {surface.product for surface in ORGANIZATION_SURFACES}
        return {(each.pk, product): 0 for each in told for product in products} | {
            (organization, product): number for organization, product, number in counted
        }


def decided_by_teams(own: Iterable[Member]) -> list[tuple[str, str]]:
    """(product, team) pairs where only the team decides on the person's data: products without members' choices."""
    teams = [m.organization_id for m in own if m.organization.kind != Organization.Kind.PERSONAL]
    settings = PrivacySetting.objects.of_organizations().filter(organization__in=teams, subscribed=True)
    rows = settings.exclude(product__in=WITH_MEMBERS).order_by("organization__name", "product")
    return [(row.get_product_display(), row.organization.name) for row in rows.select_related("organization")]


class _Reader:
    """The reading actor, their permissions, and the names that they see for the actors of the choices in `rows`."""

    def __init__(
        self,
        actor: Actor,
        plans: dict[str, Plan],
        held: dict[uuid.UUID, frozenset[Permission]],
        rows: Iterable[PrivacySetting],
        counts: dict[tuple[uuid.UUID, str], int] | None = None,
    ) -> None:
        self.actor, self.plans, self.held, self.counts = actor, plans, held, counts or {}
        self.days = CoolingOff.objects.in_force()
        self.names = actors.labels([row.choice_event for row in rows if row.choice_event], actor)

    def word(self, row: PrivacySetting | None, person: Member | None = None) -> Word | None:
        """The choice of the row, None without one; `person`: whose own word it can be, even if an app passed it on."""
        if row is None or row.choice_event is None:
            return None
        event = row.choice_event
        by_reader = _is_by(event, self.actor)
        if person is not None:
            by_reader = self.actor.is_user(person.user_id) and is_own_word(event, person)
        name = self.names[event.pk]
        return Word(event.recorded_at, name, event.by_operator, by_reader, event.source, row.choice, event.reason)


def _is_by(event: ConsentEvent, actor: Actor) -> bool:
    """Whether the actor is the person who did it, signed in, and not for the provider."""
    pk = parse_id(event.actor_id)
    return event.actor_type == ActorType.USER and not event.by_operator and pk is not None and actor.is_user(pk)


def organization_setting(organization: Organization, surface: Surface, actor: Actor) -> SettingView:
    return next(shown for shown in organization_settings(organization, actor) if shown.surface is surface)


def member_setting(member: Member, surface: Surface, actor: Actor) -> SettingView:
    return member_settings([member], surface, actor)[0]


def member_settings(members: Iterable[Member], surface: Surface, actor: Actor) -> list[SettingView]:
    """The setting of each member, in their order; a fixed number of queries if their `organization` is selected."""
    members = list(members)
    organizations = {member.organization_id for member in members}
    rows = PrivacySetting.objects.filter(product=surface.product, organization_id__in=organizations).with_events()
    theirs = {row.member_id: row for row in rows.filter(member__in=members)}
    organization_rows = {row.organization_id: row for row in rows.of_organizations()}
    plans = Plan.objects.in_bulk()
    # Only for other people's settings: nobody needs a permission for their own.
    others = {m.organization_id: m.organization for m in members if not actor.is_user(m.user_id)}
    held = {pk: permissions(actor, organization) for pk, organization in others.items()}
    reader = _Reader(actor, plans, held, [*theirs.values(), *organization_rows.values()])
    return [
        (_build_one_person if m.organization.kind == Organization.Kind.PERSONAL else _build_member)(
            m, surface, above=organization_rows.get(m.organization_id), own=theirs.get(m.pk), reader=reader
        )
        for m in members
    ]


def _build_organization(
    organization: Organization,
    surface: Surface,
    row: PrivacySetting | None,
    *,
    may: bool,
    theirs: bool,
    reader: _Reader,
    owner: Member | None,
) -> SettingView:
    state = _current(organization, row)
    effective, reason = in_effect(state.allowed, state.reason_code)
    return SettingView(
        surface=surface,
        cooling_off=reader.days[surface.product],
        organization=organization,
        member=None,
        effective=effective,
        reason_code=reason,
        since=state.since,
        members_opted_out=reader.counts.get((organization.pk, surface.product)),
        decided_by_organization=False,
        can_opt_out=may,
        can_opt_in=may and rules.opt_in_obstacle(state) is None,
        can_confirm=theirs and _set_by_operator(row),
        opt_in_needs_reason=rules.opt_in_needs_reason(state),
        word=(word := reader.word(row, owner)),
        chosen=word,
        personal=owner is not None,
        **_common(state, row, state, row, reader),  # type: ignore[arg-type]
    )


def _resolve(member: Member, above: State, own: State) -> Decision:
    """A decision now, about new data, as the member and the provider may know it."""
    return rules.resolve(
        rules.Layers(
            now=timezone.now(),
            first_event_at=member.organization.created_at,
            organization=above,
            membership=rules.Membership(member.joined_at, member.left_at),
            member=own,
            member_told=True,
        )
    )


def _build_member(
    member: Member, surface: Surface, *, above: PrivacySetting | None, own: PrivacySetting | None, reader: _Reader
) -> SettingView:
    state = own.state if own else MEMBER_START
    organization = _current(member.organization, above)
    decision = _resolve(member, organization, state)
    effective, reason = in_effect(decision.allowed, decision.reason)
    granted = reader.held.get(member.organization_id, frozenset())
    speaks = reader.actor.is_user(member.user_id) or Permission.MEMBER_CONSENT_SPEAK in granted
    # The organization's choice explains the state if the member made none, or if the organization does not allow it.
    decided_above = state.choice == Choice.DEFAULT or not organization.allowed
    return SettingView(
        surface=surface,
        cooling_off=reader.days[surface.product],
        organization=member.organization,
        member=member,
        effective=effective,
        reason_code=reason,
        since=max((answer.since for answer in decision.layers if answer.since), default=None),
        members_opted_out=None,
        decided_by_organization=not organization.allowed,
        can_opt_out=speaks or Permission.MEMBER_CONSENT_TIGHTEN in granted,
        can_opt_in=speaks and not member.has_left and rules.opt_in_obstacle(organization) is None,
        can_confirm=speaks and _set_by_operator(own),
        opt_in_needs_reason=False,
        word=reader.word(above) if decided_above and state.choice != Choice.OPTED_OUT else reader.word(own, member),
        chosen=reader.word(own, member),
        **_common(state, own, organization, above, reader),  # type: ignore[arg-type]
    )


def _build_one_person(
    owner: Member, surface: Surface, *, above: PrivacySetting | None, own: PrivacySetting | None, reader: _Reader
) -> SettingView:
    """The setting of a personal organization on either surface: the result of its two layers (R17)."""
    organization, state = _current(owner.organization, above), own.state if own else MEMBER_START
    decision = _resolve(owner, organization, state)
    effective, reason = in_effect(decision.allowed, decision.reason)
    on_member = surface.scope is Scope.MEMBER
    granted = reader.held.get(owner.organization_id, frozenset())
    theirs = reader.actor.is_user(owner.user_id) or (on_member and Permission.MEMBER_CONSENT_SPEAK in granted)
    others = Permission.MEMBER_CONSENT_TIGHTEN if on_member else Permission.CONSENT_CHOOSE
    telling = sentences.telling_of(above, own, owner)
    layer = (own if on_member else above, state if on_member else organization)
    # The person sees their one choice; others see the choice in the layer of this surface.
    row, chosen = (telling, telling.state if telling else organization) if theirs else layer
    may_opt_in = theirs or (others in granted and not on_member)
    facts = _common(chosen, row, organization, above, reader)
    version = version_of(each for each in (above, own) if each is not None)
    return SettingView(
        surface=surface,
        cooling_off=reader.days[surface.product],
        organization=owner.organization,
        member=owner if on_member else None,
        effective=effective,
        reason_code=reason,
        since=max((answer.since for answer in decision.layers if answer.since), default=None),
        members_opted_out=None if on_member else reader.counts.get((owner.organization_id, surface.product)),
        decided_by_organization=False,
        can_opt_out=theirs or others in granted,
        can_opt_in=may_opt_in and rules.opt_in_obstacle(organization) is None,
        can_confirm=theirs and telling is not None and not is_own_word(telling.choice_event, owner),
        opt_in_needs_reason=rules.opt_in_needs_reason(organization),
        word=(word := reader.word(telling, owner)),
        chosen=word,
        personal=True,
        **(facts | {"version": version} if theirs else facts),  # type: ignore[arg-type]
    )


def _common(
    state: State,
    row: PrivacySetting | None,
    above: State,
    above_row: PrivacySetting | None,
    reader: _Reader,
) -> dict[str, object]:
    """Fields of every setting: the choice is from its own row; plan, lock and carry are from the organization's row."""
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
        "carried_from_name": _carry_name(carried, above, reader.plans) if carried else "",
        "changed_at": chosen.recorded_at if chosen else None,
        "changed_by": reader.names[chosen.pk] if chosen else None,
        "event": str(chosen.pk) if chosen else None,
        "version": row.version if row else 0,
        "plan": reader.plans.get(above.plan) if above.subscribed else None,
        "default": above.applied_default if above.subscribed else "",
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
