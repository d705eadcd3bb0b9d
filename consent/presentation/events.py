"""An event as others are told of it: by the API, in streams, and by webhooks."""

import datetime as dt
from typing import Any

from django.utils.translation import gettext as _

from accounts.fields import rfc3339

from ..models import ActorType, ConsentEvent, Source
from .event_catalogue import TEST


def payload(serialized: dict[str, Any]) -> dict[str, Any]:
    """The body of a webhook: the event, its kind and instant also by the names that Standard Webhooks gives them."""
    return {"type": serialized["kind"], "timestamp": serialized["recorded_at"], **serialized}


def serialize_event(event: ConsentEvent, label: str, *, for_operator: bool) -> dict[str, Any]:
    """A placed event as JSON; `label` names who acted. `allowed` is null where no layer was touched."""
    # Which of the provider's people or keys it was is not for organizations to follow from tenant to tenant.
    hidden = event.by_operator and not for_operator
    return {
        "id": str(event.pk),
        "position": event.placed.position,
        "recorded_at": rfc3339(event.recorded_at),
        "kind": event.kind,
        "organization": str(event.organization_id) if event.organization_id else None,
        "member": str(event.member_id) if event.member_id else None,
        "product": event.product or None,
        "surface": event.surface or None,
        "before": event.before or None,
        "after": event.after or None,
        "target": event.target or None,
        "allowed": event.allowed if event.reason_code else None,
        "actor": {"type": event.actor_type, "id": None if hidden else event.actor_id or None, "label": label},
        "source": event.source,
        "reason": event.reason,
        "request_id": event.request_id,
    }


def serialize_test_event(ident: str, at: dt.datetime, position: int, organization: object) -> dict[str, Any]:
    """A message that is no event, in the shape of one: whoever reads events can read it, and knows it by its kind."""
    nothing = ("member", "product", "surface", "before", "after", "target", "allowed")
    return {
        "id": ident,
        "position": position,
        "recorded_at": rfc3339(at),
        "kind": TEST,
        "organization": str(organization) if organization else None,
        **dict.fromkeys(nothing),
        "actor": {"type": ActorType.SYSTEM.value, "id": None, "label": _("the system")},
        "source": Source.COMMAND.value,
        "reason": "",
        "request_id": "",
    }
