"""What every service starts with: a transaction, the subject's row locked and read after the lock, and the origin."""

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import characters
from accounts.access import Act, Actor, Forbidden, Permission, require, speaks_for_provider
from accounts.catalogue import Product
from accounts.fields import line_break_in
from accounts.models import ApiKey, Member, Organization, Plan, User

from .. import ledger, rules
from ..errors import ConfirmationRequired, Invalid
from ..models import ConsentEvent, EventKind, PrivacySetting, Source
from ..rules import MEMBER_START, Reason, Span, State
from ..surfaces import Surface

REASON_LENGTH = ConsentEvent._meta.get_field("reason").max_length or 0
REFERENCE_LENGTH = ConsentEvent._meta.get_field("reference").max_length or 0
NAME_LENGTH = Organization._meta.get_field("name").max_length or 0


def clean_text(value: str, field: str, *, required: bool = False, length: int = REASON_LENGTH) -> str:
    """A text of one line without surrounding space.

    Raises Invalid where it is too long, empty though required, or holds what can't be seen.
    """
    try:
        text = characters.tidy(value.strip()).strip()
    except characters.Unusable as error:
        raise Invalid("invalid", error.told, field) from None
    if required and not text:
        raise Invalid("required", _("Give a value for %s.") % field, field)
    if len(text) > length:
        raise Invalid(
            "too_long",
            _("At most %(length)s characters are kept, not %(given)s.") % {"length": length, "given": len(text)},
            field,
        )
    if code := line_break_in(text):
        raise Invalid(
            "line_break", _("Write it in one line: a line break (%(code)s) can't be kept.") % {"code": code}, field
        )
    return text


def clean_name(name: str, *, required: bool = False) -> str:
    """What somebody or something is called. Raises Invalid like `clean_text`, and where there is nothing to see."""
    text = clean_text(name, "name", required=required, length=NAME_LENGTH)
    try:
        characters.refuse_hidden_in_name(text)
    except characters.Unusable as error:
        raise Invalid("invalid", error.told, "name") from None
    if text and not characters.has_visible(text):
        raise Invalid("invalid", _("A name needs at least one visible character."), "name")
    return text


def origin(
    actor: Actor,
    source: str,
    permission: Permission,
    organization: Organization | None,
    *,
    reason: str = "",
    reference: str = "",
) -> ledger.Origin:
    """Who acts, from where, why; raises Forbidden without the permission, Invalid for an unknown source."""
    require(actor, permission, organization)
    if source not in Source.values:
        raise Invalid("unknown_source", _("There is no source “%s”.") % source, "source")
    # On the operators' site and by command it is always the provider who acts, whatever else that person is.
    always = organization is None or source in (Source.ADMIN, Source.COMMAND)
    by_operator = (actor.is_operator and always) or (
        organization is not None and speaks_for_provider(actor, permission, organization)
    )
    return ledger.Origin(actor=actor, source=source, by_operator=by_operator, reason=reason, reference=reference)


def require_confirmed(actor: Actor, act: Act | None) -> None:
    """Raise ConfirmationRequired for a signed-in person who has not shown lately who they are; None asks nobody."""
    if act is not None and actor.needs_confirmation:
        raise ConfirmationRequired(act)


def hold_rights(actor: Actor, organization: Organization | None) -> Actor:
    """The actor as stored now, with what their rights come from held until the end of the transaction.

    For what makes a credential, or gives one to somebody: else it could be made just after those of somebody who
    leaves were looked through. What is locked here, in this order, is what those who take rights away lock too.
    Raises Forbidden for a key that has ended.
    """
    if organization is not None:
        lock_organization(organization)
    if actor.person is not None:
        User.objects.select_for_update(no_key=True).get(pk=actor.person.pk)
    if actor.key is not None:
        key = ApiKey.objects.select_for_update(of=("self",), no_key=True).get(pk=actor.key.pk)
        if not key.is_live(timezone.now()):
            raise Forbidden("key")
        return Actor.from_key(key)
    if actor.user is not None:
        return dataclasses.replace(actor, user=User.objects.get(pk=actor.user.pk))
    return actor


def lock_organization(organization: Organization) -> Organization:
    """The organization as it is now, its row locked until the end of the transaction."""
    return Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def hold_plan(plan: Plan) -> Plan:
    """The plan as it is now, its default held as it is until the end of the transaction; subscribers share the hold."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM accounts_plan WHERE key = %s FOR SHARE", [plan.key])
    return Plan.objects.get(pk=plan.pk)


def hold_plans() -> None:
    """All of them, as `hold_plan` does."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM accounts_plan ORDER BY key FOR SHARE")


def lock_member(member: Member) -> Member:
    return (
        Member.objects.select_for_update(of=("self",), no_key=True)
        .select_related("organization", "user")
        .get(pk=member.pk)
    )


def membership_state(joined_at: dt.datetime, *, left: bool = False) -> State:
    """What an event says of the membership: `since` is the last joining."""
    return State(allowed=not left, reason_code=Reason.MEMBER_LEFT if left else Reason.DEFAULT, since=joined_at)


def ensure_settings(subjects: Iterable[tuple[Organization, str]]) -> list[PrivacySetting]:
    """The rows of these organizations and products are there, whoever makes them first; returns each as it is new."""
    return PrivacySetting.objects.bulk_create(
        # In one order, so that two who make the same rows wait for each other, and not both for both.
        [
            PrivacySetting(organization=organization, product=product)
            for organization, product in sorted(subjects, key=lambda subject: (subject[0].pk, subject[1]))
        ],
        ignore_conflicts=True,
    )


def lock_all_settings(organization: Organization) -> list[PrivacySetting]:
    """The organization's settings for every product there is, made if need be, and locked."""
    ensure_settings((organization, product) for product in Product.values)
    rows = PrivacySetting.objects.of_organizations().filter(organization=organization)
    return list(rows.select_for_update(no_key=True).order_by("pk"))


def lock_setting(organization: Organization, product: str) -> PrivacySetting:
    """The organization's setting for a product, made if need be, locked, and read after the lock."""
    return lock_settings([(organization, product)])[organization.pk, product]


def lock_settings(subjects: Iterable[tuple[Organization, str]]) -> dict[tuple[uuid.UUID, str], PrivacySetting]:
    """The settings of these organizations and products, made if need be, locked, and read after the lock.

    Without joins: a row that was waited for is read anew, but what is joined to it is not.
    """
    wanted = {(organization.pk, product): organization for organization, product in subjects}
    found = _locked_settings(wanted)
    if missing := wanted.keys() - found.keys():
        if unknown := {product for _pk, product in missing} - set(Product.values):
            raise Invalid("unknown_product", f"There is no product “{min(unknown)}”.", "product")
        ensure_settings((wanted[pk, product], product) for pk, product in missing)
        found |= _locked_settings(missing)
    for key, setting in found.items():
        setting.organization = wanted[key]
    return found


def _locked_settings(keys: Collection[tuple[uuid.UUID, str]]) -> dict[tuple[uuid.UUID, str], PrivacySetting]:
    rows = PrivacySetting.objects.of_organizations().filter(
        organization__in={pk for pk, _product in keys}, product__in={product for _pk, product in keys}
    )
    locked = rows.select_for_update(no_key=True).order_by("pk")
    return {key: each for each in locked if (key := (each.organization_id, each.product)) in keys}


def lock_member_setting(member: Member, product: str) -> PrivacySetting:
    """A member's own setting; the caller has locked the member."""
    return lock_member_settings([member], product)[member.pk]


def lock_member_settings(members: Iterable[Member], product: str) -> dict[uuid.UUID, PrivacySetting]:
    """Members' own settings for a product, made if need be, locked, and read after it; the members are locked."""
    wanted = {member.pk: member for member in members}
    found = _locked_of_members(wanted, product)
    if missing := sorted(wanted.keys() - found.keys()):
        fresh = [_blank_of_member(wanted[pk], product) for pk in missing]
        PrivacySetting.objects.bulk_create(fresh, ignore_conflicts=True)
        found |= _locked_of_members(missing, product)
    for pk, setting in found.items():
        setting.member, setting.organization = wanted[pk], wanted[pk].organization
    return found


def _locked_of_members(members: Collection[uuid.UUID], product: str) -> dict[uuid.UUID, PrivacySetting]:
    rows = PrivacySetting.objects.of_members().filter(product=product, member__in=members)
    return {pk: each for each in rows.select_for_update(no_key=True).order_by("pk") if (pk := each.member_id)}


def _blank_of_member(member: Member, product: str) -> PrivacySetting:
    setting = PrivacySetting(organization=member.organization, member=member, product=product)
    setting.put_state(MEMBER_START)
    return setting


class Change(NamedTuple):
    """What happens to a setting, and what that makes of it."""

    setting: PrivacySetting
    kind: EventKind
    state: State
    before: str = ""
    after: str = ""
    surface: Surface | None = None


def write(
    setting: PrivacySetting,
    kind: EventKind,
    state: State,
    origin: ledger.Origin,
    at: dt.datetime,
    *,
    surface: Surface | None = None,
    before: str = "",
    after: str = "",
) -> PrivacySetting:
    """One event about one locked setting, and the setting as it is afterwards."""
    write_many([Change(setting, kind, state, before, after, surface)], origin, at)
    setting.refresh_from_db()
    return setting


def write_many(changes: Sequence[Change], origin: ledger.Origin, at: dt.datetime) -> None:
    """An event about each of these locked settings, all of one instant; their objects have the new states.

    Where they are used further, by version or event, they are to be read again.
    """
    ledger.record(
        [
            ledger.event(
                each.kind,
                organization=each.setting.organization,
                member=each.setting.member,
                product=each.setting.product,
                surface=each.surface,
                before=each.before,
                after=each.after,
                origin=origin,
                at=at,
                state=each.state,
            )
            for each in changes
        ]
    )
    for each in changes:
        each.setting.put_state(each.state)


class Attested(NamedTuple):
    """From when on the layer of a setting was allowed already; `denied`: all spans in which it is known to deny."""

    setting: PrivacySetting
    since: dt.datetime
    denied: tuple[Span, ...] = ()


def attest_many(starts: Iterable[Attested], origin: ledger.Origin, at: dt.datetime) -> None:
    """Earlier starts, which `origin.reference` answers for, an event each; of what is not allowed nothing is said."""
    kind = EventKind.SINCE_ATTESTED
    allowed = [each for each in starts if each.setting.allowed]
    states = [rules.attest(each.setting.state, each.since, each.denied) for each in allowed]
    write_many([Change(each.setting, kind, state) for each, state in zip(allowed, states, strict=True)], origin, at)
