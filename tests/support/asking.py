"""Helpers for acts that ask once before they are done."""

import re
from typing import Any

from django.http import HttpResponse
from django.test import Client

_DIGEST = re.compile(r'name="confirmed" value="([0-9a-f]{64})"')


def asks(response: HttpResponse) -> bool:
    return _DIGEST.search(response.content.decode()) is not None


def agreed(response: HttpResponse) -> dict[str, str]:
    """What the form of this page sends beside the act's own fields."""
    found = _DIGEST.search(response.content.decode())
    assert found, "the page asks nothing"
    return {"confirmed": found[1]}


def confirm(client: Client, path: str, sent: dict[str, Any] | None = None, **more: Any) -> HttpResponse:
    """Post an act, and confirm what the page says; an act that is refused is not asked about."""
    first = client.post(path, sent or {}, **more)
    return client.post(path, {**(sent or {}), **agreed(first)}, **more) if asks(first) else first
