"""Webhook endpoints: creating, changing, pausing, deleting, replaying, rotating secrets, and messages on request."""

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import Act, Actor, ActorType, Forbidden, NotFound, Permission, require
from accounts.leases import withdraw
from accounts.models import Member, MemberRole, Organization

from .. import ledger
from ..errors import Invalid, Refused
from ..models import EndpointStatus, EventKind, PausedBecause, Source, WebhookAttempt, WebhookEndpoint
from ..notices.catalogue import Notice
from ..notices.sending import send
from ..webhooks import positions
from ..webhooks.addresses import checked_url
from ..webhooks.secrets import current_key, previous_until, rotated
from . import layers, trail
from .credentials import readers

_PROVIDER = uuid.UUID(int=0)  # stands for the organization of webhooks without one, which get all events
_ATTEMPT = re.compile(r"[0-9]{1,18}", re.ASCII)
_DETAILS = ("url", "description", "kinds")
# Called with the locked webhook before anything is changed; raises an error to refuse, e.g. for another version.
Check = Callable[[WebhookEndpoint], None]


def _as_it_is(_endpoint: WebhookEndpoint) -> None:
    """Accept any state."""


def create_endpoint(
    *,
    organization: Organization | None,
    url: str,
    actor: Actor,
    source: str,
    description: str = "",
    kinds: Sequence[str] = (),
) -> WebhookEndpoint:
    """Create an endpoint for events from now on; without an organization it gets those of all.

    Raises Forbidden, Invalid, ConfirmationRequired; Refused if there are WEBHOOKS_PER_ORGANIZATION already.
    """
    require(actor, Permission.WEBHOOKS_MANAGE, organization)
    text = layers.clean_text(description, "description", length=200)
    address, wanted = checked_url(url), _checked_kinds(kinds)
    layers.require_confirmed(actor, Act.WEBHOOK_SECRET)
    # Events that are pending happened before: they get positions that this endpoint starts after.
    ledger.sequence()
    with transaction.atomic():
        # Checked again, with the actor's rights locked.
        actor = layers.hold_rights(actor, organization)
        require(actor, Permission.WEBHOOKS_MANAGE, organization)
        there = WebhookEndpoint.objects.filter(organization=organization).count()
        if there >= settings.WEBHOOKS_PER_ORGANIZATION:
            raise Refused("too_many", _("There are %s webhooks already; delete one first.") % there)
        endpoint = WebhookEndpoint.objects.create(
            organization=organization,
            key_id=current_key(),
            url=address,
            description=text,
            kinds=wanted,
            position=ledger.head(),
            created_at=ledger.clock(),
            created_by=actor.person,
        )
        _note(EventKind.ACCESS_WEBHOOK_CREATED, endpoint, actor, source)
    return endpoint


def update_endpoint(
    *, endpoint: WebhookEndpoint, actor: Actor, source: str, expected: Check = _as_it_is, **changes: Any
) -> WebhookEndpoint:
    """Change `url`, `description`, `kinds`, `status`. Made active, it continues at its position at once.

    Pausing what is paused already changes nothing, so that a suspended webhook waits to be taken over as before.

    The person who changes its URL becomes responsible for it: it is suspended when they lose their right (R18).
    Raises Forbidden, Invalid; Refused if a suspended webhook is to be resumed.
    """
    with _held(endpoint, actor) as held:
        expected(held)
        before = {name: getattr(held, name) for name in _DETAILS}
        if "url" in changes:
            held.url = checked_url(changes["url"])
        if "description" in changes:
            held.description = layers.clean_text(changes["description"], "description", length=200)
        if "kinds" in changes:
            held.kinds = _checked_kinds(changes["kinds"])
        if changes.get("status") == EndpointStatus.ACTIVE:
            _refuse_suspended(held)
        if changed := [name for name in _DETAILS if getattr(held, name) != before[name]]:
            if "url" in changed:
                held.created_by = actor.person
            _note(EventKind.ACCESS_WEBHOOK_CHANGED, held, actor, source, after=", ".join(changed))
        if "status" in changes and changes["status"] != held.status:
            held.status = EndpointStatus(changes["status"])
            paused = held.status == EndpointStatus.PAUSED
            held.paused_because = PausedBecause.SOMEBODY if paused else ""
            kind = EventKind.ACCESS_WEBHOOK_PAUSED if paused else EventKind.ACCESS_WEBHOOK_RESUMED
            _note(kind, held, actor, source)
        # Earlier failures don't count any more, and it is tried at once.
        if changes.get("status") == EndpointStatus.ACTIVE or "url" in changed:
            held.failures, held.next_attempt_at = 0, None
        held.save()
    return held


def delete_endpoint(*, endpoint: WebhookEndpoint, actor: Actor, source: str, expected: Check = _as_it_is) -> None:
    """Delete an endpoint with its attempts; events are not touched. Raises Forbidden, NotFound."""
    with _held(endpoint, actor) as held:
        expected(held)
        _note(EventKind.ACCESS_WEBHOOK_DELETED, held, actor, source)
        held.delete()


def replay(*, endpoint: WebhookEndpoint, after: int, actor: Actor, source: str) -> WebhookEndpoint:
    """Send everything after position `after` once more, in order.

    Raises Forbidden; Invalid if the position is beyond the last event that the actor may see.
    """
    with _held(endpoint, actor) as held:
        last = positions.head(held.organization, actor)
        if not 0 <= after <= last:
            raise Invalid("position", _("Give a position from 0 to %s, the last there is.") % last, "after")
        held.position, held.failures, held.next_attempt_at = after, 0, None
        held.save()
        # Without the position: positions are global, so the members of an organization would learn how much happens
        # elsewhere.
        _note(EventKind.ACCESS_WEBHOOK_REPLAYED, held, actor, source)
    return held


def rotate_secret(*, endpoint: WebhookEndpoint, actor: Actor, source: str) -> WebhookEndpoint:
    """Sign with a new secret from now on; the old one signs too for a day. The actor becomes responsible (R18).

    Raises Forbidden, ConfirmationRequired; Refused if the webhook is suspended.
    """
    with _held(endpoint, actor) as held:
        _refuse_suspended(held)
        layers.require_confirmed(actor, Act.WEBHOOK_SECRET)
        held.created_by = actor.person
        _rotate(held)
        _note(EventKind.ACCESS_WEBHOOK_SECRET_ROTATED, held, actor, source)
    return held


def take_over(*, endpoint: WebhookEndpoint, actor: Actor, source: str) -> WebhookEndpoint:
    """Become responsible for a webhook: it continues at its position, signed only with a new secret.

    If it was paused before it was suspended, it stays paused. Raises Forbidden (also for API keys),
    ConfirmationRequired.
    """
    if actor.type == ActorType.API_KEY:
        raise Forbidden(Permission.WEBHOOKS_MANAGE)
    with _held(endpoint, actor) as held:
        layers.require_confirmed(actor, Act.WEBHOOK_SECRET)
        held.created_by = actor.user
        held.failures, held.next_attempt_at = 0, None
        if held.paused_because == PausedBecause.SUSPENDED:
            held.status = EndpointStatus.PAUSED if held.paused_before else EndpointStatus.ACTIVE
            held.paused_because, held.paused_before = held.paused_before, ""
        _rotate(held, overlap=False)
        _note(EventKind.ACCESS_WEBHOOK_TAKEN_OVER, held, actor, source)
    return held


def _refuse_suspended(endpoint: WebhookEndpoint) -> None:
    if endpoint.paused_because == PausedBecause.SUSPENDED:
        raise Refused(
            "suspended",
            _("The person responsible for this webhook may no longer have it. If you take it over, it continues."),
        )


def rotate_keys() -> list[WebhookEndpoint]:
    """Give every webhook whose secret is not from the first of WEBHOOK_KEYS a new one; for a day both sign.

    For a command, after a new key was put first. Owners are told by e-mail. Returns the changed webhooks.
    """
    done = []
    for pk in WebhookEndpoint.objects.order_by("pk").values_list("pk", flat=True):
        # One transaction for each, so that no delivery waits for all of them.
        with transaction.atomic():
            held = (
                WebhookEndpoint.objects.select_for_update(of=("self",))
                .filter(pk=pk)
                .select_related("organization")
                .exclude(key_id=current_key())
                .first()
            )
            if held is not None:
                withdraw(held)
                _rotate(held)
                _note(EventKind.ACCESS_WEBHOOK_SECRET_ROTATED, held, Actor.system(), Source.COMMAND)
                _tell_owners(held)
                done.append(held)
    return done


def _tell_owners(endpoint: WebhookEndpoint) -> None:
    owners = Member.objects.active().filter(
        organization=endpoint.organization_id, role=MemberRole.OWNER, user__is_active=True
    )
    told = owners.order_by("pk").values_list("user__email", flat=True)
    subject = gettext_lazy("A webhook needs its new signing secret")
    send(Notice.SECRET_ROTATED, told, subject, endpoint=endpoint, until=previous_until(endpoint))


def tell_paused(endpoint: WebhookEndpoint, because: str) -> None:
    """Mail the person responsible, or else the owners, or else the operators. Call it in the pausing transaction."""
    person = endpoint.created_by
    told = [person.email] if person is not None and person.is_active else readers(endpoint.organization)
    why = PausedBecause(because).label
    send(Notice.WEBHOOK_PAUSED, told, gettext_lazy("A webhook is paused"), endpoint=endpoint, why=why)


def _rotate(held: WebhookEndpoint, *, overlap: bool = True) -> None:
    for name, value in rotated(held, ledger.clock(), overlap=overlap).items():
        setattr(held, name, value)
    held.save()


def request_test(*, endpoint: WebhookEndpoint, actor: Actor) -> WebhookAttempt:
    """Let a worker send a test message, which is no event. Not in the request, which would wait for another server.

    Raises Forbidden; Refused while the webhook is suspended, or another message of the same organization waits.
    """
    with transaction.atomic():
        return _wait(_locked(endpoint, actor))


def resend(*, endpoint: WebhookEndpoint, attempt: str, actor: Actor) -> WebhookAttempt:
    """Let a worker send the message of an attempt once more, out of order and with the same message id.

    The webhook's position doesn't change. Raises Forbidden, NotFound; Refused for a test, while the webhook is
    suspended, or while another message of the same organization waits.
    """
    with transaction.atomic():
        held = _locked(endpoint, actor)
        known = _ATTEMPT.fullmatch(attempt) and held.attempts.filter(pk=int(attempt)).first()
        if not known:
            raise NotFound("attempt")
        if known.position is None:
            raise Refused("no_event", _("This message was a test, without an event. Send another test."))
        return _wait(held, known.position)


def _wait(held: WebhookEndpoint, position: int | None = None) -> WebhookAttempt:
    """Create an attempt for a worker; Refused if one of the same organization is waiting."""
    _refuse_suspended(held)
    try:
        with transaction.atomic():
            return WebhookAttempt.objects.create(
                endpoint=held,
                position=position,
                at=ledger.clock(),
                delivered=False,
                latency_ms=0,
                waiting_for=held.organization_id or _PROVIDER,
            )
    except IntegrityError:
        # `waiting_for` is unique.
        raise Refused("test_waiting", _("A test is waiting already: wait until it has been sent.")) from None


def _note(kind: EventKind, endpoint: WebhookEndpoint, actor: Actor, source: str, *, after: str = "") -> None:
    trail.note(kind, organization=endpoint.organization, actor=actor, source=source, target=endpoint.pk, after=after)


@contextmanager
def _held(endpoint: WebhookEndpoint, actor: Actor) -> Iterator[WebhookEndpoint]:
    """The endpoint, locked, with its lease withdrawn: a worker that is delivering stops, so it can't skip anything."""
    with transaction.atomic():
        held = _locked(endpoint, actor)
        withdraw(held)
        yield held


def _locked(endpoint: WebhookEndpoint, actor: Actor) -> WebhookEndpoint:
    """Lock the endpoint, and check the actor's current rights. Raises Forbidden; NotFound if it was deleted."""
    actor = layers.hold_rights(actor, endpoint.organization)
    rows = WebhookEndpoint.objects.select_for_update(of=("self",)).select_related("organization")
    held = rows.filter(pk=endpoint.pk).first()
    if held is None:
        raise NotFound("webhook")
    require(actor, Permission.WEBHOOKS_MANAGE, held.organization)
    return held


def _checked_kinds(kinds: Sequence[str]) -> list[str]:
    for kind in kinds:
        if kind not in EventKind.values:
            raise Invalid("unknown_kind", _("There is no kind of event “%s”.") % kind, "kinds")
    return sorted(set(kinds))
