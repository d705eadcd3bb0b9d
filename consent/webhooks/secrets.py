"""Signing secrets: derived, never stored, so that no copy of the database has them; each rotation makes another.

Changing SECRET_KEY changes all of them.
"""

import base64
import datetime as dt

from django.utils.crypto import salted_hmac
from standardwebhooks import Webhook

from ..webhook_models import WebhookEndpoint

# For how long the secret before a rotation signs too.
BOTH = dt.timedelta(hours=24)


def secret_of(endpoint: WebhookEndpoint, generation: int | None = None) -> str:
    """`whsec_…`, as Standard Webhooks spells it."""
    value = f"{endpoint.pk}:{generation or endpoint.generation}"
    digest = salted_hmac("consent.webhooks", value, algorithm="sha256").digest()
    return "whsec_" + base64.b64encode(digest).decode()


def signatures(endpoint: WebhookEndpoint, message_id: str, at: dt.datetime, body: str) -> str:
    """The value of `webhook-signature`: with the previous secret's after it, as long as that is valid."""
    generations = [endpoint.generation]
    if endpoint.previous_until is not None and endpoint.previous_until > at:
        generations.append(endpoint.generation - 1)
    return " ".join(Webhook(secret_of(endpoint, each)).sign(message_id, at, body) for each in generations)
