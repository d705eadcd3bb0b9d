"""Counts for rate limits."""

from django.db import models


class RateCount(models.Model):
    """How often `subject` did something in a window of time; see `accounts.limits`."""

    id = models.BigAutoField(primary_key=True)
    subject = models.CharField(max_length=330)
    window = models.BigIntegerField()  # its first second since 1970
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject", "window"], name="rate_count_of_window")]
        indexes = [models.Index(fields=["window"], name="rate_count_age")]

    def __str__(self) -> str:
        return f"{self.subject}: {self.count}"
