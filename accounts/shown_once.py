"""New secrets, on their way from the request that made them to the page that shows them.

The page is reached by a redirect, so that loading it again makes no second secret. For these few minutes the secret
is in the session: encrypted, this person's alone, and gone when they sign out. The next request after that removes it.
"""

import time
from typing import Any

from django.http import HttpRequest

_SECRETS = "shown_once"
MINUTES = 10


def keep(request: HttpRequest, what: object, secret: str) -> None:
    """Keep the secret of the thing with this id; other people's sessions never see it."""
    request.session[_SECRETS] = {**_fresh(request), str(what): [secret, time.time() + MINUTES * 60]}


def find(request: HttpRequest, what: object) -> str:
    """The secret, as often as the page is loaded within its minutes; '' after that, and for everybody else."""
    fresh = _fresh(request)
    return str(fresh[str(what)][0]) if str(what) in fresh else ""


def forget(request: HttpRequest, what: object) -> None:
    """It has been copied."""
    request.session[_SECRETS] = {key: entry for key, entry in _fresh(request).items() if key != str(what)}


def remove_old(request: HttpRequest) -> None:
    """Remove the secrets whose minutes are over; nothing is written where there are none."""
    fresh = _fresh(request)
    if fresh != request.session.get(_SECRETS, {}):
        request.session[_SECRETS] = fresh


def _fresh(request: HttpRequest) -> dict[str, Any]:
    stored: dict[str, Any] = request.session.get(_SECRETS, {})
    return {key: entry for key, entry in stored.items() if entry[1] > time.time()}
