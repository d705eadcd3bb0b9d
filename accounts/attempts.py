"""Limits on sign-in attempts, counted by source (device, session or IP address) and target account together.

So wrong attempts from one source do not lock out the account's owner. A second, generous limit counts all attempts on
one account, against guessing from many IP addresses; a known device of that person is exempt from it, and a password
reset clears it.
"""

import dataclasses
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from allauth.core.internal.ratelimit import get_ip
from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from . import devices, email_addresses, limits
from .models import User


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of attempt. `own`: attempts of one source in `seconds`; `everybody`: of all IP addresses, per hour."""

    name: str
    own: int
    seconds: int
    everybody: int


PASSWORD = Kind("password", own=5, seconds=300, everybody=100)
# Six digits, and whoever gets here knows the password already: so fewer attempts are allowed.
CODE = Kind("code", own=5, seconds=300, everybody=20)
# Each one mails a message to somebody: the limit protects their mailbox, not a secret.
RESET = Kind("reset", own=3, seconds=900, everybody=6)
_HOUR = 3600
# Attempts per minute from one IP address, on all accounts together.
_PLACE = 30


class Attempt:
    """The counts that one attempt has raised, so that they can be taken back where it succeeds."""

    def __init__(self) -> None:
        self._counted: list[tuple[str, int]] = []

    def count(self, subject: str, *, limit: int, seconds: int) -> None:
        self._counted.append((subject, limits.count(subject, limit=limit, seconds=seconds)))

    def take_back(self) -> None:
        for subject, window in self._counted:
            limits.take_back(subject, window)


def begin(request: HttpRequest, kind: Kind, email: str, user: User | None = None) -> Attempt:
    """Count an attempt on the account with this address. Raises TooMany."""
    user = user or _person(request, email)
    attempt, target, tries = Attempt(), _target(email), _who(request, user)
    attempt.count(f"{kind.name}:{tries}:{target}", limit=kind.own, seconds=kind.seconds)
    # Counted second: attempts beyond the source's own limit raise above, and do not use up the account's limit.
    if tries.startswith("place:"):
        attempt.count(f"{kind.name}:{target}", limit=kind.everybody, seconds=_HOUR)
    return attempt


@contextmanager
def guess(request: HttpRequest, kind: Kind, email: str, user: User | None = None) -> Iterator[None]:
    """Count a guess; the block checks it and raises where it is wrong. A right guess is not counted. Raises TooMany."""
    attempt = begin(request, kind, email, user)
    yield
    attempt.take_back()


def sign_in(request: HttpRequest, email: str) -> None:
    """Count a submitted sign-in form, right or wrong, because each costs a slow password hash. Raises TooMany."""
    tries = _who(request, _person(request, email))
    limits.count(f"sign-in:{tries}:{_target(email)}", limit=settings.SIGN_IN_RATE, seconds=60)
    if tries.startswith("place:"):
        limits.count(f"sign-in:{tries}", limit=max(_PLACE, settings.SIGN_IN_RATE), seconds=60)


def forget(email: str) -> None:
    """Clear the account's limits, after the person has proved by their mailbox that the account is theirs."""
    for kind in (PASSWORD, CODE):
        limits.forget(f"{kind.name}:{_target(email)}")


# The source of an attempt, from the most trusted to the least: known device, session of the same user, IP address.
def _who(request: HttpRequest, user: User | None) -> str:
    if user is not None:
        if device := devices.known(request, user):
            return f"device:{device}"
        if request.user.is_authenticated and request.user.pk == user.pk:
            return f"session:{_digest(str(request.session.session_key))}"
    return f"place:{get_ip(request)}"


def _person(request: HttpRequest, email: str) -> User | None:
    """The user with this address; None, without a query, where no cookie or session could show that it is theirs."""
    if settings.DEVICE_COOKIE_NAME not in request.COOKIES and not request.user.is_authenticated:
        return None
    return User.objects.filter(email=email).first()


def _plain(email: str) -> str:
    """One spelling for all texts that could be looked up as the same address, valid address or not."""
    return unicodedata.normalize("NFKC", email_addresses.asked(email)).casefold()


def _target(email: str) -> str:
    # A digest, so that the table of counts holds no e-mail addresses.
    return _digest(_plain(email))


# Keyed with SECRET_KEY, so that addresses can't be guessed from the table of counts.
def _digest(text: str) -> str:
    digest: str = salted_hmac("accounts.attempts", text, algorithm="sha256").hexdigest()[:32]
    return digest
