"""What the API remembers of its answers, so that a request that is sent twice is done once."""

from django.db import models

from accounts.fields import InstantField


class IdempotencyKey(models.Model):
    """A caller's own name for a request, what the request said, and the answer that it got."""

    id = models.BigAutoField(primary_key=True)
    actor = models.CharField(max_length=60)
    key = models.CharField(max_length=255)
    # Of method, path and body: another request under the same name is a mistake.
    fingerprint = models.CharField(max_length=64)
    created_at = InstantField()
    # Null only within the transaction that does the request.
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    location = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["actor", "key"], name="idempotency_key_of_actor")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_age")]

    def __str__(self) -> str:
        return self.key
