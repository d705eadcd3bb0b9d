"""E-mail that waits to be sent."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from ..fields import AddressField, EncryptedTextField


class OutgoingMessage(models.Model):
    """An e-mail that waits for the worker; deleted when sent, kept when given up. See `accounts.outbox`."""

    recipient = AddressField()
    subject = models.CharField(max_length=500)
    # Encrypted, because it contains links that give access to accounts.
    body = EncryptedTextField()
    # One of maybe a million, all for one act: whatever is not goes first, such as links for passwords.
    mass = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    given_up_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=80, blank=True, default="", db_default="")  # class of the last exception

    class Meta:
        indexes = [
            models.Index(fields=["mass", "next_attempt_at", "id"], name="message_turn"),
            models.Index(fields=["-id"], condition=Q(given_up_at__isnull=False), name="message_given_up"),
            models.Index(fields=["recipient"], name="message_recipient"),
        ]

    def __str__(self) -> str:
        return f"message {self.pk}"
