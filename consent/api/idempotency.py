"""`Idempotency-Key`: the same request, sent again within a day, gets the first one's answer and does nothing more.

Whether the caller may do this is asked first, each time: an answer is not given again to who lost the right meanwhile.
The key is stored in the transaction of the write, before it: whoever sends the same at the same time waits for that.
A request that failed leaves nothing behind, and may be sent again.
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
    """For a view's `post` that creates something, and whose answer holds no secret.

    `may_post` is called with the view and what the URL names; it raises NotFound or Forbidden, as the post itself does.
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

        wrapped.repeats_answers = True  # type: ignore[attr-defined]  # seen from outside
        return wrapped

    return decorate


def _fingerprint(request: Request) -> str:
    said = [request.method, request.path, request.data]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _claimed(actor: Actor, key: str, fingerprint: str) -> IdempotencyKey:
    """The row of this key: new, and then without a status, or with the answer that there was."""
    now, name = ledger.clock(), f"{actor.type}:{actor.id}"
    rows = IdempotencyKey.objects.filter(actor=name, key=key)
    rows.filter(created_at__lt=now - KEPT).delete()
    row = IdempotencyKey(actor=name, key=key, fingerprint=fingerprint, created_at=now)
    # Waits here for whoever is at the same request; no error, which would end the transaction.
    IdempotencyKey.objects.bulk_create([row], ignore_conflicts=True)
    return rows.select_for_update().get()


def _repeated(row: IdempotencyKey, fingerprint: str) -> Response:
    if row.fingerprint != fingerprint:
        detail = _("This Idempotency-Key was sent with another request before. Choose another key.")
        raise Problem(422, "idempotency_key_reused", detail)
    headers = {"Location": row.location} if row.location else {}
    return Response(row.body, status=row.status, headers={**headers, "Idempotent-Replayed": "true"})
