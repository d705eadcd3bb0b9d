"""E-mail that is stored with the change it speaks of, and sent by the worker.

A rolled back change sends nothing, a mail server that is away delays no page and loses no message, and a page takes
no longer for an address that is known than for one that is not. What was sent is deleted; what could not be sent
stays, and operators see it on their overview.
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
# Attempts, minutes after the one before; then it is given up, and kept for the operators to see.
BACK_OFF = (1, 5, 30, 2 * 60, 5 * 60, 10 * 60)
ERROR_LENGTH = 80
# Longer than any message takes: whoever takes it earlier would send it a second time.
# Every attempt is counted when it begins, so the count is the fence.
LEASE = Lease(dt.timedelta(seconds=2 * smtp.WHOLE), until="next_attempt_at", fence="attempts")


class OutboxBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Store them: one row per recipient. Text only; an alternative in HTML is left out."""
        rows = [
            OutgoingMessage(recipient=recipient, subject=subject_of(message.subject), body=str(message.body))
            for message in email_messages
            for recipient in message.recipients()
        ]
        OutgoingMessage.objects.bulk_create(rows)
        return len(email_messages)


def subject_of(text: object) -> str:
    """A subject of one line, whatever it was made of: names from before line breaks were refused too."""
    length: int = OutgoingMessage._meta.get_field("subject").max_length or 0
    return " ".join(str(text).split())[:length]


def delivery_backend() -> BaseEmailBackend:
    """The backend of EMAIL_URL."""
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
    """Send what waits, up to so many; returns whether there was anything."""
    sent = 0
    while sent < limit and not should_stop() and send_next():
        sent += 1
    return sent > 0


def send_next() -> bool:
    """Send the message that has waited longest; returns whether there was one.

    No transaction is open while the mail server is waited for. A worker that dies after sending and before deleting
    sends it again when the lease is over: twice is better than never.
    """
    message = _take_message()
    if message is None:
        return False
    try:
        body = message.body
    except OutgoingMessage.DoesNotExist:  # erased with whom it was for
        return True
    except (keys.UnknownKey, keys.NotEncrypted) as error:
        # Kept: with the key that is missing among ENCRYPTION_KEYS it can be sent.
        logger.error("message %s can't be read, trying again later: %s", message.pk, error)
        later = timezone.now() + dt.timedelta(minutes=BACK_OFF[-1])
        LEASE.release(OutgoingMessage.objects.all(), message, next_attempt_at=later, attempts=F("attempts") - 1)
        return True
    mail = EmailMessage(subject_of(message.subject), body, settings.DEFAULT_FROM_EMAIL, [message.recipient])
    try:
        delivery_backend().send_messages([mail])
    except Exception as error:  # whatever a mail server does, the next message has its turn
        _failed(message, error)
    else:
        message.delete()
    return True


def _take_message() -> OutgoingMessage | None:
    """Its body is not read yet: the key that it was encrypted with may be missing."""
    rows = OutgoingMessage.objects.defer("body").order_by("next_attempt_at", "pk")
    return LEASE.take(rows, Q(given_up_at=None))


def _failed(message: OutgoingMessage, error: Exception) -> None:
    # Its number and the kind of trouble: neither the address nor what a server says about it goes into a log.
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
