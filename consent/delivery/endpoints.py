"""Events on their way to endpoints: in position order, at least once, nothing skipped.

An endpoint is leased by one thread at a time. No transaction is open while the other side is waited for; how far it
has got is noted every few events, so that whoever takes over after a crash repeats at most those.
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
from ..services import credentials, trail, webhooks
from ..webhooks import positions
from ..webhooks.secrets import signatures
from .sending import TOTAL, ReceiverResponse, Sender, failed

logger = logging.getLogger(__name__)
# After so many seconds another attempt, and paused after the last: Standard Webhooks' own schedule, which outlasts a
# weekend. Jitter makes each wait a little longer, never shorter.
BACK_OFF = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
JITTER = 0.1
LEASE = Lease(dt.timedelta(seconds=TOTAL * 2))
# A test's row has no fence: the end of its lease tells one holder from another.
TEST_LEASE = Lease(LEASE.length, fence="leased_until")
_PAGE = 100  # events read at a time
_NOTED = 25  # and noted as delivered
_TURN = 2.0  # seconds until it is another endpoint's turn
_GONE = 410


def deliver_next(sender: Sender, should_stop: Callable[[], bool] = lambda: False, head: int | None = None) -> bool:
    """Deliver to the endpoint that has waited longest, for a while, up to `head`; returns whether there was one."""
    endpoint = _take_endpoint(head)
    if endpoint is None:
        return False
    person = endpoint.created_by
    if person is not None and not credentials.may_answer(person, endpoint):
        # Lost by whatever way: judged at every use (R18).
        suspended = credentials.suspend_for(person, endpoint.organization, actor=Actor.system())
        # One that could not be suspended stays leased: nobody comes back to it at once, and for ever.
        return any(each.pk == endpoint.pk for each in suspended.webhooks)
    turn = _Turn(endpoint, sender)
    try:
        turn.run(should_stop, head)
    except LostLease:
        pass
    else:
        _give_back(endpoint)
    return True


def _take_endpoint(head: int | None = None) -> WebhookEndpoint | None:
    """Lease an endpoint that has something to get, up to `head`, and may be tried now."""
    due = Q(next_attempt_at=None) | Q(next_attempt_at__lte=ledger.clock())
    has_events = Q(position__lt=ledger.head() if head is None else head)
    rows = WebhookEndpoint.objects.select_related("organization", "created_by")
    longest_first = rows.order_by(F("leased_until").asc(nulls_first=True), "position")
    return LEASE.take(longest_first, due & has_events & Q(status=EndpointStatus.ACTIVE))


def _give_back(endpoint: WebhookEndpoint) -> None:
    # Not None: who has had a turn stands behind those who have not.
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
                if len(events) < _PAGE:  # what lies between the last of them and the head is not for this endpoint
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
        """Whether it has arrived, and the next may go. Raises LostLease: once stopped, nothing is sent (R18)."""
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
        """How far it has got, with the attempts, and what is to become of a failure; raises LostLease."""
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
        self._attempts, self._noted_at = [], time.monotonic()
        if changes.get("status") == EndpointStatus.PAUSED:
            logger.warning("webhook %s is paused: %s", self.endpoint.pk, changes["paused_because"])


def _after_failure(endpoint: WebhookEndpoint, message_id: str, answer: ReceiverResponse) -> dict[str, Any]:
    failures = endpoint.failures + 1
    if answer.status == _GONE:
        return {"failures": failures, "status": EndpointStatus.PAUSED, "paused_because": PausedBecause.GONE}
    if failures > len(BACK_OFF):
        return {"failures": failures, "status": EndpointStatus.PAUSED, "paused_because": PausedBecause.FAILING}
    # Not before the receiver asked for, and not sooner for being asked: that would use up the attempts in minutes.
    seconds = max(BACK_OFF[failures - 1] * _jitter(endpoint, message_id, failures), answer.retry_after)
    return {"failures": failures, "next_attempt_at": ledger.clock() + dt.timedelta(seconds=seconds)}


def _jitter(endpoint: WebhookEndpoint, message_id: str, failures: int) -> float:
    """A factor that spreads load; always the same for the same failure, whatever else draws numbers."""
    chance = random.Random(f"{endpoint.pk}:{message_id}:{failures}")  # noqa: S311  guards nothing
    return chance.uniform(1, 1 + JITTER)


def _events_for(endpoint: WebhookEndpoint) -> ConsentEventQuerySet:
    """Those that the endpoint is told of, in the order of their positions."""
    rows = ConsentEvent.objects.all().placed()
    if endpoint.organization_id is not None:
        rows = rows.filter(placed__organization=endpoint.organization_id).without_member_choices()
    return rows.filter(kind__in=endpoint.kinds) if endpoint.kinds else rows.without_access()


def _message_id(event: ConsentEvent) -> str:
    """The same however often it is sent; without a full stop, which parts it from the rest of what is signed."""
    return f"evt_{event.pk}"


def _body(event: ConsentEvent, label: str, viewer: Actor) -> str:
    return json.dumps(payload(serialize_event(event, label, for_operator=viewer.is_operator)), ensure_ascii=False)


def send(endpoint: WebhookEndpoint, sender: Sender, body: str, message_id: str) -> ReceiverResponse:
    """One attempt, signed; none where there is no key to sign with."""
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
    """Send the test, or the message asked for once more, that has waited longest; it is an attempt like any other."""
    test = _take_test()
    if test is None:
        return None
    answer = _send_waiting(test, sender)
    # The webhook may have been deleted meanwhile, and its attempts with it.
    TEST_LEASE.release(WebhookAttempt.objects.all(), test, **_outcome(answer), waiting_for=None)
    for name, value in _outcome(answer).items():
        setattr(test, name, value)
    test.waiting_for = test.leased_until = None
    return test


def _take_test() -> WebhookAttempt | None:
    rows = WebhookAttempt.objects.select_related("endpoint__organization", "endpoint__created_by").order_by("pk")
    return TEST_LEASE.take(rows, Q(waiting_for__isnull=False))


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
    # Where the webhook stands already: nobody who remembers the position of what came last forgets anything by it.
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
    """Whoever reads what is sent there: an organization, or the provider."""
    if endpoint.organization_id is None:
        return Actor.system()
    return Actor.from_key(ApiKey(organization_id=endpoint.organization_id, scopes=[]))
