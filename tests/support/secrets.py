"""Secrets as they are stored, and as those who have them see them."""

import datetime as dt

from django.db import connection
from django.utils.crypto import salted_hmac
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from accounts.fields import to_micros
from consent.models import WebhookEndpoint
from consent.webhooks.secrets import signatures


def stored() -> str:
    """Every text of every table, as the database holds it, which is what a copy of it holds."""
    texts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            texts += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(texts)


def verifies(endpoint: WebhookEndpoint, secret: str, at: dt.datetime | None = None) -> bool:
    """Whether a receiver that has this secret accepts what is sent at that instant."""
    now = dt.datetime.now(dt.UTC)
    # The verifier has no clock but the machine's: the ends of earlier secrets are moved instead.
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
    """As it was derived before there were WEBHOOK_KEYS."""
    import base64

    digest = salted_hmac("consent.webhooks", f"{endpoint.pk}:{endpoint.generation}", algorithm="sha256").digest()
    return "whsec_" + base64.b64encode(digest).decode()
