"""How often somebody may ask: a bucket per process for questions and reads, counts in the database for the rest.

Buckets cost nothing and forget with the process; what has to hold across processes, writes and signing in, is counted
in windows of a second or a minute.
"""

import dataclasses
import threading
import time

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from .access import Actor
from .models import RateCount

_LARGEST = 10_000  # buckets kept; beyond, those that are full again are dropped


class TooMany(Exception):
    """Come back in `seconds`, a whole number of them."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many requests, come back in {seconds} s")
        self.seconds = seconds


@dataclasses.dataclass
class _Bucket:
    left: float
    at: float


_buckets: dict[str, _Bucket] = {}
_lock = threading.Lock()


def rate_of(actor: Actor) -> int:
    """Requests a second; 0: as many as they like."""
    if actor.key is None:
        return 0
    return int(settings.KEY_RATE if actor.key.organization_id is not None else settings.OPERATOR_KEY_RATE)


def ask(actor: Actor) -> None:
    """Count a question or a read, in this process. Raises TooMany."""
    if rate := rate_of(actor):
        _take(actor.id, rate, time.monotonic())


def _take(subject: str, rate: int, now: float) -> None:
    with _lock:
        bucket = _buckets.get(subject)
        if bucket is None:
            if len(_buckets) >= _LARGEST:
                _drop(now)
            bucket = _buckets[subject] = _Bucket(float(rate), now)
        bucket.left = min(float(rate), bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.left < 1:
            raise TooMany(1)
        bucket.left -= 1


def _drop(now: float) -> None:
    for subject in [subject for subject, bucket in _buckets.items() if now - bucket.at > 1]:
        del _buckets[subject]


def write(actor: Actor) -> None:
    """Count a write, across processes. Raises TooMany."""
    if rate := rate_of(actor):
        count(f"write:{actor.id}", limit=rate, seconds=1)


def count(subject: str, *, limit: int, seconds: int) -> int:
    """One more in the current window of so many seconds, in the database; returns the window.

    Raises TooMany beyond the limit.
    """
    now = int(time.time())
    window = now - now % seconds
    rows = RateCount.objects.filter(subject=subject, window=window)
    if not rows.update(count=F("count") + 1):
        try:
            with transaction.atomic():
                RateCount.objects.create(subject=subject, window=window, count=1)
        except IntegrityError:  # somebody else was the first
            rows.update(count=F("count") + 1)
    if rows.values_list("count", flat=True).get() > limit:
        raise TooMany(window + seconds - now)
    return window


def take_back(subject: str, window: int) -> None:
    """One less in the window in which `count` had counted it."""
    RateCount.objects.filter(subject=subject, window=window, count__gt=0).update(count=F("count") - 1)


def forget(subject: str) -> None:
    RateCount.objects.filter(subject=subject).delete()
