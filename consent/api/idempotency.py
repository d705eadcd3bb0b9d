"""`Idempotency-Key`: the same request, repeated within a day, gets the first answer again and changes nothing.

The permission is checked each time, before a stored answer is repeated: the caller may have lost it meanwhile. The key
is inserted before the write, in the same transaction, so a concurrent repetition waits for the first request to end.
A request that failed leaves no key behind, and may be repeated.
"""

import datetime as dt
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Actor
from config.problems import Problem

from .. import ledger
from ..models import IdempotencyKey

HEADER = "Idempotency-Key"
KEPT = dt.timedelta(hours=24)
_Post = Callable[..., Response]


def idempotent(may_post: Callable[..., None]) -> Callable[[_Post], _Post]:
    """Decorate a view's `post` that creates something. Its answer is stored, so it must not contain a secret.

    `may_post` gets the view and the URL's arguments, and raises NotFound or Forbidden just as the `post` would.
    """

    def decorate(post: _Post) -> _Post:
        @functools.wraps(post)
        def wrapped(view: Any, request: Request, **kwargs: Any) -> Response:
            may_post(view, **kwargs)
            key = request.headers.get(HEADER)
            if key is None:
                return post(view, request, **kwargs)
            if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
                detail = _("An Idempotency-Key has 1 to 255 printable ASCII characters.")
                raise Problem(400, "idempotency_key", detail)
            with transaction.atomic():
                row = _claimed(view.actor, key, _fingerprint(request))
                if row.status is not None:
                    return _repeated(row, _fingerprint(request))
                response = post(view, request, **kwargs)
                row.status, row.body = response.status_code, json.loads(json.dumps(response.data, default=str))
                row.location = response.headers.get("Location", "")
                row.save(update_fields=["status", "body", "location"])
            return response

        wrapped.repeats_answers = True  # type: ignore[attr-defined]  # for tests of all views
        return wrapped

    return decorate


def _fingerprint(request: Request) -> str:
    said = [request.method, request.path, request.data]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _claimed(actor: Actor, key: str, fingerprint: str) -> IdempotencyKey:
    """The locked row of this key: a new one without a status, or one with the stored answer."""
    now, name = ledger.clock(), f"{actor.type}:{actor.id}"
    rows = IdempotencyKey.objects.filter(actor=name, key=key)
    rows.filter(created_at__lt=now - KEPT).delete()
    row = IdempotencyKey(actor=name, key=key, fingerprint=fingerprint, created_at=now)
    # Waits for a concurrent request with the same key. Conflicts are ignored: an error would abort the transaction.
    IdempotencyKey.objects.bulk_create([row], ignore_conflicts=True)
    return rows.select_for_update().get()


def _repeated(row: IdempotencyKey, fingerprint: str) -> Response:
    if row.fingerprint != fingerprint:
        detail = _("This Idempotency-Key was sent with another request before. Choose another key.")
        raise Problem(422, "idempotency_key_reused", detail)
    headers = {"Location": row.location} if row.location else {}
    return Response(row.body, status=row.status, headers={**headers, "Idempotent-Replayed": "true"})
