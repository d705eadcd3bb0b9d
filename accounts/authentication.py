"""Authentication of requests by API key."""

import contextlib
import datetime as dt
import functools
import hmac
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection
from django.db.models import Q
from django.db.models.base import ModelState
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from .access import Actor, Responsible
from .key_secrets import digest
from .models import ApiKey, Member, MemberRole, User
from .prepared_sql import fetch_prepared
from .seldom import Seldom, first_line

logger = logging.getLogger(__name__)
_not_noted = Seldom(logger)

# `tck_`, 8 public characters, `_`, 256 bits of secret: secret scanners can find the form in a leaked file.
_FORM = re.compile(r"tck_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}")
_PREFIX_LENGTH = 12
KEYS = ApiKey._meta.db_table
_Converter = tuple[int, Callable[[Any], Any]]
LAST_USED_PRECISION = dt.timedelta(minutes=1)


class InvalidKey(Exception):
    """One error for every way in which a key can be wrong, so that a caller learns nothing from it."""

    detail = gettext_lazy("The API key is missing, unknown, expired, revoked or suspended.")


def recognise(text: str, now: dt.datetime | None = None) -> Actor:
    """The actor of the live key with this text. Raises InvalidKey for any other text."""
    columns = ", ".join(key_columns())
    rows = fetch_prepared(f"SELECT {columns} FROM {KEYS} AS k WHERE k.prefix = %s", [prefix_of(text)])  # noqa: S608  names of ours
    return verified(text, rows[0] if rows else None, now)


def prefix_of(text: str) -> str:
    """The public prefix by which a key is looked up. Raises InvalidKey where the text does not have a key's form."""
    if not _FORM.fullmatch(text):
        raise InvalidKey
    return text[:_PREFIX_LENGTH]


def verified(text: str, row: Sequence[Any] | None, now: dt.datetime | None = None) -> Actor:
    """The actor of the live key with this text. `row`: the `key_columns` found by its prefix, or None.

    Raises InvalidKey; also where the person responsible for the key may no longer manage keys (R18).
    """
    now = now or timezone.now()
    actor = None if row is None or row[0] is None else _actor(row)
    key = actor.key if actor else None
    # Compare even where the prefix is unknown: the time taken must not show whether a prefix exists.
    matches = hmac.compare_digest(key.hash if key else digest(""), digest(text))
    if actor is None or key is None or not matches or not key.is_live(now) or not actor.has_worth:
        raise InvalidKey
    _note_use(key, now)
    return actor


@functools.cache
def key_columns() -> list[str]:
    """The SELECT list that `verified` expects, with the table KEYS aliased `k`: the key, then its person's rights.

    Other statements include it to look up a key together with something else. The rights are scalar subqueries, not
    joins, so that PostgreSQL's planner has no more tables to order (`join_collapse_limit`).
    """
    own = [f"k.{connection.ops.quote_name(str(field.column))}" for field in ApiKey._meta.concrete_fields]
    return [*own, _IS_OPERATOR, _ROLE]


# NULL where the key has no person, or that person is deactivated.
_IS_OPERATOR = f"""(SELECT ku.is_staff FROM {User._meta.db_table} AS ku
    WHERE ku.id = k.issued_by_id AND ku.is_active)"""  # noqa: S608  names of ours
_ROLE = f"""(SELECT km.role FROM {Member._meta.db_table} AS km
    WHERE km.organization_id = k.organization_id AND km.user_id = k.issued_by_id AND km.status = 'active')"""  # noqa: S608


def _actor(row: Sequence[Any]) -> Actor:
    names, converters = _reading()
    *values, is_operator, role = row
    for n, convert in converters:
        values[n] = convert(values[n])
    values[_SCOPES] = list(_scopes(values[_SCOPES]))
    # As unpickling does it: without the constructor and its signals, which nobody hears.
    key = ApiKey.__new__(ApiKey)
    key.__dict__.update(zip(names, values, strict=True))
    key._state = ModelState()
    key._state.adding, key._state.db = False, DEFAULT_DB_ALIAS
    if is_operator is None:
        return Actor.from_key(key, Responsible())
    return Actor.from_key(key, Responsible(bool(is_operator), MemberRole(role) if role else None))


_SCOPES = [field.attname for field in ApiKey._meta.concrete_fields].index("scopes")


@functools.lru_cache(256)  # most keys have one of a few sets of scopes
def _scopes(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


@functools.cache
def _reading() -> tuple[list[str], list[_Converter]]:
    """The attribute names of the key's columns; the converters from database values, each with its column number."""
    fields = ApiKey._meta.concrete_fields
    converters: list[_Converter] = []
    for n, field in enumerate(fields):
        if n == _SCOPES:  # see `_scopes`
            continue
        column = field.get_col(KEYS)
        steps = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]
        # Remembered, because the same few keys come again and again, and what is made of their values never changes.
        converters += [(n, functools.lru_cache(1024)(functools.partial(_converted, step, column))) for step in steps]
    return [field.attname for field in fields], converters


def _converted(step: Callable[[Any, Any, Any], Any], column: Any, value: Any) -> Any:
    return step(value, column, connection)


def _note_use(key: ApiKey, now: dt.datetime) -> None:
    """Store when the key was last used, to the minute. Best effort: the request is answered even where this fails."""
    stale = now - LAST_USED_PRECISION
    if key.last_used_at is not None and key.last_used_at > stale:
        return
    try:
        # The condition on last_used_at again: of many concurrent requests only the first one writes.
        with _without_waiting():
            ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=stale), pk=key.pk).update(last_used_at=now)
    except DatabaseError as error:  # a read-only standby fails here every time
        _not_noted.warning("could not note the use of key %s: %s", key.prefix, first_line(error))


@contextlib.contextmanager
def _without_waiting() -> Iterator[None]:
    """On SQLite, give up after 20 ms instead of waiting for a long write, because the request would wait too."""
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


def presented_key(request: HttpRequest) -> str | None:
    """The bearer token of the Authorization header; None without the header. Raises InvalidKey for other schemes."""
    header: str = request.META.get("HTTP_AUTHORIZATION", "")
    if not header:
        return None
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidKey
    return text.strip()


def key_actor(request: HttpRequest) -> Actor | None:
    """The actor authenticated by the Authorization header; None without the header. Raises InvalidKey."""
    text = presented_key(request)
    return None if text is None else recognise(text)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`; sets request.auth to the Actor."""

    challenge = 'Bearer realm="api"'

    def authenticate(self, request: Request) -> tuple[object, Actor] | None:
        try:
            actor = key_actor(request._request)
        except InvalidKey:
            raise AuthenticationFailed(InvalidKey.detail) from None
        return None if actor is None else (_KeyUser(), actor)

    def authenticate_header(self, request: Request) -> str:
        return self.challenge


class _KeyUser:
    """The `request.user` of a request with an API key: DRF needs one that counts as authenticated."""

    is_authenticated = True
    is_active = True
    is_staff = False
    is_anonymous = False
    pk = None
