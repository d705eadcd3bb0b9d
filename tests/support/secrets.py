"""Secrets as they are stored in the database, and as receivers verify them."""

import datetime as dt

from django.db import connection
from django.utils.crypto import salted_hmac
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from accounts.fields import to_micros
from consent.models import WebhookEndpoint
from consent.webhooks.secrets import signatures


def stored() -> str:
    """Every text of every table as it is stored, and so as a copy of the database would contain it."""
    texts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            texts += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(texts)


def verifies(endpoint: WebhookEndpoint, secret: str, at: dt.datetime | None = None) -> bool:
    """Whether a receiver with this secret accepts a message sent at that instant."""
    now = dt.datetime.now(dt.UTC)
    # The verifier only knows the machine's clock, so the ends of earlier secrets are moved instead.
    sooner = to_micros(at) - to_micros(now) if at else 0
    shown = WebhookEndpoint(pk=endpoint.pk, key_id=endpoint.key_id, generation=endpoint.generation)
    shown.previous = [[key, generation, until - sooner] for key, generation, until in endpoint.previous]
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(now.timestamp()))}
    try:
        Webhook(secret).verify("{}", headers | {"webhook-signature": signatures(shown, "evt_1", now, "{}")})
    except WebhookVerificationError:
        return False
    return True


def old_secret(endpoint: WebhookEndpoint) -> str:
    """The secret as it was derived before WEBHOOK_KEYS existed."""
    import base64

    digest = salted_hmac("consent.webhooks", f"{endpoint.pk}:{endpoint.generation}", algorithm="sha256").digest()
    return "whsec_" + base64.b64encode(digest).decode()
