"""What every operation of the API is for, takes and answers: from this table comes the OpenAPI description.

Views of the framework are described by their serializers; the plain ones, which answer questions, in `plain`.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.views import APIView

from config.paging import CursorPagination, PositionPagination, WholeList

from . import (
    bulk_jobs,
    catalogue,
    events,
    external_ids,
    keys,
    members,
    organizations,
    privacy_settings,
    stream,
    webhooks,
)
from . import bulk_serializers as bulk
from . import serializers as shapes
from .examples import EXAMPLES

PEOPLE = "none"
PROBLEM = "application/problem+json"
WORDS = {
    400: "What is wrong with the input, named.",
    401: "No credentials, or bad ones.",
    403: "Not allowed with these credentials.",
    404: "Absent, or somebody else's.",
    409: "The rules say no, as things stand; or somebody else wrote at the same time.",
    412: "The setting has changed since the version that was named.",
    413: "The body is too large.",
    415: "The body is no JSON in UTF-8, or has a Content-Encoding.",
    422: "The idempotency key was sent with another request before.",
    428: "This loosens: say by If-Match which version of the setting it was decided on.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "The database did not answer.",
}


class FaultOutput(serializers.Serializer[Any]):
    """`pointer`: a JSON pointer into the body, or `?name` of a parameter."""

    pointer = serializers.CharField()
    detail = serializers.CharField()


class ProblemOutput(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    errors = FaultOutput(many=True)  # type: ignore[assignment]
    request_id = serializers.CharField()


class BulkJobPreview(bulk.BulkJobOutput):
    """Until the job runs, `summary` counts its rows by plan and by what they are and would be; `sample` has some."""

    summary = bulk.SummaryOutput(many=True, required=False)
    sample = bulk.SampleOutput(many=True, required=False)


@dataclasses.dataclass(frozen=True)
class Operation:
    """`answer` None: 204. `scopes`: any of them, for a key."""

    view: type[APIView]
    method: str
    name: str
    about: str
    scopes: Sequence[str]
    answer: type[serializers.Serializer[Any]] | None = None
    body: type[serializers.Serializer[Any]] | None = None
    status: int = 200
    refusals: Sequence[int] = ()
    parameters: Sequence[OpenApiParameter] = ()
    # Further answers, by their status.
    also: Mapping[int, type[serializers.Serializer[Any]]] = dataclasses.field(default_factory=dict)


_IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description='The ETag of the setting, like "3"; needed to loosen.'
)
_KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Sent again within a day, the first answer comes back."
)
_REASON = OpenApiParameter(
    "reason", str, OpenApiParameter.QUERY, description="Why: here, or in the body; in both only if it is the same."
)
_ORGANIZATIONS, _MEMBERS = ("organizations:read",), ("organizations:write",)
_READ, _WRITE = ("consent:read",), ("consent:write",)
_SPEAK = ("consent:write", "consent:member")
_BULK, _HOOKS, _EVENTS = ("consent:write",), ("webhooks:write",), ("events:read",)
_LOOSENING, _CREATING = (409, 412, 428), (409, 422)

# Never by a key: those who are signed in.
_PEOPLE = (PEOPLE,)

O = Operation  # noqa: E741  a table
OPERATIONS = [
    O(catalogue.Products, "get", "listProducts", "The products there are", (), shapes.ProductOutput),
    O(catalogue.Plans, "get", "listPlans", "The plans there are", (), shapes.PlanOutput),
    O(catalogue.Surfaces, "get", "listSurfaces", "Where choices are made", (), shapes.SurfaceOutput),
    O(catalogue.EventKinds, "get", "listEventKinds", "The kinds of events, with an example of what webhooks send", (),
      shapes.EventKindOutput),
    O(organizations.Organizations, "get", "listOrganizations", "Organizations, newest first", _ORGANIZATIONS,
      shapes.OrganizationOutput),
    O(organizations.Organizations, "post", "createOrganization", "Create an organization", _MEMBERS,
      shapes.OrganizationOutput, shapes.OrganizationInput, 201, _CREATING, (_KEY,)),
    O(organizations.OrganizationDetail, "get", "getOrganization", "One organization", _ORGANIZATIONS,
      shapes.OrganizationOutput),
    O(organizations.OrganizationDetail, "patch", "changeOrganization", "Change details; close and reopen (operators)",
      _MEMBERS, shapes.OrganizationOutput, shapes.OrganizationChange, 200, (409,)),
    O(organizations.SubscriptionDetail, "put", "subscribe", "Start a subscription, or move it to another plan", _MEMBERS,
      shapes.OrganizationOutput, shapes.SubscriptionInput, 200, (409,)),
    O(organizations.SubscriptionDetail, "delete", "endSubscription", "End a subscription", _MEMBERS, None,
      shapes.ReasonInput, 204, (409,)),
    O(members.Members, "get", "listMembers", "An organization's members", _ORGANIZATIONS, shapes.MemberOutput),
    O(members.Members, "post", "addMember", "Invite somebody (organizations), or let them join (operators)", _MEMBERS,
      shapes.MemberOutput, shapes.MemberInput, 201, _CREATING, (_KEY,), {202: shapes.InvitationOutput}),
    O(members.Invitations, "get", "listInvitations", "Invitations that can still be accepted", _ORGANIZATIONS,
      shapes.InvitationOutput),
    O(members.InvitationDetail, "get", "getInvitation", "One invitation", _ORGANIZATIONS, shapes.InvitationOutput),
    O(members.InvitationDetail, "delete", "withdrawInvitation", "Its link leads nowhere from now on", _MEMBERS, None, None,
      204),
    O(members.MemberDetail, "get", "getMember", "One member", _ORGANIZATIONS, shapes.MemberOutput),
    O(members.MemberDetail, "patch", "changeMember", "Change role or external id", _MEMBERS, shapes.MemberOutput,
      shapes.MemberChange, 200, (409,)),
    O(members.MemberDetail, "delete", "removeMember", "A member leaves", _MEMBERS, None, None, 204, (409,)),
    O(external_ids.OrganizationExternalId, "delete", "withdrawExternalId",
      "An organization's external id means nobody from now on (operators)", _MEMBERS, None, shapes.WithdrawalInput, 204),
    O(external_ids.MemberExternalId, "delete", "withdrawMemberExternalId",
      "A member's external id means nobody from now on (operators)", _MEMBERS, None, shapes.WithdrawalInput, 204),
    O(privacy_settings.OrganizationSettings, "get", "listSettings", "An organization's privacy settings", _READ,
      shapes.SettingOutput),
    O(privacy_settings.OrganizationSetting, "get", "getSetting", "One privacy setting", _READ, shapes.SettingOutput),
    O(privacy_settings.OrganizationSetting, "put", "choose", "Opt an organization out, or in", _WRITE,
      shapes.SettingOutput, shapes.ChoiceInput, 200, _LOOSENING, (_IF_MATCH,)),
    O(privacy_settings.MemberSettings, "get", "listMemberSettings", "A member's privacy settings", _READ,
      shapes.SettingOutput),
    O(privacy_settings.MemberSetting, "get", "getMemberSetting", "One of them", _READ, shapes.SettingOutput),
    O(privacy_settings.MemberSetting, "put", "chooseForMember", "Opt a member out, or pass on what they said", _SPEAK,
      shapes.SettingOutput, shapes.MemberChoiceInput, 200, _LOOSENING, (_IF_MATCH,)),
    O(privacy_settings.LockDetail, "put", "placeLock", "Lock training off (operators)", _WRITE, shapes.SettingOutput,
      shapes.LockInput, 200, (409,)),
    O(privacy_settings.LockDetail, "delete", "liftLock", "Lift the lock (operators)", _WRITE, None, shapes.LiftInput, 204,
      (409,)),
    O(events.Events, "get", "listEvents", "The ledger, in position order (operators)", _EVENTS, shapes.EventOutput),
    O(events.OrganizationEvents, "get", "listOrganizationEvents", "An organization's part of the ledger", _EVENTS,
      shapes.EventOutput),
    O(bulk_jobs.BulkJobs, "get", "listBulkJobs", "Bulk jobs, newest first (operators)", _READ, bulk.BulkJobOutput),
    O(bulk_jobs.BulkJobs, "post", "createBulkJob", "Preview a change of many; or run a preview, by its digest", _BULK,
      BulkJobPreview, bulk.BulkJobInput, 202, _CREATING, (_KEY,)),
    O(bulk_jobs.BulkJobDetail, "get", "getBulkJob", "How far a job is", _READ, BulkJobPreview),
    O(bulk_jobs.BulkJobRows, "get", "listBulkJobRows", "Its rows", _READ, bulk.BulkJobRowOutput),
    O(bulk_jobs.BulkJobUndo, "post", "undoBulkJob", "Preview taking a job back", _BULK, BulkJobPreview, shapes.ReasonInput,
      202, _CREATING, (_KEY,)),
    O(keys.Me, "get", "whoAmI", "Who asks, and for which organizations", (), keys.MeOutput),
    O(keys.ApiKeys, "get", "listApiKeys", "API keys of the organizations whose keys one manages", _PEOPLE,
      keys.ApiKeyOutput),
    O(keys.ApiKeys, "post", "createApiKey", "Make a key; its text is shown this once", _PEOPLE, keys.ApiKeyWithText,
      keys.ApiKeyInput, 201, (409,)),
    O(keys.ApiKeyDetail, "get", "getApiKey", "One key, without its text", _PEOPLE, keys.ApiKeyOutput),
    O(keys.ApiKeyDetail, "delete", "revokeApiKey", "End it for good, at once", _PEOPLE, None, None, 204),
    O(keys.ApiKeyTakeOver, "post", "takeOverApiKey", "Answer for a key from now on; its new text is shown this once",
      _PEOPLE, keys.ApiKeyWithText, bulk.NothingInput, 200, (409,)),
    O(webhooks.Webhooks, "get", "listWebhooks", "Webhooks", _HOOKS, webhooks.EndpointOutput),
    O(webhooks.Webhooks, "post", "createWebhook", "Send events somewhere; the signing secret is shown this once", _HOOKS,
      webhooks.EndpointWithSecret, webhooks.EndpointInput, 201, (409,)),
    O(webhooks.WebhookDetail, "get", "getWebhook", "One webhook", _HOOKS, webhooks.EndpointOutput),
    O(webhooks.WebhookDetail, "patch", "changeWebhook", "Change it; pause it, or let it go on", _HOOKS,
      webhooks.EndpointOutput, webhooks.EndpointChange),
    O(webhooks.WebhookDetail, "delete", "deleteWebhook", "Delete it", _HOOKS, None, None, 204),
    O(webhooks.WebhookAttempts, "get", "listAttempts", "What came of its deliveries, newest first", _HOOKS,
      webhooks.AttemptOutput),
    O(webhooks.WebhookTest, "post", "testWebhook", "Have a test sent; what came of it stands among the attempts", _HOOKS,
      webhooks.AttemptOutput, bulk.NothingInput, 202, (409,)),
    O(webhooks.WebhookReplay, "post", "replayWebhook", "Send everything after a position once more", _HOOKS,
      webhooks.EndpointOutput, webhooks.ReplayInput),
    O(webhooks.WebhookRotation, "post", "rotateSecret", "Another signing secret; for a day both sign", _HOOKS,
      webhooks.EndpointWithSecret, bulk.NothingInput),
    O(webhooks.WebhookTakeOver, "post", "takeOverWebhook", "Answer for it from now on, with a new secret alone", _PEOPLE,
      webhooks.EndpointWithSecret, bulk.NothingInput),
]  # fmt: skip
# One view class with four addresses: described where its URLs are.
VERBS = {
    "approve": "Let a job run that another operator made: in person, never by a key",
    "pause": "Stop after the rows at hand, for now",
    "resume": "Go on with a paused or failed job",
    "cancel": "End it; what is done stays",
}
_PAGED = (CursorPagination, PositionPagination, WholeList)


def _described(operation: Operation) -> Any:
    paginator = getattr(operation.view, "paginator", None) if operation.method == "get" else None
    parameters: list[Any] = list(operation.parameters)
    if operation.method == "get":
        query = getattr(operation.view, "query_class", None)
        if query is not None and query().fields:
            parameters.append(query)
        parameters += _paging(paginator)
    if operation.method == "delete" and "reason" in operation.view.delete_class().fields:  # type: ignore[attr-defined]
        parameters.append(_REASON)
    answer = operation.answer
    shown = EXAMPLES[answer.__name__] if answer else None
    scopes = f"Scope: {' or '.join(operation.scopes)}." if operation.scopes else "Any scope."
    if PEOPLE in operation.scopes:
        scopes = "Signed in, never with a key."
    return extend_schema(
        operation_id=operation.name,
        summary=operation.about,
        description=f"{operation.about}. {scopes}",
        tags=[operation.view.__module__.rpartition(".")[2].replace("_", " ")],
        parameters=parameters,
        request=operation.body,
        responses=responses(operation, paginator),
        examples=_examples(operation, {"results": [shown], "next": None} if paginator else shown),
    )


_LIMIT = {"type": "integer", "minimum": 1, "maximum": 200}
_AFTER = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_PAGING: dict[str, tuple[Any, str]] = {
    "limit": (_LIMIT, "At most so many, 50 unless told."),
    "cursor": (str, "From `next`."),
    "after": (_AFTER, "The position to go on after."),
}


def _paging(paginator: Any) -> list[OpenApiParameter]:
    if paginator is None:
        return []
    found = []
    for name in paginator.parameters:
        kind, about = _PAGING[name]
        found.append(OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=about))
    return found


def responses(operation: Operation, paginator: Any) -> dict[Any, Any]:
    answer = operation.answer
    found: dict[Any, Any] = {}
    if answer is None:
        found[204] = OpenApiResponse(description="Done.")
    elif paginator is not None:
        found[operation.status] = _page_of(answer)
    else:
        found[operation.status] = OpenApiResponse(answer, description="Done.")
    found |= {status: OpenApiResponse(also, description="Invited.") for status, also in operation.also.items()}
    usual = [400, 401, 403, 404, 429, 503]
    usual += [413, 415] if operation.method in ("post", "put", "patch", "delete") else []
    for status in sorted({*usual, *operation.refusals}):
        found[status, PROBLEM] = OpenApiResponse(ProblemOutput, description=WORDS[status])
    return found


@functools.cache
def _page_of(answer: type[serializers.Serializer[Any]]) -> Any:
    """A page: `next` is the address of the one after it."""
    fields = {
        "results": answer(many=True),
        "next": serializers.CharField(allow_null=True),
    }
    return type(f"{answer.__name__.removesuffix('Output')}Page", (serializers.Serializer,), fields)


def _examples(operation: Operation, shown: Any) -> list[OpenApiExample]:
    found = [
        OpenApiExample(
            "Refused", EXAMPLES["ProblemOutput"], response_only=True, media_type=PROBLEM, status_codes=["400"]
        )
    ]
    if operation.body is not None:
        found.append(OpenApiExample("Request", EXAMPLES[operation.body.__name__], request_only=True))
    if shown is not None:
        status = [str(operation.status)]
        found.append(OpenApiExample("Answer", shown, response_only=True, status_codes=status))
    for also, shape in operation.also.items():
        example = EXAMPLES[shape.__name__]
        found.append(OpenApiExample(f"Answer {also}", example, response_only=True, status_codes=[str(also)]))
    return found


_LINE = OpenApiExample(
    "Answer",
    json.dumps(EXAMPLES["EventOutput"]) + "\n",
    response_only=True,
    media_type="application/x-ndjson",
    status_codes=["200"],
)


def describe() -> None:
    """Write the table onto the views; once, when the description is asked for."""
    by_view: dict[type[APIView], dict[str, Any]] = {}
    for operation in OPERATIONS:
        by_view.setdefault(operation.view, {})[operation.method] = _described(operation)
    for view, methods in by_view.items():
        extend_schema_view(**methods)(view)
    verb = Operation(
        bulk_jobs.BulkJobVerb, "post", "", "", _BULK, bulk.BulkJobOutput, bulk.NothingInput, 200, (409,)
    )  # fmt: skip
    extend_schema_view(post=_described(verb))(bulk_jobs.BulkJobVerb)
    approval = dataclasses.replace(verb, view=bulk_jobs.BulkJobApproval, body=bulk.ApproveInput)
    extend_schema_view(post=_described(approval))(bulk_jobs.BulkJobApproval)
    text = {(200, "application/x-ndjson"): OpenApiResponse(str, description="Each event as a line.")}
    streamed = Operation(stream.EventStream, "get", "streamEvents", "", _EVENTS, shapes.EventOutput)
    refused = {key: value for key, value in responses(streamed, None).items() if key != 200}
    extend_schema_view(
        get=extend_schema(
            operation_id="streamEvents",
            summary="The ledger as JSON Lines, from a position to its head",
            description="Each line is an event. Cut off, go on after the last line that came whole. Scope: events:read.",
            tags=["events"],
            parameters=[stream.StreamQuery],
            responses={**text, **refused},
            examples=[_LINE],
        )
    )(stream.EventStream)
