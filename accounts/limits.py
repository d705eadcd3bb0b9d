"""Rate limits: token buckets in each process for decisions and reads, counts in the database for everything else.

Buckets are cheap, and gone when the process ends. Limits that must hold across processes (writes, sign-in) are counted
in the database, in fixed windows of a number of seconds.
"""

import dataclasses
import threading
import time

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http.response import HttpResponseBase

from .access import Actor
from .models import RateCount

_LARGEST = 10_000  # buckets; when there are so many, those that are full again are dropped


@dataclasses.dataclass(frozen=True)
class Allowance:
    """The state of a rate limit: `quota` requests a second, of which `left` remain. It refills within a second."""

    policy: str
    quota: int
    left: int

    @property
    def headers(self) -> dict[str, str]:
        """The RateLimit headers of the IETF draft draft-ietf-httpapi-ratelimit-headers-11."""
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.quota};w=1',
            "RateLimit": f'"{self.policy}";r={max(self.left, 0)};t=1',
        }

    def tell(self, response: HttpResponseBase) -> None:
        for name, value in self.headers.items():
            response.headers[name] = value


class TooMany(Exception):
    """Rate limit hit; `seconds` is the integer Retry-After. `allowance`: the limit of an API key, else None."""

    def __init__(self, seconds: int, allowance: Allowance | None = None) -> None:
        super().__init__(f"too many requests, come back in {seconds} s")
        self.seconds = seconds
        self.allowance = allowance


@dataclasses.dataclass
class _Bucket:
    left: float  # tokens
    at: float  # monotonic seconds of the last refill


_buckets: dict[str, _Bucket] = {}
_lock = threading.Lock()


def rate_of(actor: Actor) -> int:
    """The actor's limit in requests a second; 0 means no limit."""
    if actor.key is None:
        return 0
    return int(settings.KEY_RATE if actor.key.organization_id is not None else settings.OPERATOR_KEY_RATE)


def check_read_rate(actor: Actor) -> Allowance | None:
    """Count a decision or a read, in this process; None where the actor has no limit. Raises TooMany."""
    if not (rate := rate_of(actor)):
        return None
    left = _take_token(actor.id, rate, time.monotonic())
    allowance = Allowance("read", rate, left)
    if left < 0:
        raise TooMany(1, allowance)
    return allowance


def _take_token(subject: str, rate: int, now: float) -> int:
    """Take one token; returns how many whole tokens are left, or -1 if there was none to take."""
    with _lock:
        bucket = _buckets.get(subject)
        if bucket is None:
            if len(_buckets) >= _LARGEST:
                _drop(now)
            bucket = _buckets[subject] = _Bucket(float(rate), now)
        bucket.left = min(float(rate), bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.left < 1:
            return -1
        bucket.left -= 1
        return int(bucket.left)


def _drop(now: float) -> None:
    for subject in [subject for subject, bucket in _buckets.items() if now - bucket.at > 1]:
        del _buckets[subject]


def check_write_rate(actor: Actor) -> Allowance | None:
    """Count a write, across processes; None where the actor has no limit. Raises TooMany."""
    if not (rate := rate_of(actor)):
        return None
    _window, made = _count(f"write:{actor.id}", 1)
    allowance = Allowance("write", rate, rate - made)
    if made > rate:
        raise TooMany(1, allowance)
    return allowance


def count(subject: str, *, limit: int, seconds: int) -> int:
    """Count one more in the current window of `seconds`, in the database, across processes.

    Returns the window (its first second since 1970), for `take_back`. Raises TooMany beyond the limit.
    """
    window, made = _count(subject, seconds)
    if made > limit:
        raise TooMany(max(1, window + seconds - int(time.time())))
    return window


def _count(subject: str, seconds: int) -> tuple[int, int]:
    """The current window, and the count in it, this one included."""
    now = int(time.time())
    window = now - now % seconds
    # UPDATE first: the row exists, except for the first count in a window.
    rows = RateCount.objects.filter(subject=subject, window=window)
    if not rows.update(count=F("count") + 1):
        try:
            with transaction.atomic():
                RateCount.objects.create(subject=subject, window=window, count=1)
        except IntegrityError:  # another process has just created the row
            rows.update(count=F("count") + 1)
    return window, rows.values_list("count", flat=True).get()


def take_back(subject: str, window: int) -> None:
    """Undo one `count` in the window that it returned."""
    RateCount.objects.filter(subject=subject, window=window, count__gt=0).update(count=F("count") - 1)


def forget(subject: str) -> None:
    RateCount.objects.filter(subject=subject).delete()
