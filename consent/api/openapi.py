"""The OpenAPI description of the API, and the page that shows it."""

import functools
import hashlib
import threading
from typing import Any

from csp.decorators import csp_update
from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import get_conditional_response
from django.utils.decorators import method_decorator
from django.utils.http import quote_etag
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request

from . import operations
from .examples import DECISION, EVALUATED, EVALUATION, EXAMPLES, QUESTION
from .fields import Input

JSON = "application/json"
_FRESH_SECONDS = 300  # for so long nobody need ask again


class InstantExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "consent.api.fields.Instant"

    def map_serializer_field(self, _auto_schema: Any, _direction: str) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


class KeyExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "key"

    def get_security_definition(self, _auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key; each operation says which scope it needs.",
        }


class SessionExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "consent.api.base.SessionWithToken"
    name = "session"

    def get_security_definition(self, _auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "A browser's, with its CSRF token.",
        }


@functools.cache
def _described() -> None:
    operations.describe()


def prepare(endpoints: list[Any], **_kwargs: Any) -> list[Any]:
    """Before the views are looked at."""
    _described()
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


def finish(result: dict[str, Any], generator: Any, **_kwargs: Any) -> dict[str, Any]:
    """What the framework can't know: the plain views, unknown fields refused, the verbs of jobs."""
    for (name, _kind), component in generator.registry._components.items():
        shape = component.object
        if isinstance(shape, type) and issubclass(shape, Input) and name in result["components"]["schemas"]:
            result["components"]["schemas"][name]["additionalProperties"] = False
    for path, operation in result["paths"].items():
        verb = path.rstrip("/").rpartition("/")[2]
        if "/bulk-jobs/" in path and verb in operations.VERBS:
            operation["post"] |= {"summary": operations.VERBS[verb], "operationId": f"{verb}BulkJob"}
            operation["post"]["description"] = f"{operations.VERBS[verb]}. Scope: consent:write."
    for each in operations.OPERATIONS:
        if each.method == "delete" and each.body is not None:
            _operation(result, each.name)["requestBody"] = _body_of_delete(each.body)
    result["paths"] |= plain()
    result["components"]["schemas"] |= SCHEMAS
    _spell_null(result)
    return result


def _operation(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for path in result["paths"].values() for each in path.values() if each["operationId"] == name)


def _body_of_delete(shape: type[Any]) -> dict[str, Any]:
    """The framework leaves it out; ours say why, unless a parameter does."""
    schema = {"type": "object", "properties": {"reason": _TEXT}, "additionalProperties": False}
    content = {JSON: {"schema": schema, "examples": _example(EXAMPLES[shape.__name__])}}
    return {"required": False, "content": content}


def _spell_null(part: Any) -> None:
    """`nullable` is of OpenAPI 3.0."""
    if isinstance(part, dict):
        if part.pop("nullable", False) and isinstance(part.get("type"), str):
            part["type"] = [part["type"], "null"]
        for each in part.values():
            _spell_null(each)
    elif isinstance(part, list):
        for each in part:
            _spell_null(each)


# --- The plain views --------------------------------------------------------------------------------------------------

_TEXT, _INSTANT = {"type": "string"}, {"type": "string", "format": "date-time"}
_NULLABLE = {"type": ["string", "null"]}
SCHEMAS: dict[str, Any] = {
    "Question": {
        "type": "object",
        "properties": {
            "organization": _TEXT, "product": _TEXT, "member": _NULLABLE, "data_kind": _NULLABLE,
            "collected_at": {"type": ["string", "null"], "format": "date-time"},
            "at": {"type": ["string", "null"], "format": "date-time"},
        },
        "required": ["organization", "product"],
        "additionalProperties": False,
    },
    "Decision": {
        "type": "object",
        "properties": {
            "allowed": {"type": "boolean"}, "reason": _TEXT, "detail": _TEXT, "decided_at": _INSTANT,
            "layers": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["allowed", "reason", "detail", "decided_at"],
    },
    "Questions": {
        "type": "object",
        "properties": {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Question"}, "maxItems": 10000}},
        "required": ["items"],
        "additionalProperties": False,
    },
    "Decisions": {
        "type": "object",
        "properties": {
            "decisions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"allowed": {"type": "boolean"}, "reason": _NULLABLE, "error": {"type": "object"}},
                    "required": ["allowed", "reason"],
                },
            },
            "decided_at": _INSTANT,
        },
        "required": ["decisions", "decided_at"],
    },
    "Evaluation": {
        "type": "object",
        "properties": {
            "subject": {"$ref": "#/components/schemas/Entity"}, "resource": {"$ref": "#/components/schemas/Entity"},
            "action": {"type": "object", "properties": {"name": _TEXT}, "required": ["name"]},
            "context": {"type": "object"},
        },
        "required": ["subject", "action", "resource"],
    },
    "Entity": {
        "type": "object",
        "properties": {"type": _TEXT, "id": _TEXT, "properties": {"type": "object"}},
        "required": ["type", "id"],
    },
    "Evaluations": {
        "type": "object",
        "properties": {
            "evaluations": {"type": "array", "items": {"type": "object"}},
            "options": {"type": "object", "properties": {"evaluations_semantic": _TEXT}},
        },
    },
    "Evaluated": {
        "type": "object",
        "properties": {"decision": {"type": "boolean"}, "context": {"type": "object"}},
        "required": ["decision"],
    },
    "EvaluatedMany": {
        "type": "object",
        "properties": {"evaluations": {"type": "array", "items": {"$ref": "#/components/schemas/Evaluated"}}},
    },
}  # fmt: skip


def plain() -> dict[str, Any]:
    explain = {
        "in": "query", "name": "explain", "schema": {"type": "boolean"},
        "description": "The layers that led to the answer, too.",
    }  # fmt: skip
    return {
        "/api/v1/decisions/": _question(
            "decide", "May this be used for training?", "Question", QUESTION, "Decision", DECISION, [explain]
        ),
        "/api/v1/decisions/batch/": _question(
            "decideMany", "Up to 10,000 questions at once, from one snapshot", "Questions", {"items": [QUESTION]},
            "Decisions", {"decisions": [{"allowed": True, "reason": "plan_default"}], "decided_at": DECISION["decided_at"]},
        ),
        "/access/v1/evaluation": _question(
            "evaluate", "AuthZEN: one evaluation", "Evaluation", EVALUATION, "Evaluated", EVALUATED
        ),
        "/access/v1/evaluations": _question(
            "evaluateMany", "AuthZEN: many evaluations", "Evaluations", {"evaluations": [EVALUATION]}, "EvaluatedMany",
            {"evaluations": [EVALUATED]},
        ),
    }  # fmt: skip


def _question(
    name: str, about: str, asked: str, example: Any, answer: str, answered: Any, parameters: Any = ()
) -> dict[str, Any]:
    problem = {operations.PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemOutput"},
                                    "examples": {"Refused": {"value": EXAMPLES["ProblemOutput"]}}}}  # fmt: skip
    words = operations.WORDS
    responses: dict[str, Any] = {
        "200": {"description": "Answered.", "content": {JSON: {"schema": _ref(answer), "examples": _example(answered)}}}
    }
    for status in (400, 401, 403, 413, 415, 429, 503):
        responses[str(status)] = {"description": words[status], "content": problem}
    body = {"required": True, "content": {JSON: {"schema": _ref(asked), "examples": _example(example)}}}
    return {
        "post": {
            "operationId": name, "summary": about, "description": f"{about}. Scope: decisions:read.",
            "tags": ["decisions"], "parameters": list(parameters), "requestBody": body, "responses": responses,
            "security": [{"key": []}, {"session": []}],
        }
    }  # fmt: skip


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _example(value: Any) -> dict[str, Any]:
    return {"Example": {"value": value}}


# --- Served -----------------------------------------------------------------------------------------------------------


_making = threading.Lock()


@functools.cache
def _description(language: str) -> tuple[bytes, str]:
    """The description in a language, and its ETag; making it takes a second, so it is made once in each process."""
    with translation.override(language):
        made = SchemaGenerator(urlconf=settings.ROOT_URLCONF).get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
        text = OpenApiJsonRenderer().render(made)
    return text, quote_etag(hashlib.sha256(text).hexdigest()[:32])


class Schema(SpectacularAPIView):
    """For whoever asks: it says nothing that is anybody's, and the same to everybody."""

    http_method_names = ["get", "head"]
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    renderer_classes = [OpenApiJsonRenderer]

    def get(self, request: Request, *_args: Any, **_kwargs: Any) -> HttpResponseBase:
        language = translation.get_language() or settings.LANGUAGE_CODE
        with _making:  # those who ask first, all at once, wait for one to make it
            text, etag = _description(language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE)
        headers = {"ETag": etag, "Cache-Control": f"public, max-age={_FRESH_SECONDS}"}
        response = HttpResponse(text, content_type=OpenApiJsonRenderer.media_type, headers=headers)
        return get_conditional_response(request, etag=etag, response=response) or response


# Its icons are pictures in the style sheet.
@method_decorator(csp_update({"img-src": ["data:"]}), name="dispatch")
class Docs(SpectacularSwaggerSplitView):
    http_method_names = ["get", "head"]
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    url_name = "schema"
    url_self = None
    template_name = "api/docs.html"
