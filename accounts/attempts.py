"""Who may try how often to be somebody: counted by who tries and whom they try to be, together.

So nobody's wrong attempts hold up anybody else. Beside that there is a generous bound on all attempts to be one person,
against guessing from many places; a known device of that person passes it, and so does whoever resets the password.
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
    """`own`: attempts by one who tries, in so many `seconds`; `everybody`: from all unknown places, in an hour."""

    name: str
    own: int
    seconds: int
    everybody: int


PASSWORD = Kind("password", own=5, seconds=300, everybody=100)
# Six digits: whoever is here knows the password already.
CODE = Kind("code", own=5, seconds=300, everybody=20)
# Not guesses but messages, which somebody else reads.
RESET = Kind("reset", own=3, seconds=900, everybody=6)
_HOUR = 3600
# Attempts a minute from one place, whomever they are about.
_PLACE = 30


class Attempt:
    """What was counted, to be taken back where the attempt was right."""

    def __init__(self) -> None:
        self._counted: list[tuple[str, int]] = []

    def count(self, subject: str, *, limit: int, seconds: int) -> None:
        self._counted.append((subject, limits.count(subject, limit=limit, seconds=seconds)))

    def take_back(self) -> None:
        for subject, window in self._counted:
            limits.take_back(subject, window)


def begin(request: HttpRequest, kind: Kind, email: str, user: User | None = None) -> Attempt:
    """Count an attempt to be whoever has this address. Raises TooMany."""
    user = user or _person(request, email)
    attempt, target, tries = Attempt(), _target(email), _who(request, user)
    attempt.count(f"{kind.name}:{tries}:{target}", limit=kind.own, seconds=kind.seconds)
    # After the other: what one place tries beyond its own bound does not use up everybody's.
    if tries.startswith("place:"):
        attempt.count(f"{kind.name}:{target}", limit=kind.everybody, seconds=_HOUR)
    return attempt


@contextmanager
def guess(request: HttpRequest, kind: Kind, email: str, user: User | None = None) -> Iterator[None]:
    """For a block that raises where the guess is wrong; a right one is not counted. Raises TooMany."""
    attempt = begin(request, kind, email, user)
    yield
    attempt.take_back()


def sign_in(request: HttpRequest, email: str) -> None:
    """Count a form that was sent, right or wrong: each costs a password's hash. Raises TooMany."""
    tries = _who(request, _person(request, email))
    limits.count(f"sign-in:{tries}:{_target(email)}", limit=settings.SIGN_IN_RATE, seconds=60)
    if tries.startswith("place:"):
        limits.count(f"sign-in:{tries}", limit=max(_PLACE, settings.SIGN_IN_RATE), seconds=60)


def forget(email: str) -> None:
    """After the person has shown by their mailbox that they are there: what everybody tried counts no more."""
    for kind in (PASSWORD, CODE):
        limits.forget(f"{kind.name}:{_target(email)}")


def _who(request: HttpRequest, user: User | None) -> str:
    if user is not None:
        if device := devices.known(request, user):
            return f"device:{device}"
        if request.user.is_authenticated and request.user.pk == user.pk:
            return f"session:{_digest(str(request.session.session_key))}"
    return f"place:{get_ip(request)}"


def _person(request: HttpRequest, email: str) -> User | None:
    """Looked for only where a cookie or a session may tell that it is theirs."""
    if settings.DEVICE_COOKIE_NAME not in request.COOKIES and not request.user.is_authenticated:
        return None
    return User.objects.filter(email=email).first()


def _plain(email: str) -> str:
    """One spelling of what may be looked up as the same address, and of what is none."""
    return unicodedata.normalize("NFKC", email_addresses.asked(email)).casefold()


def _target(email: str) -> str:
    # No addresses in the table of counts.
    return _digest(_plain(email))


def _digest(text: str) -> str:
    digest: str = salted_hmac("accounts.attempts", text, algorithm="sha256").hexdigest()[:32]
    return digest
