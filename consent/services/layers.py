"""What services have in common: cleaning input, checking rights, locking rows before reading them, writing layers."""

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
    """The text without surrounding space.

    Raises Invalid if it is longer than `length`, empty though required, or has line breaks or invisible characters.
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
            _("This has %(given)s characters; at most %(length)s are allowed.")
            % {"length": length, "given": len(text)},
            field,
        )
    if code := line_break_in(text):
        raise Invalid(
            "line_break", _("Write this on one line, without line breaks (%(code)s).") % {"code": code}, field
        )
    return text


def clean_name(name: str, *, required: bool = False) -> str:
    """A name of somebody or something. Raises Invalid like `clean_text`, and if it has no visible character."""
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
    """The origin of a change. Raises Forbidden if the actor lacks the permission, Invalid for an unknown source."""
    require(actor, permission, organization)
    if source not in Source.values:
        raise Invalid("unknown_source", _("There is no source “%s”.") % source, "source")
    # On the operators' site and by command people always act for the provider, even if they are members.
    always = organization is None or source in (Source.ADMIN, Source.COMMAND)
    by_operator = (actor.is_operator and always) or (
        organization is not None and speaks_for_provider(actor, permission, organization)
    )
    return ledger.Origin(actor=actor, source=source, by_operator=by_operator, reason=reason, reference=reference)


def require_confirmed(actor: Actor, act: Act | None) -> None:
    """Raise ConfirmationRequired if a signed-in person has not confirmed who they are recently; not for `act` None."""
    if act is not None and actor.needs_confirmation:
        raise ConfirmationRequired(act)


def hold_rights(actor: Actor, organization: Organization | None) -> Actor:
    """The actor as stored now; the rows that their rights come from stay locked until the end of the transaction.

    For services that create a credential or give one to somebody. Without the locks it could be created just after
    `suspend_for` has looked for credentials of a person who loses rights. Services that take rights away lock the same
    rows in the same order. Raises Forbidden for a key that has ended.
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
    """The organization as stored now, locked until the end of the transaction."""
    return Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def hold_plan(plan: Plan) -> Plan:
    """The plan as stored now, locked FOR SHARE until the end of the transaction, so that its default can't change."""
    # FOR SHARE, which Django has no method for: many subscriptions to one plan must not wait for each other.
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM accounts_plan WHERE key = %s FOR SHARE", [plan.key])
    return Plan.objects.get(pk=plan.pk)


def hold_plans() -> None:
    """Lock all plans as `hold_plan` does."""
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
    """The state in events about a membership: `since` is the start of the current, or last, membership."""
    return State(allowed=not left, reason_code=Reason.MEMBER_LEFT if left else Reason.DEFAULT, since=joined_at)


def ensure_settings(subjects: Iterable[tuple[Organization, str]]) -> list[PrivacySetting]:
    """Create the missing settings of these (organization, product); safe under concurrent creation.

    Returns an object for each as a new one, also for those that existed: read them again if that matters.
    """
    return PrivacySetting.objects.bulk_create(
        # Always in the same order, so that two transactions that create the same rows can't deadlock.
        [
            PrivacySetting(organization=organization, product=product)
            for organization, product in sorted(subjects, key=lambda subject: (subject[0].pk, subject[1]))
        ],
        ignore_conflicts=True,
    )


def lock_all_settings(organization: Organization) -> list[PrivacySetting]:
    """The organization's settings for all products, created if missing, and locked."""
    ensure_settings((organization, product) for product in Product.values)
    rows = PrivacySetting.objects.of_organizations().filter(organization=organization)
    return list(rows.select_for_update(no_key=True).order_by("pk"))


def lock_setting(organization: Organization, product: str) -> PrivacySetting:
    """The organization's setting for a product, created if missing, locked, and read after the lock."""
    return lock_settings([(organization, product)])[organization.pk, product]


def lock_settings(subjects: Iterable[tuple[Organization, str]]) -> dict[tuple[uuid.UUID, str], PrivacySetting]:
    """The settings of these organizations and products, created if missing, locked, and read after the lock.

    Without joins: after waiting for a lock PostgreSQL reads the locked row again, but not the rows joined to it.
    """
    wanted = {(organization.pk, product): organization for organization, product in subjects}
    # Most settings exist, so look first: an INSERT for each of them would only find conflicts.
    found = _locked_settings(wanted)
    if missing := wanted.keys() - found.keys():
        # Checked only if settings are missing: those of an unknown product can't exist.
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
    """A member's own setting for a product, created if missing, and locked; the caller must have locked the member."""
    return lock_member_settings([member], product)[member.pk]


def lock_member_settings(members: Iterable[Member], product: str) -> dict[uuid.UUID, PrivacySetting]:
    """Members' own settings for a product, created if missing, and locked; the caller must have locked the members."""
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
    """An event about a setting, and the setting's state after it."""

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
    """Write one event about one locked setting; returns the setting as stored afterwards."""
    write_many([Change(setting, kind, state, before, after, surface)], origin, at)
    setting.refresh_from_db()
    return setting


def write_many(changes: Sequence[Change], origin: ledger.Origin, at: dt.datetime) -> None:
    """Write an event about each of these locked settings, all of one instant; the objects get the new states.

    Their versions and ids of events are not updated: read the settings again before using those.
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
    """An earlier start of what a setting allows; `denied`: all spans in which its layer denied, by the ledger."""

    setting: PrivacySetting
    since: dt.datetime
    denied: tuple[Span, ...] = ()


def attest_many(starts: Iterable[Attested], origin: ledger.Origin, at: dt.datetime) -> None:
    """Write an event for each earlier start, with `origin.reference`; settings that don't allow use are skipped."""
    kind = EventKind.SINCE_ATTESTED
    allowed = [each for each in starts if each.setting.allowed]
    states = [rules.attest(each.setting.state, each.since, each.denied) for each in allowed]
    write_many([Change(each.setting, kind, state) for each, state in zip(allowed, states, strict=True)], origin, at)
