"""Webhooks of the cast: creating events for them, and delivering these."""

import time
from typing import Any

from consent import ledger
from consent.delivery import endpoints, sending
from consent.models import WebhookEndpoint
from consent.services import organizations, webhooks
from tests.support.cast import Cast
from tests.support.webhook_receiver import Receiver

LOCAL = {"DEBUG": True, "WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.0/8", "::1/128"]}


def endpoint_for(cast: Cast, there: Receiver, *, everybody: bool = False, **more: Any) -> WebhookEndpoint:
    organization = None if everybody else cast.labs
    return webhooks.create_endpoint(
        source="admin", organization=organization, url=there.url, actor=cast.provider, **more
    )


def happen(cast: Cast, count: int = 1) -> None:
    for n in range(count):
        organizations.update_organization(
            organization=cast.labs, name=f"Kvasir {n} {time.monotonic()}", actor=cast.provider, source="admin"
        )
    ledger.sequence()


def deliver(*, rounds: int = 3) -> None:
    sender = sending.Sender()
    for _ in range(rounds):
        if not endpoints.deliver_next(sender):
            break
    sender.close()
