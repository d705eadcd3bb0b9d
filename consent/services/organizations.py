"""Organizations: creating (one or many), changing, closing, reopening."""

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.access import Act, Actor, Permission
from accounts.catalogue import Product
from accounts.fields import MICROSECOND
from accounts.models import Member, NameWord, Organization, OrganizationKind, OrganizationStatus, Plan

from .. import ledger, rules
from ..errors import Invalid, Refused
from ..models import EventKind
from ..rules import Choice
from ..surfaces import organization_surface
from . import choices, external_ids, layers, members, one_person, plans
from .choices import Chosen
from .external_ids import Subject
from .members import Newcomer
from .plans import Move

_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrganizationDraft:
    """The data of a new organization; `owner`: (e-mail, name) of a personal one; `choices`: product → choice."""

    name: str
    kind: str = OrganizationKind.TEAM
    external_id: str | None = None
    country: str = ""
    owner: tuple[str, str] | None = None
    subscriptions: Sequence[Plan] = ()
    choices: Mapping[str, str] = dataclasses.field(default_factory=dict)


def clean_name(name: str) -> str:
    return layers.clean_name(name, required=True)


def clean_country(country: str) -> str:
    code = country.strip().upper()
    if code and not _COUNTRY.fullmatch(code):
        raise Invalid(
            "invalid", _("“%(value)s” is not a country: two letters, like FR.") % {"value": country}, "country"
        )
    return code


def clean_draft(draft: OrganizationDraft) -> OrganizationDraft:
    """The draft with normalized values. Raises Invalid, naming the field."""
    if draft.kind not in OrganizationKind.values:
        raise Invalid("unknown_kind", _("There is no kind “%(value)s”.") % {"value": draft.kind}, "kind")
    if (draft.kind == OrganizationKind.PERSONAL) != (draft.owner is not None):
        raise Invalid("owner", _("An owner has to be given for a personal organization, and only for one."), "owner")
    products = [plan.product for plan in draft.subscriptions]
    if len(set(products)) != len(products):
        raise Invalid("subscriptions", _("One plan per product."), "subscriptions")
    for product, choice in draft.choices.items():
        if product not in Product.values:
            raise Invalid("unknown_product", _("There is no product “%(value)s”.") % {"value": product}, "choices")
        if choice not in (Choice.OPTED_IN, Choice.OPTED_OUT):
            raise Invalid("unknown_choice", _("Choose “opted_in” or “opted_out”."), f"choices/{product}")
        if choice == Choice.OPTED_IN:
            raise Invalid(
                "opted_in",
                _("A new organization can be opted out from the start; opting in is a separate step."),
                f"choices/{product}",
            )
    return dataclasses.replace(
        draft,
        name=clean_name(draft.name),
        external_id=external_ids.clean_external_id(draft.external_id),
        country=clean_country(draft.country),
        owner=(members.clean_email(draft.owner[0]), layers.clean_name(draft.owner[1])) if draft.owner else None,
    )


def create_organization(*, draft: OrganizationDraft, actor: Actor, source: str) -> Organization:
    """Create one. Raises Forbidden, Invalid, Refused if the external id is taken, ConfirmationRequired."""
    return create_organizations([draft], actor=actor, source=source)[0]


@transaction.atomic
def create_organizations(drafts: Sequence[OrganizationDraft], *, actor: Actor, source: str) -> list[Organization]:
    """Create all or none, with owners, opt-outs and subscriptions: in that order, so that use is never allowed between.

    The number of statements doesn't depend on the number of organizations. Raises Forbidden, Invalid, Refused if an
    external id is taken; ConfirmationRequired if a draft names an owner, which gives authority.
    """
    origin = layers.origin(actor, source, Permission.ORGANIZATION_CREATE, None)
    drafts = [clean_draft(draft) for draft in drafts]
    if any(draft.owner for draft in drafts):
        layers.require_confirmed(actor, Act.ROLE_GIVE)
    external_ids.refuse_taken([draft.external_id for draft in drafts if draft.external_id])
    at = ledger.clock()
    with external_ids.taken_meanwhile():
        made = Organization.objects.bulk_create(
            Organization(
                name=draft.name,
                kind=draft.kind,
                external_id=draft.external_id,
                country=draft.country,
                created_at=at,
                changed_at=at,
            )
            for draft in drafts
        )
    pairs = list(zip(made, drafts, strict=True))
    external_ids.start([(Subject(each), draft.external_id, at) for each, draft in pairs], at)
    ledger.record(
        [
            ledger.event(
                EventKind.ORGANIZATION_CREATED,
                organization=each,
                origin=origin,
                at=at,
                state=ledger.NO_LAYER,
                after=each.kind,
            )
            for each in made
        ]
    )
    _let_owners_in(pairs, origin)
    _start_layers(pairs, origin, at)
    return made


_Pairs = Sequence[tuple[Organization, OrganizationDraft]]


def _let_owners_in(pairs: _Pairs, origin: ledger.Origin) -> None:
    owners = [(organization, *draft.owner) for organization, draft in pairs if draft.owner]
    # Reversed, so that of several names for one address the first counts.
    users = members.get_or_create_users({email: name for _organization, email, name in reversed(owners)})
    newcomers = [Newcomer(organization, users[email], Member.Role.OWNER) for organization, email, _name in owners]
    members.join_many(newcomers, origin)


def _start_layers(pairs: _Pairs, origin: ledger.Origin, created_at: dt.datetime) -> None:
    """Write the opt-outs first, then the subscriptions a microsecond later."""
    made = layers.ensure_settings(
        (organization, product)
        for organization, draft in pairs
        for product in {*draft.choices, *(plan.product for plan in draft.subscriptions)}
    )
    settings = {(each.organization_id, each.product): each for each in made}
    chosen = [
        Chosen(settings[organization.pk, product], choice, organization_surface(product))
        for organization, draft in pairs
        for product, choice in draft.choices.items()
    ]
    moves = [
        Move(settings[organization.pk, plan.product], plan)
        for organization, draft in pairs
        for plan in draft.subscriptions
    ]
    # The events of one layer need different instants (R7).
    choices.choose_many(chosen, origin, created_at + MICROSECOND)
    plans.subscribe_many(moves, origin, created_at + 2 * MICROSECOND)


class OrganizationChanges(TypedDict, total=False):
    name: str
    external_id: str | None
    country: str
    kind: str


@transaction.atomic
def update_organization(
    *, organization: Organization, actor: Actor, source: str, reason: str = "", **changes: Unpack[OrganizationChanges]
) -> Organization:
    """Change details; a value that is the same already writes nothing. An external id of None withdraws the one shown.

    Raises Forbidden, Invalid, Refused.
    """
    origin = layers.origin(
        actor, source, Permission.ORGANIZATION_EDIT, organization, reason=layers.clean_text(reason, "reason")
    )
    organization = layers.lock_organization(organization)
    wanted: dict[str, object] = {}
    if "name" in changes:
        wanted["name"] = clean_name(changes["name"])
    if "country" in changes:
        wanted["country"] = clean_country(changes["country"])
    changed = {field: value for field, value in wanted.items() if getattr(organization, field) != value}
    if changed:
        # Names stay out of the ledger (R14): the event says which fields, not what is in them.
        _save(organization, EventKind.ORGANIZATION_UPDATED, origin, changed, after=", ".join(sorted(changed)))
    if "name" in changed:
        # Nobody is found by a name that is gone, an erased one above all; the worker stores the new one's words.
        NameWord.objects.filter(organization=organization).delete()
    if "external_id" in changes:
        value = external_ids.clean_external_id(changes["external_id"])
        external_ids.give(Subject(organization), value, origin)
    if "kind" in changes and changes["kind"] != organization.kind:
        _check_kind(organization, changes["kind"])
        _change_kind(organization, changes["kind"], origin)
    return organization


def _change_kind(organization: Organization, after: str, origin: ledger.Origin) -> None:
    """Change the kind. If it becomes personal, an opt-out in one layer is copied to the other, at one instant (R17)."""
    personal = after == OrganizationKind.PERSONAL
    every = one_person.lock_opted_out(organization) if personal else []
    at = ledger.clock(organization.changed_at, *(each.changed_at for both in every for each in both))
    kind, before = EventKind.ORGANIZATION_KIND_CHANGED, organization.kind
    _save(organization, kind, origin, {"kind": after}, before=before, after=after, at=at)
    for both in every:
        choices.spread_opt_out(both, origin, at)


def _check_kind(organization: Organization, kind: str) -> None:
    if kind not in OrganizationKind.values:
        raise Invalid("unknown_kind", _("There is no kind “%(value)s”.") % {"value": kind}, "kind")
    if kind == OrganizationKind.PERSONAL:
        # Two are enough to see that there is more than one.
        roles = list(Member.objects.active().filter(organization=organization).values_list("role", flat=True)[:2])
        if organization.had_others or roles != [Member.Role.OWNER]:
            text = _("Only an organization that never had another member than its owner can be personal.")
            raise Refused("personal", text, "kind")


def _save(
    organization: Organization,
    kind: EventKind,
    origin: ledger.Origin,
    changed: Mapping[str, object],
    *,
    before: str = "",
    after: str = "",
    at: dt.datetime | None = None,
) -> None:
    at = at or ledger.clock(organization.changed_at)
    for field, value in {**changed, "changed_at": at}.items():
        setattr(organization, field, value)
    organization.save(update_fields=[*changed, "changed_at"])
    ledger.record(
        [
            ledger.event(
                kind, organization=organization, origin=origin, at=at, state=ledger.NO_LAYER, before=before, after=after
            )
        ]
    )


def close_organization(*, organization: Organization, actor: Actor, source: str, reason: str) -> Organization:
    """Close the account: none of its data may be used from now on. If it is closed already, nothing is written."""
    reason = layers.clean_text(reason, "reason", required=True)
    origin = layers.origin(actor, source, Permission.ORGANIZATION_STATUS, organization, reason=reason)
    return _set_status(organization, OrganizationStatus.CLOSED, origin)


def reopen_organization(*, organization: Organization, actor: Actor, source: str, reason: str) -> Organization:
    """Reopen the account, with its choices as they were. If it is open already, nothing is written."""
    reason = layers.clean_text(reason, "reason", required=True)
    origin = layers.origin(actor, source, Permission.ORGANIZATION_STATUS, organization, reason=reason)
    return _set_status(organization, OrganizationStatus.ACTIVE, origin)


@transaction.atomic
def _set_status(organization: Organization, status: OrganizationStatus, origin: ledger.Origin) -> Organization:
    organization = layers.lock_organization(organization)
    if organization.status == status:
        return organization
    closes = status == OrganizationStatus.CLOSED
    kind = EventKind.ORGANIZATION_CLOSED if closes else EventKind.ORGANIZATION_REOPENED
    transition = rules.close if closes else rules.reopen
    # One event per product, all of one instant: so at no instant are some products closed and others not (R7).
    settings = layers.lock_all_settings(organization)
    at = ledger.clock(organization.changed_at, *(setting.changed_at for setting in settings))
    before, organization.status, organization.changed_at = organization.status, status, at
    organization.save(update_fields=["status", "changed_at"])
    ledger.record(
        [
            ledger.event(
                kind,
                organization=organization,
                product=setting.product,
                origin=origin,
                at=at,
                state=transition(setting.state, at),
                before=before,
                after=status,
            )
            for setting in settings
        ]
    )
    return organization
