"""Signing secrets: derived, never stored, so that no copy of the database contains them.

A secret is derived from a key of WEBHOOK_KEYS and the webhook's id and generation; a rotation increases the generation.
The webhook stores which key it is, so a new key in the settings does not change a secret until somebody rotates it.
"""

import base64
import datetime as dt
import hmac
from typing import Any

from django.utils.crypto import salted_hmac
from standardwebhooks import Webhook

from accounts import keys
from accounts.fields import from_micros, to_micros

from ..models import WebhookEndpoint

# How long the previous secret also signs after a rotation.
BOTH = dt.timedelta(hours=24)
# Stands for SECRET_KEY: the secrets of webhooks from before WEBHOOK_KEYS existed are derived from it.
FROM_SECRET_KEY = ""


def current_key() -> str:
    """The id of the key that new secrets are derived from."""
    return keys.ring(keys.WEBHOOKS)[0].id


def secret_of(endpoint: WebhookEndpoint) -> str:
    """The secret, `whsec_…` as in Standard Webhooks. Raises UnknownKey if its key is not in WEBHOOK_KEYS."""
    return _derived(endpoint, endpoint.key_id, endpoint.generation)


def _derived(endpoint: WebhookEndpoint, key_id: str, generation: int) -> str:
    value = f"{endpoint.pk}:{generation}"
    if key_id == FROM_SECRET_KEY:
        digest = salted_hmac("consent.webhooks", value, algorithm="sha256").digest()
    else:
        digest = hmac.digest(keys.find(keys.WEBHOOKS, key_id).material, value.encode(), "sha256")
    return "whsec_" + base64.b64encode(digest).decode()


def rotated(endpoint: WebhookEndpoint, at: dt.datetime, *, overlap: bool = True) -> dict[str, Any]:
    """Field values to store for a new secret, from the current key; without `overlap` earlier ones stop signing.

    `previous` lists earlier secrets: [key id, generation, end of validity in microseconds].
    """
    previous = _signing(endpoint, at) if overlap else []
    if overlap:
        previous.insert(0, [endpoint.key_id, endpoint.generation, to_micros(at + BOTH)])
    return {"key_id": current_key(), "generation": endpoint.generation + 1, "previous": previous}


def previous_until(endpoint: WebhookEndpoint) -> dt.datetime | None:
    """The end of the time in which an earlier secret also signs; None without one."""
    ends = [until for _key, _generation, until in endpoint.previous]
    return from_micros(max(ends)) if ends else None


def _signing(endpoint: WebhookEndpoint, at: dt.datetime) -> list[list[Any]]:
    return [each for each in endpoint.previous if from_micros(each[2]) > at]


def signatures(endpoint: WebhookEndpoint, message_id: str, at: dt.datetime, body: str) -> str:
    """The value of `webhook-signature`: the current secret's signature, then those of earlier ones still valid.

    Raises UnknownKey if the current secret can't be derived; an earlier one that can't is left out.
    """
    secrets = [secret_of(endpoint)]
    for key_id, generation, _until in _signing(endpoint, at):
        try:
            secrets.append(_derived(endpoint, key_id, generation))
        except keys.UnknownKey:
            continue
    return " ".join(Webhook(secret).sign(message_id, at, body) for secret in secrets)
