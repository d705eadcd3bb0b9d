"""API keys: issuing, revoking, taking over; and suspending the keys and webhooks of a person who loses rights (R18)."""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import Act, Actor, ActorType, Forbidden, Permission, Responsible, known_scopes, require
from accounts.key_secrets import digest, new_key
from accounts.leases import withdraw
from accounts.models import (
    INSTALLATION_SCOPES,
    OPERATOR_SCOPES,
    ApiKey,
    KeyScope,
    Member,
    MemberRole,
    Organization,
    User,
)
from accounts.operators import require_second_person

from ..errors import Invalid, Refused
from ..models import EndpointStatus, EventKind, PausedBecause, Source, WebhookEndpoint
from ..notices.catalogue import Notice
from ..notices.sending import later, send
from . import layers, trail

NAME_LENGTH = ApiKey._meta.get_field("name").max_length or 0


@dataclasses.dataclass(frozen=True)
class Issued:
    """A key, and its text, which is shown only now; None for a key that waits for a second operator."""

    key: ApiKey
    text: str | None


@transaction.atomic
def issue_key(
    *,
    name: str,
    scopes: Iterable[str],
    actor: Actor,
    source: str,
    organization: Organization | None = None,
    expires_at: dt.datetime | None = None,
) -> Issued:
    """Issue a key of an organization, or, without one, an operator's; the actor becomes responsible for it.

    A key with a scope in INSTALLATION_SCOPES stays valid when its issuer loses their rights, so on a screen it takes
    two operators: it is suspended until another one takes it over. Raises Forbidden (also for API keys), Invalid,
    ConfirmationRequired.
    """
    _require_manager(layers.hold_rights(actor, organization), organization)
    granted = _checked_scopes(scopes, organization)
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("expired", _("This is in the past."), "expires_at")
    title = layers.clean_text(name, "name", required=True, length=NAME_LENGTH)
    layers.require_confirmed(actor, Act.KEY_ISSUE)
    outlives = bool(INSTALLATION_SCOPES & set(granted))
    waits = outlives and actor.type == ActorType.USER
    new = new_key()
    key = ApiKey.objects.create(
        name=title,
        prefix=new.prefix,
        hash=new.hash,
        scopes=granted,
        organization=organization,
        expires_at=expires_at,
        issued_by=actor.user,
        # Such a key is not suspended when its issuer loses rights.
        installation=outlives or actor.type == ActorType.COMMAND,
        suspended_at=timezone.now() if waits else None,
    )
    _note(EventKind.ACCESS_KEY_CREATED, key, actor, source, after=", ".join(granted))
    return Issued(key, None if waits else new.text)


def is_text_of(key: ApiKey, text: str) -> bool:
    """Whether this is what the key's hash was made of; the key may have got another text since."""
    return bool(text) and constant_time_compare(digest(text), key.hash)


@transaction.atomic
def revoke_key(*, key: ApiKey, actor: Actor, source: str) -> bool:
    """End a key for good, at once; returns False if it was revoked before. Raises Forbidden."""
    _require_manager(actor, key.organization)
    ended = bool(ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()))
    if ended:
        _note(EventKind.ACCESS_KEY_REVOKED, key, actor, source)
    return ended


def is_usable(key: ApiKey) -> bool:
    """Whether requests with this key are answered now: it has not ended, and is worth something (R18)."""
    return key.is_live(timezone.now()) and Actor.from_key(key).has_worth


@transaction.atomic
def take_over_key(*, key: ApiKey, actor: Actor, source: str) -> Issued:
    """Become responsible for a key: it works again, with a new secret; the old secret is invalid.

    A key with INSTALLATION_SCOPES takes two people: its issuer and, while it is suspended, the one who takes it over.
    Raises Forbidden, ConfirmationRequired; Refused if the key has ended, or is such a key and the case is another.
    """
    _require_manager(layers.hold_rights(actor, key.organization), key.organization)
    held = ApiKey.objects.select_for_update(of=("self",)).select_related("organization").get(pk=key.pk)
    if held.has_ended(timezone.now()):
        raise Refused("ended", _("This key is no longer valid. Create another one."))
    outlives = bool(INSTALLATION_SCOPES & set(held.scopes))
    if outlives and actor.type == ActorType.USER and actor.user is not None:
        # Not while such a key is in use: the one person who takes it over would alone have its new text.
        if held.suspended_at is None or actor.user.pk == held.issued_by_id:
            text = _("A key that belongs to the installation needs two operators. Ask another one.")
            raise Refused("second_operator", text)
        require_second_person(actor.user, asked_at=held.suspended_at, involved=(held.issued_by_id,))
    layers.require_confirmed(actor, Act.KEY_TAKE_OVER)
    # The prefix stays: it is the name by which people and logs know the key.
    new = new_key(held.prefix)
    held.hash, held.issued_by, held.suspended_at = new.hash, actor.user, None
    held.installation = outlives or actor.type == ActorType.COMMAND
    held.save(update_fields=["hash", "issued_by", "suspended_at", "installation"])
    _note(EventKind.ACCESS_KEY_TAKEN_OVER, held, actor, source)
    return Issued(held, new.text)


def _note(kind: EventKind, key: ApiKey, actor: Actor, source: str, *, after: str = "") -> None:
    trail.note(kind, organization=key.organization, actor=actor, source=source, target=key.pk, after=after)


def _require_manager(actor: Actor, organization: Organization | None) -> None:
    """Raise Forbidden, except for people who manage keys there, and for commands, which have the database anyway."""
    if actor.type == ActorType.COMMAND:
        return
    if actor.type != ActorType.USER:
        raise Forbidden(Permission.KEYS_MANAGE)
    require(actor, Permission.KEYS_MANAGE, organization)


def _checked_scopes(scopes: Iterable[str], organization: Organization | None) -> list[str]:
    named = set(scopes)
    if unknown := sorted(named - set(KeyScope.values)):
        raise Invalid("unknown_scope", _("There is no scope “%s”.") % unknown[0], "scopes")
    granted = known_scopes(named)
    if not granted:
        raise Invalid("required", _("A key needs at least one scope."), "scopes")
    if organization is not None and (beyond := OPERATOR_SCOPES & set(granted)):
        text = _("The scope %(scope)s is for operator keys only.") % {"scope": ", ".join(sorted(beyond))}
        raise Invalid("operator_scope", text, "scopes")
    return granted


# --- Suspending -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Suspended:
    keys: Sequence[ApiKey]
    webhooks: Sequence[WebhookEndpoint]


@transaction.atomic
def suspend_for(
    user: User, organization: Organization | None = None, *, actor: Actor, source: str = Source.COMMAND
) -> Suspended:
    """Suspend the keys and webhooks that this person is responsible for but may not have any more.

    In one organization, or everywhere. Call it in the transaction that takes rights away, after the change: a member
    leaves or gets a lesser role, a person is deactivated or stops being an operator. `actor` made that change.
    They stay suspended even if the person comes back. The owners, or else the operators, are told by e-mail.
    """
    of: dict[str, object] = {} if organization is None else {"organization": organization}
    keys = ApiKey.objects.filter(issued_by=user, installation=False, suspended_at=None, revoked_at=None, **of)
    hooks = WebhookEndpoint.objects.filter(created_by=user, **of).exclude(paused_because=PausedBecause.SUSPENDED)
    lost_keys = [each for each in keys.select_for_update().order_by("pk") if not may_answer(user, each)]
    lost_hooks = [each for each in hooks.select_for_update().order_by("pk") if not may_answer(user, each)]
    for key in lost_keys:
        key.suspended_at = timezone.now()
        key.save(update_fields=["suspended_at"])
        _note(EventKind.ACCESS_KEY_SUSPENDED, key, actor, source)
    for hook in lost_hooks:
        # A worker that is delivering now loses its lease, so that the position stays what has been delivered.
        hook.paused_before = hook.paused_because
        hook.status, hook.paused_because = EndpointStatus.PAUSED, PausedBecause.SUSPENDED
        withdraw(hook)
        hook.save(update_fields=["paused_before", "status", "paused_because", "leased_until", "fence"])
        kind, organization_of = EventKind.ACCESS_WEBHOOK_SUSPENDED, hook.organization
        trail.note(kind, organization=organization_of, actor=actor, source=source, target=hook.pk)
    suspended = Suspended(lost_keys, lost_hooks)
    _tell(suspended, user)
    return suspended


def may_answer(user: User, credential: ApiKey | WebhookEndpoint) -> bool:
    """Whether this person may now have such a credential, in its organization or as an operator."""
    needed = Permission.KEYS_MANAGE if isinstance(credential, ApiKey) else Permission.WEBHOOKS_MANAGE
    return needed in Responsible.now(user, credential.organization_id).permissions


def _tell(suspended: Suspended, former: User) -> None:
    """Send one message per organization and recipient; credentials without organization go to operators."""
    lost: dict[object, list[str]] = defaultdict(list)
    for key in suspended.keys:
        lost[key.organization_id].append(
            later(gettext_lazy("API key “%(name)s” (%(prefix)s…)"), {"name": key.name, "prefix": key.prefix})
        )
    for hook in suspended.webhooks:
        lost[hook.organization_id].append(later(gettext_lazy("Webhook to %(url)s"), {"url": hook.url}))
    named = Organization.objects.in_bulk([pk for pk in lost if pk is not None])
    for pk, what in lost.items():
        organization = named.get(pk)
        subject = gettext_lazy("API keys or webhooks have been suspended")
        send(Notice.SUSPENDED, readers(organization, former), subject, organization=organization, what=what)


def readers(organization: Organization | None, former: User | None = None) -> list[str]:
    """The addresses of the organization's owners, or, if it has none, of the operators; without that of `former`."""
    people = User.objects.filter(is_active=True).order_by("pk")
    if former is not None:
        people = people.exclude(pk=former.pk)
    if organization is not None:
        owners = Member.objects.active().filter(organization=organization, role=MemberRole.OWNER)
        if found := list(people.filter(pk__in=owners.values("user_id")).values_list("email", flat=True)):
            return found
    return list(people.filter(is_staff=True).values_list("email", flat=True))
