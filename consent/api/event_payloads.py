"""The messages that webhooks receive, for the OpenAPI description: one for each kind of event."""

from typing import Any

from ..presentation.event_catalogue import catalogue

_TEXT = {"type": "string"}
_HEADERS = {
    "webhook-id": ("The message's id: the same each time it is sent.", _TEXT),
    "webhook-timestamp": ("When it was sent, in seconds since 1970.", {"type": "integer"}),
    "webhook-signature": ("Its signatures, as Standard Webhooks says; any that verifies is enough.", _TEXT),
}


def webhooks() -> dict[str, Any]:
    """Kind of event → OpenAPI path item, for the description's `webhooks`."""
    return {entry["kind"]: {"post": _message(entry)} for entry in catalogue()}


def _message(entry: dict[str, Any]) -> dict[str, Any]:
    told = "Only operators' webhooks are sent this kind of event" if entry["operators_only"] else "Sent"
    content = {"schema": _payload(entry), "examples": {"Event": {"value": entry["example"]}}}
    return {
        "operationId": "on" + entry["kind"].title().replace(".", "").replace("_", ""),
        "summary": entry["label"],
        "description": f"{told}, in order, at least once. Answer 2xx; after anything else it is sent again.",
        "tags": ["webhooks"],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": about, "schema": schema}
            for name, (about, schema) in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"2XX": {"description": "Received."}, "410": {"description": "Gone: the webhook is paused."}},
        "security": [],
    }


def _payload(entry: dict[str, Any]) -> dict[str, Any]:
    """The schema of a message: the common one, narrowed by what holds for this kind."""
    kind = entry["kind"]
    properties: dict[str, Any] = {
        "type": {"const": kind, "description": f"Always `{kind}`."},
        "kind": {"const": kind, "description": f"Always `{kind}`."},
    }
    for name in ("before", "after", "target"):
        if entry[name] is None:
            properties[name] = {"type": "null", "description": "Always null."}
        else:
            properties[name] = {"type": "string", "description": f"{entry[name][0].upper()}{entry[name][1:]}."}
    return {
        "allOf": [
            {"$ref": "#/components/schemas/EventMessageOutput"},
            {"type": "object", "properties": properties, "required": list(properties)},
        ],
        "description": entry["label"] + ".",
    }
