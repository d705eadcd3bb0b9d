"""The OpenAPI description of the API: drf-spectacular generates it, this module adds what it cannot find out."""

import functools
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema

from accounts.external_ids import LENGTH
from accounts.models import KeyScope
from config.request_id import HEADER as REQUEST_ID

from . import event_payloads, operations, questions, vocabularies
from .fields import IDENT, Input, Output
from .operation import PEOPLE, Operation
from .serializers import SUBSCRIPTIONS

# --- How our fields are described -----------------------------------------------------------------------------------


class InstantExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "consent.api.fields.Instant"

    def map_serializer_field(self, _auto_schema: Any, _direction: str) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


class TextExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "consent.api.fields.Text"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        limits = {
            "minLength": 0 if self.target.allow_blank else 1,
            "maxLength": self.target.longest,
            "pattern": self.target.pattern,
        }
        # drf-spectacular adds the field's help text, default and nullability to what is returned here.
        return {**schema, "type": "string", **{name: value for name, value in limits.items() if value}}


class OneOfExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A reference to the vocabulary's schema; values without a vocabulary are listed in place."""

    target_class = "consent.api.fields.OneOf"
    match_subclasses = True

    def map_serializer_field(self, _auto_schema: Any, _direction: str) -> dict[str, Any]:
        name = self.target.vocabulary or vocabularies.name_of(self.target.choices)
        if name is None:
            return {"type": "string", "enum": list(self.target.choices)}
        return {"$ref": f"#/components/schemas/{name}"}


class Bodies(AutoSchema):
    """Documents the body of a DELETE (its reason), which drf-spectacular omits; requires that of a PUT or PATCH."""

    def _get_request_body(self, direction: Any = "request") -> Any:
        method = self.method
        if method == "DELETE" and self.get_request_serializer() is not None:
            self.method = "POST"
        try:
            body = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        finally:
            self.method = method
        if body and method != "POST":
            body["required"] = method != "DELETE"  # its reason may be a query parameter instead
        return body


# --- Who may call ----------------------------------------------------------------------------------------------------


class KeyExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "key"

    def get_security_definition(self, _auto_schema: Any) -> dict[str, str]:
        scopes = "".join(f"\n* `{value}`: {label}" for value, label in KeyScope.choices)
        about = f"An API key. Each operation says which scopes it takes; any one of them is enough.\n{scopes}"
        return {"type": "http", "scheme": "bearer", "description": about}


class SessionExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "consent.api.base.SessionWithToken"
    name = ["session", "csrf"]

    def get_security_definition(self, _auto_schema: Any) -> list[dict[str, str]]:
        return [
            {
                "type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME,
                "description": "Somebody who is signed in, in a browser.",
            },
            {
                "type": "apiKey", "in": "header", "name": "X-CSRFToken",
                "description": "The token of the browser's cookie, with everything that writes or asks for a decision.",
            },
        ]  # fmt: skip


def _security(method: str, scopes: Any) -> list[dict[str, list[str]]]:
    """The alternatives: any one is enough. Scopes are not listed here but in `x-scopes`: they are not OAuth's."""
    session: dict[str, list[str]] = {"session": []} if method == "get" else {"session": [], "csrf": []}
    return [session] if PEOPLE in scopes else [{"key": []}, session]


# --- What every operation has in common ------------------------------------------------------------------------------

_ID = {"type": "string", "format": "uuid"}
_PATHS: dict[str, tuple[dict[str, Any], str]] = {
    "organization": ({"type": "string", "maxLength": IDENT}, "The organization: its id, or `external:` and your own id of it."),
    "member": ({"type": "string", "maxLength": IDENT}, "The member: their id, or `external:` and your own id of them."),
    "product": ({"$ref": "#/components/schemas/Product"}, "The product, by its key."),
    "surface": ({"$ref": "#/components/schemas/Surface"}, "Where the choice is made; 404 where this one has no such control."),
    "value": ({"type": "string", "maxLength": LENGTH}, "The external id, without `external:`."),
    "invitation": (_ID, "The invitation's id."),
    "job": (_ID, "The job's id."),
    "run": ({"type": "string", "maxLength": IDENT}, "The training run: its id, or `external:` and your own id of it."),
    "batch": (_ID, "The removal's id."),
    "key": (_ID, "The key's id."),
    "webhook": (_ID, "The webhook's id."),
    "consumer": (_ID, "The consumer's id."),
    "event": ({"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}, "The event's id."),
    "position": ({"type": "string", "pattern": "^[0-9]{1,19}$"}, "The position in the ledger."),
    "name": ({"type": "string", "pattern": "^[a-z_]+(-[0-9]+)?[.](json|parquet)$", "maxLength": 100}, "The file's name."),
    "attempt": ({"type": "string", "pattern": "^[0-9]{1,18}$"}, "The attempt's id."),
}  # fmt: skip


def _header(about: str, schema: dict[str, Any], *, always: bool = True) -> dict[str, Any]:
    return {"description": about, "schema": schema, **({"required": True} if always else {})}


_TEXT = {"type": "string"}
HEADERS: dict[str, dict[str, Any]] = {
    REQUEST_ID: _header("The request's id: the caller's own if it sent one, else a new one.", {**_TEXT, "maxLength": 200}),
    "ETag": _header("The tag of what is shown to you, for `If-None-Match`, and for `If-Match` where that is taken.", _TEXT),
    "RateLimit-Policy": _header(
        "How many reads or writes a key may do in how many seconds, like `\"read\";q=50;w=1`; not there without a limit.",
        _TEXT, always=False,
    ),
    "RateLimit": _header(
        "How many of them are left for how many seconds, like `\"read\";r=49;t=1`; not there without a limit.",
        _TEXT, always=False,
    ),
    "Location": _header("The address of what was made, or of where to look from now on.", {**_TEXT, "format": "uri"}),
    "Idempotent-Replayed": _header(
        "`true` where this is the answer that an earlier request with this `Idempotency-Key` got; else not there.",
        {"type": "string", "enum": ["true"]}, always=False,
    ),
    "Retry-After": _header("After how many seconds to come back.", {"type": "integer", "minimum": 0}),
    "WWW-Authenticate": _header("How to say who asks.", _TEXT),
}  # fmt: skip


def _headers_of(status: int, operation: Operation | None) -> list[str]:
    names = [REQUEST_ID]
    if status < 300 and operation is not None:
        names += ["ETag"] if operation.has_tag else []
        names += ["Location"] if status in (201, 202) else []
        names += ["Idempotent-Replayed"] if operation.status in (201, 202) and 422 in operation.refusals else []
    names += ["ETag"] if status == 304 else []
    names += ["RateLimit-Policy", "RateLimit"] if status < 400 or status == 429 else []
    later = status == 409 and operation is not None and operation.later
    names += ["Retry-After"] if status in (429, 503) or later else []
    names += ["WWW-Authenticate"] if status == 401 else []
    return names


def _complete(path: str, method: str, found: dict[str, Any], operation: Operation | None) -> None:
    """Add what drf-spectacular cannot know: security, descriptions of path parameters, response headers."""
    scopes = operation.scopes if operation else questions.SCOPES
    found["security"] = _security(method, scopes)
    found["x-scopes"] = [scope for scope in scopes if scope != PEOPLE]
    for parameter in found.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["schema"], parameter["description"] = _PATHS[parameter["name"]]
    # Without a path parameter there is nothing that could be absent.
    if "{" not in path and not (operation and 404 in operation.refusals):
        found["responses"].pop("404", None)
    for status, response in found["responses"].items():
        names = _headers_of(int(status), operation)
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _unwrap(part: Any) -> None:
    """Replace an `allOf` around one reference by the reference, in place, recursively.

    drf-spectacular wraps a `$ref` that has a description next to it, as OpenAPI 3.0 needed; 3.1 allows both together.
    """
    if isinstance(part, dict):
        if isinstance(wrapped := part.get("allOf"), list) and len(wrapped) == 1 and "$ref" in wrapped[0]:
            part["$ref"] = part.pop("allOf")[0]["$ref"]
        for each in part.values():
            _unwrap(each)
    elif isinstance(part, list):
        for each in part:
            _unwrap(each)


def _describe_shape(schema: dict[str, Any], shape: Input | Output) -> None:
    schema["description"] = shape.about
    if isinstance(shape, Input):
        schema["additionalProperties"] = False
    for name, each in schema["properties"].items():
        each.pop("readOnly", None)  # says nothing: every field of an answer is read-only
        longest = getattr(shape.fields[name], "max_length", None)
        if each.get("type") == "array" and longest is not None:
            each["maxItems"] = longest


# --- Hooks of the framework ------------------------------------------------------------------------------------------


@functools.cache
def _described() -> None:
    operations.describe()


def prepare(endpoints: list[Any], **_kwargs: Any) -> list[Any]:
    """Hook before the views are inspected: attaches our operations, and keeps the paths below /api/v1/."""
    _described()
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


def finish(result: dict[str, Any], generator: Any, **_kwargs: Any) -> dict[str, Any]:
    """Hook on the finished description: adds what drf-spectacular cannot know."""
    schemas = result["components"]["schemas"]
    for (name, _kind), component in generator.registry._components.items():
        if isinstance(component.object, Input | Output):
            _describe_shape(schemas[name], component.object)
    schemas |= vocabularies.components() | questions.SCHEMAS | {"Subscriptions": SUBSCRIPTIONS}
    result["components"]["headers"] = HEADERS
    result["paths"] |= questions.operations()
    # The plain views of `questions` are in no row of the table: `_complete` gets None for them.
    rows = {operation.name: operation for operation in operations.OPERATIONS}
    for path, methods in result["paths"].items():
        for method, found in methods.items():
            _complete(path, method, found, rows.get(found["operationId"]))
    _unwrap(result)
    result["webhooks"] = event_payloads.webhooks()
    result["tags"] = [{"name": name, "description": about} for name, about in operations.TAGS.items()]
    return result
