"""Positions of webhooks as their organization may know them: only those of events that it sees (R4)."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts.access import Actor
from accounts.models import Organization

from .. import ledger
from ..models import ConsentEvent, WebhookEndpoint


def _seen(organization: Any) -> QuerySet[ConsentEvent]:
    """The events that the organization sees, newest first."""
    return (
        ConsentEvent.objects.filter(placed__organization=organization)
        .without_member_choices()
        .order_by("-placed__position")
    )


def head(organization: Organization | None, actor: Actor) -> int:
    """The ledger's last position as this actor may know it, for endpoints of the organization; 0 without events."""
    if organization is None or actor.is_operator:
        return ledger.head()
    return _seen(organization).values_list("placed__position", flat=True).first() or 0


def shown_positions(endpoints: Sequence[WebhookEndpoint], actor: Actor) -> dict[uuid.UUID, int]:
    """Endpoint id → its position as this actor may know it; at most one query."""
    if actor.is_operator:
        return {endpoint.pk: endpoint.position for endpoint in endpoints}
    last = _seen(OuterRef("organization")).filter(placed__position__lte=OuterRef("position"))
    rows = WebhookEndpoint.objects.filter(pk__in=[endpoint.pk for endpoint in endpoints]).annotate(
        told=Coalesce(Subquery(last.values("placed__position")[:1]), 0)
    )
    return dict(rows.order_by().values_list("pk", "told"))
