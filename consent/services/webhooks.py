"""Endpoints of webhooks: created, changed, paused, sent back to an earlier position, given another secret."""

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from accounts.access import Act, Actor, ActorType, Forbidden, NotFound, Permission, require
from accounts.leases import withdraw
from accounts.models import Member, MemberRole, Organization

from .. import ledger
from ..errors import Invalid, Refused
from ..models import EndpointStatus, EventKind, PausedBecause, Source, WebhookAttempt, WebhookEndpoint
from ..webhooks import positions
from ..webhooks.addresses import checked_url
from ..webhooks.secrets import current_key, previous_until, rotated
from . import layers, trail
from .credentials import readers

_PROVIDER = uuid.UUID(int=0)  # in the place of an organization, for webhooks that get everybody's events
_ATTEMPT = re.compile(r"[0-9]{1,18}", re.ASCII)
_DETAILS = ("url", "description", "kinds")
# Looks at the webhook once it is locked, before anything is done; raises what refuses it.
Check = Callable[[WebhookEndpoint], None]


def _as_it_is(_endpoint: WebhookEndpoint) -> None:
    """Whatever it has become."""


def create_endpoint(
    *,
    organization: Organization | None,
    url: str,
    actor: Actor,
    source: str,
    description: str = "",
    kinds: Sequence[str] = (),
) -> WebhookEndpoint:
    """One that gets what happens from now on; without an organization, everybody's.

    Raises Forbidden, Invalid, ConfirmationRequired, and Refused where there are enough.
    """
    require(actor, Permission.WEBHOOKS_MANAGE, organization)
    text = layers.clean_text(description, "description", length=200)
    address, wanted = checked_url(url), _checked_kinds(kinds)
    layers.require_confirmed(actor, Act.WEBHOOK_SECRET)
    ledger.sequence()
    with transaction.atomic():
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
    """Change `url`, `description`, `kinds`, `status`. Active again, it goes on at once, where it stopped.

    Whoever chooses its address answers for it from now on: what is sent there ends with their right (R18).
    Raises Forbidden, Invalid, and Refused where one that is suspended is to go on, or to count as merely paused.
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
        if "status" in changes or "url" in changes:
            held.failures, held.next_attempt_at = 0, None
        held.save()
    return held


def delete_endpoint(*, endpoint: WebhookEndpoint, actor: Actor, source: str, expected: Check = _as_it_is) -> None:
    """With its attempts; the events stay where they are."""
    with _held(endpoint, actor) as held:
        expected(held)
        _note(EventKind.ACCESS_WEBHOOK_DELETED, held, actor, source)
        held.delete()


def replay(*, endpoint: WebhookEndpoint, after: int, actor: Actor, source: str) -> WebhookEndpoint:
    """Send everything after a position once more, in order.

    Raises Forbidden; Invalid beyond the last event that the actor is told of.
    """
    with _held(endpoint, actor) as held:
        last = positions.head(held.organization, actor)
        if not 0 <= after <= last:
            raise Invalid("position", _("Give a position from 0 to %s, the last there is.") % last, "after")
        held.position, held.failures, held.next_attempt_at = after, 0, None
        held.save()
        # Not the position: an organization's people would learn from each other's what happens elsewhere.
        _note(EventKind.ACCESS_WEBHOOK_REPLAYED, held, actor, source)
    return held


def rotate_secret(*, endpoint: WebhookEndpoint, actor: Actor, source: str) -> WebhookEndpoint:
    """Another secret signs from now on, and for a day the one before it too; whoever gets it answers for it (R18).

    Raises Forbidden, ConfirmationRequired, and Refused where it is suspended.
    """
    with _held(endpoint, actor) as held:
        _refuse_suspended(held)
        layers.require_confirmed(actor, Act.WEBHOOK_SECRET)
        held.created_by = actor.person
        _rotate(held)
        _note(EventKind.ACCESS_WEBHOOK_SECRET_ROTATED, held, actor, source)
    return held


def take_over(*, endpoint: WebhookEndpoint, actor: Actor, source: str) -> WebhookEndpoint:
    """Answer for a webhook from now on: it goes on at its position, signed with another secret alone.

    One that was paused already when it was suspended stays so. Raises Forbidden (a key takes nothing over),
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
            _("The person responsible for this webhook may no longer have it. Take it over, and it goes on."),
        )


def rotate_keys() -> list[WebhookEndpoint]:
    """Another secret for every webhook whose own is not of the first of WEBHOOK_KEYS; for a day both sign.

    The machine's act, after a new key was put first. Returns those that were changed.
    """
    done = []
    for pk in WebhookEndpoint.objects.order_by("pk").values_list("pk", flat=True):
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
    words = {"endpoint": endpoint, "until": previous_until(endpoint), "provider": settings.PROVIDER_NAME}
    body = render_to_string("emails/secret_rotated.txt", words)
    for email in owners.order_by("pk").values_list("user__email", flat=True):
        send_mail(_("A webhook needs its new signing secret"), body, None, [email])


def tell_paused(endpoint: WebhookEndpoint, because: str) -> None:
    """By e-mail: who answers for it; else the owners, without one the operators. In the transaction that pauses it."""
    person = endpoint.created_by
    told = [person.email] if person is not None and person.is_active else readers(endpoint.organization)
    words = {"endpoint": endpoint, "why": PausedBecause(because).label, "provider": settings.PROVIDER_NAME}
    body = render_to_string("emails/webhook_paused.txt", words)
    for email in told:
        send_mail(_("A webhook is paused"), body, None, [email])


def _rotate(held: WebhookEndpoint, *, overlap: bool = True) -> None:
    for name, value in rotated(held, ledger.clock(), overlap=overlap).items():
        setattr(held, name, value)
    held.save()


def request_test(*, endpoint: WebhookEndpoint, actor: Actor) -> WebhookAttempt:
    """A message that is no event, which a worker sends: no request waits for somebody else's server.

    Raises Forbidden, and Refused while the webhook is suspended or another test of the same organization waits.
    """
    with transaction.atomic():
        return _wait(_locked(endpoint, actor))


def resend(*, endpoint: WebhookEndpoint, attempt: str, actor: Actor) -> WebhookAttempt:
    """Have the message of an attempt, by its id, sent once more by a worker, out of turn: its id is the same.

    The webhook stays where it stands. Raises Forbidden, NotFound, and Refused for a test, while the webhook is
    suspended, or something else of the same organization waits.
    """
    with transaction.atomic():
        held = _locked(endpoint, actor)
        known = _ATTEMPT.fullmatch(attempt) and held.attempts.filter(pk=int(attempt)).first()
        if not known:
            raise NotFound("attempt")
        if known.position is None:
            raise Refused("no_event", _("This was a test, which tells of no event. Send another test."))
        return _wait(held, known.position)


def _wait(held: WebhookEndpoint, position: int | None = None) -> WebhookAttempt:
    """An attempt that a worker has still to make, one at a time for an organization."""
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
        raise Refused("test_waiting", _("A test is waiting already: wait until it has been sent.")) from None


def _note(kind: EventKind, endpoint: WebhookEndpoint, actor: Actor, source: str, *, after: str = "") -> None:
    trail.note(kind, organization=endpoint.organization, actor=actor, source=source, target=endpoint.pk, after=after)


@contextmanager
def _held(endpoint: WebhookEndpoint, actor: Actor) -> Iterator[WebhookEndpoint]:
    """The endpoint, locked, its lease taken away: whoever delivers to it just now stops, and nothing is skipped."""
    with transaction.atomic():
        held = _locked(endpoint, actor)
        withdraw(held)
        yield held


def _locked(endpoint: WebhookEndpoint, actor: Actor) -> WebhookEndpoint:
    """As it is now, with the actor's rights of now. Raises Forbidden, and NotFound where it has been deleted."""
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
