"""Delivers events to webhook endpoints in position order, at least once, without gaps.

One thread at a time holds the lease of an endpoint. No transaction is open while a receiver is waited for. The position
is stored every few events, so that the next holder repeats at most those after a crash.
"""

import dataclasses
import datetime as dt
import json
import logging
import random
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from accounts import keys
from accounts.access import Actor
from accounts.leases import Lease, LostLease
from accounts.models import ApiKey

from .. import ledger
from ..models import (
    ConsentEvent,
    ConsentEventQuerySet,
    EndpointStatus,
    EventKind,
    PausedBecause,
    Source,
    WebhookAttempt,
    WebhookEndpoint,
)
from ..presentation import actors
from ..presentation.events import payload, serialize_event, serialize_test_event
from ..services import consumers, credentials, trail, webhooks
from ..webhooks import positions
from ..webhooks.secrets import signatures
from ..witness import guard
from .sending import TOTAL, ReceiverResponse, Sender, failed

logger = logging.getLogger(__name__)
# Seconds from each failure to the next attempt; after the last one the endpoint is paused. This is the schedule that
# Standard Webhooks recommends; it outlasts a weekend. Jitter makes each wait a little longer, never shorter.
BACK_OFF = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
JITTER = 0.1
LEASE = Lease(dt.timedelta(seconds=TOTAL * 2))
# An attempt's row has no fence column: the end of its lease tells one holder from another.
TEST_LEASE = Lease(LEASE.length, fence="leased_until")
_PAGE = 100  # events read at a time
_NOTED = 25  # delivered events after which the position is stored
_TURN = 2.0  # seconds after which the thread goes on to another endpoint
_GONE = 410


def deliver_next(sender: Sender, should_stop: Callable[[], bool] = lambda: False, head: int | None = None) -> bool:
    """Deliver for one turn to the endpoint that has waited longest, up to the position `head`.

    Returns whether there was an endpoint to deliver to, or to suspend.
    """
    endpoint = _take_endpoint(head)
    if endpoint is None:
        return False
    person = endpoint.created_by
    if person is not None and not credentials.may_answer(person, endpoint):
        # The responsible person lost the permission. It is checked at every use, whatever took it away (R18).
        suspended = credentials.suspend_for(person, endpoint.organization, actor=Actor.system())
        # An endpoint that could not be suspended stays leased, so that threads do not take it again and again.
        return any(each.pk == endpoint.pk for each in suspended.webhooks)
    turn = _Turn(endpoint, sender)
    try:
        turn.run(should_stop, head)
    except LostLease:
        pass  # the endpoint was stopped or deleted meanwhile, or another thread has it
    else:
        _give_back(endpoint)
    return True


def _take_endpoint(head: int | None = None) -> WebhookEndpoint | None:
    """Lease an active endpoint that is behind `head` and due for an attempt; None without one."""
    due = Q(next_attempt_at=None) | Q(next_attempt_at__lte=ledger.clock())
    has_events = Q(position__lt=ledger.head() if head is None else head)
    rows = WebhookEndpoint.objects.select_related("organization", "created_by")
    longest_first = rows.order_by(F("leased_until").asc(nulls_first=True), "position", "pk")
    return LEASE.take(longest_first, due & has_events & Q(status=EndpointStatus.ACTIVE))


def _give_back(endpoint: WebhookEndpoint) -> None:
    # The present, not None: endpoints that had a turn are taken after those that are still waiting for theirs.
    LEASE.release(WebhookEndpoint.objects.all(), endpoint, leased_until=ledger.clock())


@dataclasses.dataclass
class _Turn:
    endpoint: WebhookEndpoint
    sender: Sender

    def __post_init__(self) -> None:
        self._noted_at = time.monotonic()
        self._attempts: list[WebhookAttempt] = []
        self._position = self.endpoint.position
        self._viewer, self._labels = _viewer(self.endpoint), dict[int, str]()

    def run(self, should_stop: Callable[[], bool], last: int | None = None) -> None:
        begun = time.monotonic()
        while not should_stop() and time.monotonic() - begun < _TURN:
            head = ledger.head() if last is None else last
            events = self._events(head)
            for event in events:
                if not self._deliver(event):
                    return
                if should_stop() or time.monotonic() - begun >= _TURN:
                    break
            else:
                if len(events) < _PAGE:  # no event between the last of them and the head is for this endpoint
                    self._position = max(self._position, head)
                    self._note()
                    return
        self._note()

    def _events(self, head: int) -> list[ConsentEvent]:
        rows = _events_for(self.endpoint)
        page = list(rows.filter(placed__position__gt=self._position, placed__position__lte=head)[:_PAGE])
        self._labels = actors.labels(page, self._viewer)
        return page

    def _deliver(self, event: ConsentEvent) -> bool:
        """Send one event; returns whether it was delivered. Raises LostLease: after a stop nothing is sent (R18)."""
        if not LEASE.held(WebhookEndpoint.objects.all(), self.endpoint).exists():
            raise LostLease
        message_id = _message_id(event)
        body = _body(event, self._labels[event.pk], self._viewer)
        answer = send(self.endpoint, self.sender, body, message_id)
        position = event.placed.position
        self._attempts.append(_attempt(self.endpoint, answer, position))
        if not answer.delivered:
            self._note(_after_failure(self.endpoint, message_id, answer))
            return False
        self._position = position
        if len(self._attempts) >= _NOTED or time.monotonic() - self._noted_at > 1:
            self._note()
        return True

    def _note(self, after_failure: dict[str, Any] | None = None) -> None:
        """Store the position, the attempts and the consequences of a failure in one transaction; raises LostLease."""
        changes: dict[str, Any] = {"position": self._position}
        if after_failure is not None:
            changes |= after_failure
        elif any(each.delivered for each in self._attempts):
            changes |= {"failures": 0, "next_attempt_at": None}
        with transaction.atomic():
            LEASE.keep(WebhookEndpoint.objects.all(), self.endpoint, **changes)
            if changes.get("status") == EndpointStatus.PAUSED:
                trail.note(
                    EventKind.ACCESS_WEBHOOK_PAUSED,
                    organization=self.endpoint.organization,
                    actor=Actor.system(),
                    source=Source.COMMAND,
                    target=self.endpoint.pk,
                    after=changes["paused_because"],
                )
                webhooks.tell_paused(self.endpoint, changes["paused_because"])
            WebhookAttempt.objects.bulk_create(self._attempts)
            consumers.note_delivered(self.endpoint, self._position)
        self._attempts, self._noted_at = [], time.monotonic()
        if changes.get("status") == EndpointStatus.PAUSED:
            logger.warning("webhook %s is paused: %s", self.endpoint.pk, changes["paused_because"])


def _after_failure(endpoint: WebhookEndpoint, message_id: str, answer: ReceiverResponse) -> dict[str, Any]:
    failures = endpoint.failures + 1
    if answer.status == _GONE:
        return {"failures": failures, "status": EndpointStatus.PAUSED, "paused_because": PausedBecause.GONE}
    if failures > len(BACK_OFF):
        return {"failures": failures, "status": EndpointStatus.PAUSED, "paused_because": PausedBecause.FAILING}
    # Retry-After can only lengthen the wait: shorter ones would use up all attempts within minutes.
    seconds = max(BACK_OFF[failures - 1] * _jitter(endpoint, message_id, failures), answer.retry_after)
    return {"failures": failures, "next_attempt_at": ledger.clock() + dt.timedelta(seconds=seconds)}


def _jitter(endpoint: WebhookEndpoint, message_id: str, failures: int) -> float:
    """A factor from 1 to 1 + JITTER that spreads load; deterministic for each failure."""
    chance = random.Random(f"{endpoint.pk}:{message_id}:{failures}")  # noqa: S311  guards nothing
    return chance.uniform(1, 1 + JITTER)


def _events_for(endpoint: WebhookEndpoint) -> ConsentEventQuerySet:
    """The events that the endpoint may get and has subscribed to, in position order."""
    rows = ConsentEvent.objects.all().placed()
    if endpoint.organization_id is not None:
        rows = rows.filter(placed__organization=endpoint.organization_id).without_member_choices()
    return rows.filter(kind__in=endpoint.kinds) if endpoint.kinds else rows.without_access()


def _message_id(event: ConsentEvent) -> str:
    """The same id for every attempt. It has no full stop, which separates the parts of the signed text.

    After a restore the number of an event may be that of another, which was lost and had been sent.
    """
    epoch = event.placed.epoch
    return f"evt_{event.pk}" if epoch == 1 else f"evt_{event.pk}_{epoch}"


def _body(event: ConsentEvent, label: str, viewer: Actor) -> str:
    return json.dumps(payload(serialize_event(event, label, for_operator=viewer.is_operator)), ensure_ascii=False)


def send(endpoint: WebhookEndpoint, sender: Sender, body: str, message_id: str) -> ReceiverResponse:
    """Make one signed attempt; without the key to sign with, return a failed response and send nothing."""
    at = dt.datetime.now(dt.UTC)
    try:
        signed = signatures(endpoint, message_id, at, body)
    except keys.UnknownKey as error:
        logger.error("webhook %s can't be signed: %s", endpoint.pk, error)
        return ReceiverResponse(None, "its signing key is missing here: rotate its secret", 0, "")
    except Exception as error:
        logger.exception("webhook %s can't be signed", endpoint.pk)
        return failed(error)
    headers = {
        "content-type": "application/json",
        "user-agent": "training-consent-portal",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signed,
    }
    return sender.post(endpoint.url, headers, body.encode())


def send_next_test(sender: Sender) -> WebhookAttempt | None:
    """Send the test or resend that has waited longest; returns its attempt with the outcome, None without one."""
    test = _take_test()
    if test is None:
        return None
    answer = _send_waiting(test, sender)
    # Updates no row if the webhook, and so its attempts, was deleted meanwhile.
    TEST_LEASE.release(WebhookAttempt.objects.all(), test, **_outcome(answer), waiting_for=None)
    for name, value in _outcome(answer).items():
        setattr(test, name, value)
    test.waiting_for = test.leased_until = None
    return test


def _take_test() -> WebhookAttempt | None:
    rows = WebhookAttempt.objects.select_related("endpoint__organization", "endpoint__created_by").order_by("pk")
    # What is sent again is out of the ledger, and waits as the feed does.
    ready = Q(position__isnull=True) if guard.quarantined() else Q()
    return TEST_LEASE.take(rows, Q(waiting_for__isnull=False), ready)


def _send_waiting(test: WebhookAttempt, sender: Sender) -> ReceiverResponse:
    endpoint = test.endpoint
    person = endpoint.created_by
    suspended = endpoint.paused_because == PausedBecause.SUSPENDED
    if suspended or (person is not None and not credentials.may_answer(person, endpoint)):
        return ReceiverResponse(None, "not sent: the webhook is suspended", 0, "")
    if test.position is None:
        return _send_test(test, sender)
    viewer, event = _viewer(endpoint), _events_for(endpoint).filter(placed__position=test.position).first()
    if event is None:
        return ReceiverResponse(None, "not sent: the webhook does not get this kind of event any more", 0, "")
    body = _body(event, actors.labels([event], viewer)[event.pk], viewer)
    return send(endpoint, sender, body, _message_id(event))


def _send_test(test: WebhookAttempt, sender: Sender) -> ReceiverResponse:
    endpoint = test.endpoint
    message_id = f"test_{test.pk}"
    # The endpoint's present position: a receiver that stores the position of the last message loses nothing by it.
    position = positions.shown_positions([endpoint], _viewer(endpoint))[endpoint.pk]
    body = json.dumps(
        payload(serialize_test_event(message_id, test.at, position, endpoint.organization_id)), ensure_ascii=False
    )
    return send(endpoint, sender, body, message_id)


def _attempt(endpoint: WebhookEndpoint, answer: ReceiverResponse, position: int | None) -> WebhookAttempt:
    return WebhookAttempt(endpoint=endpoint, position=position, at=ledger.clock(), **_outcome(answer))


def _outcome(answer: ReceiverResponse) -> dict[str, Any]:
    return {
        "delivered": answer.delivered,
        "status": answer.status,
        "error": answer.error,
        "latency_ms": answer.latency_ms,
        "answer": answer.start,
    }


def _viewer(endpoint: WebhookEndpoint) -> Actor:
    """The actor as whom the payload is built: the endpoint's organization, or the provider."""
    if endpoint.organization_id is None:
        return Actor.system()
    return Actor.from_key(ApiKey(organization_id=endpoint.organization_id, scopes=[]))
