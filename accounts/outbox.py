"""Transactional outbox for e-mail: messages are stored in the transaction of the change, and the worker sends them.

So a rolled-back change sends nothing, an unreachable mail server delays no page and loses no message, and a page's
response time does not show whether an address is known. A sent message is deleted. One that could not be sent stays,
and operators see it on their overview.
"""

import datetime as dt
import logging
from collections.abc import Callable, Sequence

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import F, Q
from django.utils import timezone

from . import keys, smtp
from .leases import Lease
from .models import OutgoingMessage

logger = logging.getLogger(__name__)
# Minutes to wait after each failed attempt. After the last one the message is given up, and kept for operators to see.
BACK_OFF = (1, 5, 30, 2 * 60, 5 * 60, 10 * 60)
ERROR_LENGTH = 80
# The lease is longer than sending can take: if it expired earlier, another worker would send the message again.
# Each attempt is counted when it begins, so the count serves as the fence.
LEASE = Lease(dt.timedelta(seconds=2 * smtp.WHOLE), until="next_attempt_at", fence="attempts")


class MassMail(EmailMessage):
    """One of the mails for an act that may concern a million people: it waits for all that are not."""


class OutboxBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Store the messages, one row per recipient. Only the plain text is kept, not an HTML alternative."""
        rows = [
            OutgoingMessage(
                recipient=recipient,
                subject=subject_of(message.subject),
                body=str(message.body),
                mass=isinstance(message, MassMail),
            )
            for message in email_messages
            for recipient in message.recipients()
        ]
        OutgoingMessage.objects.bulk_create(rows)
        return len(email_messages)


def subject_of(text: object) -> str:
    """The subject on one line: it may contain a name that was stored before line breaks in names were refused."""
    length: int = OutgoingMessage._meta.get_field("subject").max_length or 0
    return " ".join(str(text).split())[:length]


def is_full(room: int) -> bool:
    """Whether this many messages, or more, wait to be sent; counts no further."""
    waiting = OutgoingMessage.objects.filter(given_up_at=None).order_by("mass", "next_attempt_at", "pk")
    return waiting.values("pk")[:room].count() >= room


def delivery_backend() -> BaseEmailBackend:
    """The e-mail backend that EMAIL_URL configures."""
    url = settings.DELIVERY
    options = {
        "host": url.get("EMAIL_HOST"),
        "port": url.get("EMAIL_PORT"),
        "username": url.get("EMAIL_HOST_USER"),
        "password": url.get("EMAIL_HOST_PASSWORD"),
        "use_tls": url.get("EMAIL_USE_TLS", False),
        "use_ssl": url.get("EMAIL_USE_SSL", False),
        "timeout": smtp.STEP,
    }
    if url["EMAIL_BACKEND"].endswith("smtp.EmailBackend"):
        return smtp.LimitedBackend(**options)
    made: BaseEmailBackend = get_connection(url["EMAIL_BACKEND"])
    return made


def send_waiting(limit: int = 20, should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Send up to `limit` waiting messages; returns whether there were any."""
    sent = 0
    while sent < limit and not should_stop() and send_next():
        sent += 1
    return sent > 0


def send_next() -> bool:
    """Send the message whose turn it is, mass mail last; returns whether there was one.

    No transaction is open while the mail server is contacted. Delivery is at least once: if a worker dies after sending
    and before deleting, the message is sent again when the lease has expired.
    """
    message = _take_message()
    if message is None:
        return False
    try:
        body = message.body
    except OutgoingMessage.DoesNotExist:  # deleted meanwhile, because its recipient was erased
        return True
    except (keys.UnknownKey, keys.NotEncrypted) as error:
        # Keep the message and do not count the attempt: it can be sent once the missing key is in ENCRYPTION_KEYS.
        logger.error("message %s can't be read, trying again later: %s", message.pk, error)
        later = timezone.now() + dt.timedelta(minutes=BACK_OFF[-1])
        LEASE.release(OutgoingMessage.objects.all(), message, next_attempt_at=later, attempts=F("attempts") - 1)
        return True
    mail = EmailMessage(subject_of(message.subject), body, settings.DEFAULT_FROM_EMAIL, [message.recipient])
    try:
        delivery_backend().send_messages([mail])
    except Exception as error:  # whatever a mail server does, it must not block the next messages
        _failed(message, error)
    else:
        message.delete()
    return True


def _take_message() -> OutgoingMessage | None:
    """Take the next due message. Its body is deferred, because its encryption key may be missing."""
    rows = OutgoingMessage.objects.defer("body").order_by("mass", "next_attempt_at", "pk")
    return LEASE.take(rows, Q(given_up_at=None))


def _failed(message: OutgoingMessage, error: Exception) -> None:
    # Log the id and the error's class only: the address, and what a server says about it, must not reach a log.
    if message.attempts > len(BACK_OFF):
        logger.error(
            "message %s was given up after %s attempts: %s", message.pk, message.attempts, type(error).__name__
        )
        held = LEASE.held(OutgoingMessage.objects.all(), message)
        held.update(given_up_at=timezone.now(), error=type(error).__name__[:ERROR_LENGTH])
        return
    again = dt.timedelta(minutes=BACK_OFF[message.attempts - 1])
    LEASE.release(OutgoingMessage.objects.all(), message, next_attempt_at=timezone.now() + again)
    logger.warning("message %s was not sent, trying again in %s: %s", message.pk, again, type(error).__name__)
