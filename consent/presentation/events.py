"""Events as JSON for the API, its stream, and webhooks."""

import datetime as dt
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.fields import rfc3339

from ..models import ActorType, ConsentEvent, EventKind, Restore, Source
from ..surfaces import Shown
from .event_catalogue import TEST


def payload(serialized: dict[str, Any]) -> dict[str, Any]:
    """The body of a webhook: the event, with its kind and instant repeated under the names of Standard Webhooks."""
    return {"type": serialized["kind"], "timestamp": serialized["recorded_at"], **serialized}


def serialize_event(event: ConsentEvent, label: str, *, for_operator: bool) -> dict[str, Any]:
    """An event that has a position, as JSON. `label` is the actor's name; `allowed` is null if it is about no layer."""
    # Hidden, so that organizations can't trace a single operator or key of the provider across tenants.
    hidden = event.by_operator and not for_operator
    return {
        "id": str(event.pk),
        "position": event.placed.position,
        "epoch": event.placed.epoch,
        "recorded_at": rfc3339(event.recorded_at),
        "kind": event.kind,
        "organization": str(event.organization_id) if event.organization_id else None,
        "member": str(event.member_id) if event.member_id else None,
        "product": event.product or None,
        "surface": event.surface or None,
        "before": event.before or None,
        "after": event.after or None,
        "target": event.target or None,
        "url": _url(event),
        "allowed": event.allowed if event.reason_code else None,
        "actor": {"type": event.actor_type, "id": None if hidden else event.actor_id or None, "label": label},
        "source": event.source,
        "reason": event.reason,
        "request_id": event.request_id,
        **_shown(event),
    }


def _shown(event: ConsentEvent) -> dict[str, str | None]:
    return {name: getattr(event, name) or None for name in Shown._fields}


def _url(event: ConsentEvent) -> str | None:
    """Where what the event is about can be read, with a key: the entries of a removal, which no event names (R4)."""
    if event.kind != EventKind.REMOVAL_ISSUED:
        return None
    run, _comma, _entries = event.after.partition(", ")
    return f"{settings.PORTAL_URL}{reverse('api:removals', args=[run])}?batch={event.target}"


def serialize_test_event(ident: str, at: dt.datetime, position: int, organization: object) -> dict[str, Any]:
    """A test message with the fields of an event, so that receivers can parse it; its `kind` is "test"."""
    nothing = ("member", "product", "surface", "before", "after", "target", "url", "allowed")
    return {
        "id": ident,
        "position": position,
        "epoch": Restore.objects.epoch(),
        "recorded_at": rfc3339(at),
        "kind": TEST,
        "organization": str(organization) if organization else None,
        **dict.fromkeys(nothing),
        "actor": {"type": ActorType.SYSTEM.value, "id": None, "label": _("the system")},
        "source": Source.COMMAND.value,
        "reason": "",
        "request_id": "",
        **dict.fromkeys(Shown._fields),
    }
