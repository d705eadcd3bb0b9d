"""API keys: issuing them, and recognising them in a request."""

import contextlib
import datetime as dt
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Iterable, Iterator

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .access import Actor, known_scopes
from .models import ApiKey, Organization, User

logger = logging.getLogger(__name__)

# Recognisable in a leaked file: `tck_`, 8 public characters, `_`, 256 bits of secret.
_FORM = re.compile(r"tck_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}")
_PREFIX_LENGTH = 12
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
LAST_USED_PRECISION = dt.timedelta(minutes=1)


class InvalidKey(Exception):
    """One error for every way in which a key can be wrong, so that nothing can be learnt from it."""


def _digest(key: str) -> str:
    return hmac.new(settings.API_KEY_PEPPER.encode(), key.encode(), hashlib.sha256).hexdigest()


def issue_key(
    name: str,
    scopes: Iterable[str],
    *,
    organization: Organization | None = None,
    expires_at: dt.datetime | None = None,
    issued_by: User | None = None,
) -> tuple[ApiKey, str]:
    """Store a new key and return it with its text, which is nowhere else and never shown again.

    `issued_by` answers for what is done with it: without anybody it can't start bulk jobs.

    Raises ValueError for no scope, an unknown one, or one that only operator keys may have.
    """
    granted = known_scopes(list(scopes))
    if not granted:
        raise ValueError("a key needs at least one scope")
    if organization is not None and ApiKey.Scope.CONSENT_MEMBER in granted:
        raise ValueError(f"the scope {ApiKey.Scope.CONSENT_MEMBER.value} is for operator keys only")
    prefix = "tck_" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        name=name,
        prefix=prefix,
        hash=_digest(text),
        scopes=granted,
        organization=organization,
        expires_at=expires_at,
        issued_by=issued_by,
    )
    return key, text


def revoke_key(key: ApiKey) -> bool:
    """End a key for good, at once; whether it was not revoked before."""
    return bool(ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()))


def recognise(text: str, now: dt.datetime | None = None) -> ApiKey:
    """The live key that this text is; raises InvalidKey for any other text."""
    now = now or timezone.now()
    if not _FORM.fullmatch(text):
        raise InvalidKey
    key = ApiKey.objects.select_related("organization").filter(prefix=text[:_PREFIX_LENGTH]).first()
    # Compare even where there is no such prefix: the time taken must not tell the two apart.
    matches = hmac.compare_digest(key.hash if key else _digest(""), _digest(text))
    if key is None or not matches or not key.is_live(now):
        raise InvalidKey
    _note_use(key, now)
    return key


def _note_use(key: ApiKey, now: dt.datetime) -> None:
    """Remember the use, to the minute. A convenience: where it fails, the question must still be answered."""
    stale = now - LAST_USED_PRECISION
    if key.last_used_at is not None and key.last_used_at > stale:
        return
    try:
        with _without_waiting():
            ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=stale), pk=key.pk).update(last_used_at=now)
    except DatabaseError:
        logger.warning("could not note the use of key %s", key.prefix, exc_info=True)


@contextlib.contextmanager
def _without_waiting() -> Iterator[None]:
    """On SQLite, no queueing behind a long write: the question that the key came with would wait too."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    sqlite = connection.connection
    (usual,) = sqlite.execute("PRAGMA busy_timeout").fetchone()
    sqlite.execute("PRAGMA busy_timeout = 20")
    try:
        yield
    finally:
        sqlite.execute(f"PRAGMA busy_timeout = {usual}")


def key_actor(request: HttpRequest) -> Actor | None:
    """The actor that the Authorization header stands for, None without one; raises InvalidKey for a bad one."""
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if not header:
        return None
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidKey
    return Actor.from_key(recognise(text.strip()))


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`; sets request.auth to the Actor."""

    challenge = 'Bearer realm="api"'

    def authenticate(self, request: Request) -> tuple[object, Actor] | None:
        try:
            actor = key_actor(request._request)
        except InvalidKey:
            raise AuthenticationFailed("The API key is missing, unknown, expired or revoked.") from None
        return None if actor is None else (_KeyUser(), actor)

    def authenticate_header(self, request: Request) -> str:
        return self.challenge


class _KeyUser:
    """What DRF takes for a user where a key signed in: authenticated, and nobody in particular."""

    is_authenticated = True
    is_active = True
    is_staff = False
    is_anonymous = False
    pk = None
