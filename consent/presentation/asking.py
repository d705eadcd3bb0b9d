"""Acts that end or loosen something ask once: the page says what happens, and the act is done when that is confirmed.

What the page says is what the services did, in a transaction that was rolled back. A confirmed act runs in the same
way and stays if it does exactly what the page said: so nobody confirms something that has changed since.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.http import HttpRequest

CONFIRMED = "confirmed"  # the field whose value is the digest of what was confirmed
_NOT_REPEATED = (CONFIRMED, "csrfmiddlewaretoken")


@dataclasses.dataclass(frozen=True)
class Effect:
    """What an act makes of one setting: its sentence now and then, and what that means."""

    about: str
    now: str
    then: str
    lines: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Consequences:
    """What the page says. `seen`: what else must not have changed since, such as versions; it is not shown."""

    title: str
    submit: str
    lines: Sequence[str] = ()
    effects: Sequence[Effect] = ()
    seen: Sequence[object] = ()

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(dataclasses.astuple(self), default=str).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Asked:
    """`told` is None once the act is done; then `result` is what its service returned."""

    result: Any = None
    told: Consequences | None = None
    changed: bool = False  # something else was confirmed than would happen now

    @property
    def status(self) -> int:
        return 409 if self.changed else 200


def once_confirmed(request: HttpRequest, act: Callable[[], tuple[Any, Consequences | None]]) -> Asked:
    """Run an act, which returns its result and consequences, and keep it if these are what the request confirms.

    Consequences of None mean that there is nothing to ask. Errors of the act pass through; then nothing is changed.
    """
    given = request.POST.get(CONFIRMED)
    with transaction.atomic():
        result, told = act()
        asks = told is not None and given != told.digest
        if asks:
            transaction.set_rollback(True)
    return Asked(told=told, changed=bool(given)) if asks else Asked(result)


def context(request: HttpRequest, asked: Asked, back: str) -> Mapping[str, Any]:
    """What `includes/ask.html` takes: its form repeats the request, confirmed."""
    sent = [(name, value) for name, values in request.POST.lists() for value in values if name not in _NOT_REPEATED]
    return {"asked": asked, "sent": sent, "url": request.get_full_path(), "back": back}
