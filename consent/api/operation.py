"""An operation of the API as the OpenAPI description documents it: input, answers, refusals, parameters, examples."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.views import APIView

from config import media_types

from ..services.layers import REASON_LENGTH
from .examples import EXAMPLES
from .fields import Output
from .paging import MAX_LIMIT

PEOPLE = "none"  # in place of a scope: no key is accepted, only somebody who is signed in
PROBLEM, LINES = media_types.PROBLEM, media_types.JSON_LINES
WORDS = {
    400: "What is wrong with the input, named.",
    401: "No credentials, or bad ones.",
    403: "Not allowed with these credentials.",
    404: "Absent, or somebody else's.",
    406: "The answer can't be had in a format that was asked for: it is JSON.",
    409: "The rules say no, as things stand; or somebody else wrote at the same time.",
    410: "It was there, and what it takes was erased.",
    412: "It has changed since the version that was named.",
    413: "The body is too large.",
    415: "The body is no JSON in UTF-8, or has a Content-Encoding.",
    422: "The idempotency key was sent with another request before; or this can't be true, or contradicts itself.",
    428: "This loosens: say by If-Match which version of the setting it was decided on.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "The database did not answer; Retry-After says when to come back.",
}


class FaultOutput(Output):
    about = "What is wrong with one part of the request."

    pointer = serializers.CharField(
        help_text="Where: a JSON pointer into the body, like `#/choice`, or `?name` of a parameter."
    )
    detail = serializers.CharField(help_text="What is wrong, in words.")


class ProblemOutput(Output):
    about = "Why a request was refused, as RFC 9457 has it."

    type = serializers.CharField(help_text="Always `about:blank`: the status says what kind of problem it is.")
    title = serializers.CharField(help_text="The status in words.")
    status = serializers.IntegerField(min_value=400, max_value=599, help_text="The status.")
    code = serializers.CharField(help_text="What it is, for programs: like `invalid`, `forbidden` or `drifted`.")
    detail = serializers.CharField(help_text="What it is, for people.")
    errors = FaultOutput(many=True, help_text="What to mend, part by part; may be empty.")  # type: ignore[assignment]
    request_id = serializers.CharField(help_text="The `X-Request-ID` of this answer: name it when you ask for help.")
    allowed = serializers.BooleanField(
        required=False, help_text="Only where a question could not be answered: `false`, for that means no."
    )


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation. `scopes`: a key needs any of them. `answer` None: 204. `more`: description; default is `about`."""

    view: type[APIView]
    method: str
    name: str
    about: str
    scopes: Sequence[str]
    answer: type[Output] | None = None
    body: type[serializers.Serializer[Any]] | None = None
    status: int = 200
    refusals: Sequence[int] = ()
    parameters: Sequence[OpenApiParameter] = ()
    # Status → answer, where a success can have another status than `status`.
    also: Mapping[int, type[Output]] = dataclasses.field(default_factory=dict)
    more: str = ""
    tagged: bool = False  # the answer to this write has an ETag; that of a read always has one
    lines: bool = False  # the answer is JSON Lines
    also_as: str = ""  # another media type that the answer can be had in
    later: bool = False  # a 409 says by Retry-After when to come back
    file: str = ""  # the media type of an answer that is a file; `answer` is not shown then

    @property
    def has_tag(self) -> bool:
        return self.tagged or self.is_read

    @property
    def is_read(self) -> bool:
        return self.method == "get" and not self.lines and not self.file

    @property
    def tag(self) -> str:
        module = self.view.__module__.rpartition(".")[2]
        return TAG_OF.get(module, module.replace("_", " "))


# The tags that are not the name of the view's module.
TAG_OF = {
    "asked": "privacy settings",
    "stream": "events",
    "receipts": "events",
    "runs": "training runs",
    "keys": "API keys",
    "catalogue": "catalogue",
    "external_ids": "external ids",
}


def described(operation: Operation) -> Any:
    """The decorator that documents a view's method as this operation."""
    paginator = getattr(operation.view, "paginator", None) if operation.method == "get" else None
    query = getattr(operation.view, "query_class", None) if operation.method == "get" else None
    parameters: list[Any] = [query] if query is not None and query().fields else []
    parameters += [*_paging(paginator), *operation.parameters]
    if operation.method == "delete" and operation.body is not None:
        parameters.append(_REASON)
    if operation.is_read:
        parameters.append(_IF_NONE_MATCH)
    return extend_schema(
        operation_id=operation.name,
        summary=operation.about,
        description=f"{operation.more or operation.about + '.'}\n\n{credentials_needed(operation.scopes)}",
        tags=[operation.tag],
        parameters=parameters,
        request=operation.body,
        responses=_responses(operation, paginator),
        examples=_examples(operation, paginator),
    )


_IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", {"type": "string", "maxLength": 2000}, OpenApiParameter.HEADER,
    description="The `ETag` of an answer that you have, or several: 304, without a body, while it is the answer.",
)  # fmt: skip
_REASON = OpenApiParameter(
    "reason", {"type": "string", "maxLength": REASON_LENGTH}, OpenApiParameter.QUERY,
    description="Why: here, or in the body; in both only if it is the same.",
)  # fmt: skip


def credentials_needed(scopes: Sequence[str]) -> str:
    if PEOPLE in scopes:
        return "Signed in, never with a key."
    if not scopes:
        return "A key of any scope, or signed in."
    return f"A key with the scope {' or '.join(f'`{scope}`' for scope in scopes)}, or signed in."


AFTER = (
    {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**63 - 1, "default": 0},
    "Only what follows this position.",
)
_PAGING: dict[str, tuple[Any, str]] = {
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50},
        "At most so many on a page.",
    ),
    "cursor": ({"type": "string", "maxLength": 200}, "Where the page begins, from the page before: take `next`."),
    "after": AFTER,
}


def _paging(paginator: Any) -> list[OpenApiParameter]:
    found = []
    for name in paginator.parameters if paginator is not None else ():
        kind, about = _PAGING[name]
        found.append(OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=about))
    return found


def _responses(operation: Operation, paginator: Any) -> dict[Any, Any]:
    answer = operation.answer
    found: dict[Any, Any] = {}
    if answer is None:
        found[204] = OpenApiResponse(description="Done; there is nothing to show.")
    elif operation.file:
        found[200, operation.file] = OpenApiResponse(OpenApiTypes.BINARY, description="The file.")
    elif operation.lines:
        found[200, LINES] = OpenApiResponse(str, description="A line for each, in order.")
    elif paginator is not None:
        page = _page_of(answer)
        found[operation.status] = OpenApiResponse(page, description=page.about)
    else:
        found[operation.status] = OpenApiResponse(answer, description=answer.about)
    if operation.also_as:
        found[operation.status, operation.also_as] = OpenApiResponse(str, description=operation.about)
    if operation.is_read:
        found[304] = OpenApiResponse(description="The answer is still what `If-None-Match` names; there is no body.")
    found |= {status: OpenApiResponse(also, description=also.about) for status, also in operation.also.items()}
    usual = [400, 401, 403, 404, 406, 429, 503]
    usual += [413, 415] if operation.method != "get" else []
    for status in sorted({*usual, *operation.refusals}):
        found[status, PROBLEM] = OpenApiResponse(ProblemOutput, description=WORDS[status])
    return found


@functools.cache
def _page_of(answer: type[Output]) -> type[Output]:
    fields = {
        "about": "A page of a list.",
        "results": answer(many=True, max_length=MAX_LIMIT, help_text="What is on this page."),  # type: ignore[call-arg]
        "next": serializers.URLField(
            allow_null=True, help_text="The address of the page after it; null where this is the last."
        ),
    }
    return type(f"{answer.__name__.removesuffix('Output')}Page", (Output,), fields)


def _examples(operation: Operation, paginator: Any) -> list[OpenApiExample]:
    refused = EXAMPLES["ProblemOutput"]
    found = [
        OpenApiExample("Refused", refused, response_only=True, media_type=PROBLEM, status_codes=["400"]),
    ]
    if operation.body is not None:
        found.append(OpenApiExample("Request", EXAMPLES[operation.body.__name__], request_only=True))
    for status, shape in {operation.status: operation.answer, **operation.also}.items():
        if shape is None or operation.file:
            continue
        shown = EXAMPLES[shape.__name__]
        if paginator is not None:
            shown = {"results": [shown], "next": None}
        if operation.lines:
            shown = json.dumps(shown) + "\n"
        media = LINES if operation.lines else "application/json"
        found.append(
            OpenApiExample(f"Answer {status}", shown, response_only=True, media_type=media, status_codes=[str(status)])
        )
    return found
