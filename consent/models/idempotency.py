"""Stored responses of the API, so that a request that is sent twice takes effect once."""

from django.db import models

from accounts.fields import InstantField


class IdempotencyKey(models.Model):
    """A caller's Idempotency-Key, a hash of the request, and the response that it got."""

    id = models.BigAutoField(primary_key=True)
    actor = models.CharField(max_length=60)
    key = models.CharField(max_length=255)
    # SHA-256 of method, path and body: the same key with another request is an error.
    fingerprint = models.CharField(max_length=64)
    created_at = InstantField()
    # Null only inside the transaction that handles the request.
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    location = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["actor", "key"], name="idempotency_key_of_actor")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_age")]

    def __str__(self) -> str:
        return self.key
