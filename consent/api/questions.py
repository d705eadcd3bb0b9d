"""The OpenAPI description of the plain decision views, written by hand: drf-spectacular only sees DRF's views."""

from typing import Any

from accounts.external_ids import LENGTH

from .decisions import MAX_ITEMS
from .examples import DECISION, EVALUATED, EVALUATION, EXAMPLES, QUESTION
from .operation import PROBLEM, WORDS, credentials_needed

JSON = "application/json"
SCOPES = ("decisions:read",)


def _text(about: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": about, **more}


def _instant(about: str, *, null: bool = False) -> dict[str, Any]:
    return {"type": ["string", "null"] if null else "string", "format": "date-time", "description": about}


def _flag(about: str) -> dict[str, Any]:
    return {"type": "boolean", "description": about}


def _list(about: str, items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "description": about, **more}


def _ref(name: str, about: str = "") -> dict[str, Any]:
    ref = {"$ref": f"#/components/schemas/{name}"}
    return {**ref, "description": about} if about else ref


def _object(about: str, properties: dict[str, Any], required: list[str], **more: Any) -> dict[str, Any]:
    return {"type": "object", "description": about, "properties": properties, "required": required, **more}


_IDENT = len("external:") + LENGTH
_NULLABLE: dict[str, Any] = {"type": ["string", "null"]}
_OPEN: dict[str, Any] = {"type": "object", "additionalProperties": True}
_ERROR = _ref("FaultOutput", "What is wrong with this question; it is not allowed.")
_REASON = {"oneOf": [_ref("Reason"), {"type": "null"}]}
SCHEMAS: dict[str, Any] = {
    "Question": _object(
        "May this record be used to train models?",
        {
            "organization": _text("The organization, by id or `external:` id.", maxLength=_IDENT),
            "product": _text("The product, by its key, like `le_chat`. An unknown one is denied.", maxLength=200),
            "member": _text(
                "Whose record it is, by id or `external:` id. Le Chat needs a member, except of a personal organization.",
                maxLength=_IDENT, **_NULLABLE,
            ),
            "data_kind": _text("The kind of data, like `conversation`. An unknown one is denied.", maxLength=200, **_NULLABLE),
            "collected_at": _instant(
                "When the record was collected; left out: the question is about the setting, and nothing is too new for it.",
                null=True,
            ),
            "at": _instant("The instant asked about; left out: now.", null=True),
        },
        ["organization", "product"], additionalProperties=False,
    ),
    "Decision": _object(
        "Whether the record may be used, and why. Anything but `allowed` true means no.",
        {
            "allowed": _flag("Whether it may be used."),
            "reason": _ref("Reason", "Why."),
            "detail": _text("Why, in words."),
            "decided_at": _instant("When it was decided."),
            "usable_from": _instant("While it is cooling off: from when on it may be used, should nothing else change."),
            "layers": _list("Who has a say, and what it comes to; with `explain=true` only.", _ref("DecisionLayer")),
        },
        ["allowed", "reason", "detail", "decided_at"],
    ),
    "DecisionLayer": _object(
        "What the organization, the member, or the external id that was asked by says.",
        {
            "layer": _ref("Layer", "Whose say it is."),
            "allowed": _flag("Whether this layer allows it."),
            "reason": _ref("Reason", "Why."),
            "since": _instant("Since when; null: since there is the account.", null=True),
            "event": _text("The id of the event that made it so; null where there is none.", **_NULLABLE),
        },
        ["layer", "allowed", "reason", "since", "event"],
    ),
    "Questions": _object(
        "Questions to answer from one snapshot.",
        {"items": _list("The questions.", _ref("Question"), maxItems=MAX_ITEMS)},
        ["items"], additionalProperties=False,
    ),
    "Decisions": _object(
        "The answers, in the order of the questions.",
        {
            "decisions": _list("An answer for each question.", _ref("BatchDecision"), maxItems=MAX_ITEMS),
            "decided_at": _instant("When they were decided."),
        },
        ["decisions", "decided_at"],
    ),
    "BatchDecision": _object(
        "An answer. Anything but `allowed` true means no.",
        {
            "allowed": _flag("Whether the record may be used."),
            "reason": {**_REASON, "description": "Why; null where the question was malformed."},
            "error": _ERROR,
        },
        ["allowed", "reason"],
    ),
    "Subject": _object(
        "Whose data it is.",
        {
            "type": _text("`member` or `organization`; anything else is denied.", maxLength=200),
            "id": _text("Its id; or `external:` and your own id of it, of a member within the `organization`.", maxLength=_IDENT),
            "properties": {
                "type": "object", "description": "What else is known of it; others are not looked at.", "additionalProperties": True,
                "properties": {
                    "organization": _text("Of a member by `external:` id: their organization, by either.", maxLength=_IDENT),
                },
            },
        },
        ["type", "id"],
    ),
    "Action": _object(
        "What is to be done with it.",
        {
            "name": _text("`train`; anything else is denied.", maxLength=200),
            "properties": {**_OPEN, "description": "Not looked at."},
        },
        ["name"],
    ),
    "Resource": _object(
        "The product that the data is of.",
        {
            "type": _text("`product`; anything else is denied.", maxLength=200),
            "id": _text("The product, by its key, like `le_chat`.", maxLength=200),
            "properties": {
                "type": "object", "additionalProperties": True,
                "description": "What is known of the record. Others are not looked at, but a misspelling of these is denied.",
                "properties": {
                    "data_kind": _text("The kind of data, like `conversation`.", maxLength=200),
                    "collected_at": _instant("When the record was collected; left out: now."),
                },
            },
        },
        ["type", "id"],
    ),
    "Evaluation": _object(
        "May this action be done with this subject's data?",
        {
            "subject": _ref("Subject", "Whose data it is."),
            "action": _ref("Action", "What is to be done with it."),
            "resource": _ref("Resource", "The product that the data is of."),
            "context": {**_OPEN, "description": "Not looked at."},
        },
        ["subject", "action", "resource"],
    ),
    "PartialEvaluation": _object(
        "An evaluation; what it leaves out is taken from the top of the request.",
        {
            "subject": _ref("Subject", "Whose data it is."),
            "action": _ref("Action", "What is to be done with it."),
            "resource": _ref("Resource", "The product that the data is of."),
            "context": {**_OPEN, "description": "Not looked at."},
        },
        [],
    ),
    "Evaluations": _object(
        "Many evaluations at once. Without any it is one, made of what stands at the top.",
        {
            "subject": _ref("Subject", "For the evaluations that name none."),
            "action": _ref("Action", "For the evaluations that name none."),
            "resource": _ref("Resource", "For the evaluations that name none."),
            "context": {**_OPEN, "description": "Not looked at."},
            "evaluations": _list("The evaluations.", _ref("PartialEvaluation"), maxItems=MAX_ITEMS),
            "options": {
                "type": "object", "description": "How they are answered.", "additionalProperties": True,
                "properties": {
                    "evaluations_semantic": _ref("EvaluationsSemantic", "How far; `execute_all` unless told."),
                },
            },
        },
        [],
    ),
    "Evaluated": _object(
        "The answer to an evaluation.",
        {
            "decision": _flag("Whether it may be done."),
            "context": {
                "type": "object", "description": "Why.", "additionalProperties": True,
                "properties": {
                    "reason": _text("A reason, as decisions have it, or what was not known, like `unknown_action`."),
                    "error": _ref("EvaluationError", "What is wrong with this evaluation; it is denied."),
                },
            },
        },
        ["decision"],
    ),
    "EvaluationError": _object(
        "What is wrong with one evaluation of many.",
        {
            "status": {"type": "integer", "description": "The status that it would have got alone."},
            "message": _text("What is wrong, in words."),
            "errors": _list("What to mend, part by part.", _ref("FaultOutput")),
        },
        ["status", "message", "errors"],
    ),
    "EvaluatedMany": _object(
        "The answers, in the order of the evaluations; where the request held none, the one answer.",
        {
            "evaluations": _list("An answer for each evaluation.", _ref("Evaluated"), maxItems=MAX_ITEMS),
            "decision": _flag("Where the request held no list: whether it may be done."),
            "context": {**_OPEN, "description": "Where the request held no list: why."},
        },
        [],
    ),
}  # fmt: skip


def operations() -> dict[str, Any]:
    """Path → OpenAPI path item."""
    explain = {
        "in": "query", "name": "explain", "schema": {"type": "boolean", "default": False},
        "description": "Whether to answer the layers that led to the decision, too.",
    }  # fmt: skip
    return {
        "/api/v1/decisions/": _question(
            "decide", "May this be used for training?",
            "A well-formed question always gets 200 and an answer. Anything but a 200 with `allowed` true means no.",
            "Question", QUESTION, "Decision", DECISION, [explain],
        ),
        "/api/v1/decisions/batch/": _question(
            "decideMany", "Many questions at once, from one snapshot",
            f"Up to {MAX_ITEMS:,} questions, answered in their order. One that is malformed has an `error`, and is not allowed.",
            "Questions", {"items": [QUESTION]}, "Decisions",
            {"decisions": [{"allowed": True, "reason": "plan_default"}], "decided_at": DECISION["decided_at"]},
        ),
        "/access/v1/evaluation": _question(
            "evaluate", "AuthZEN: one evaluation",
            "The same question by the OpenID Authorization API 1.0. What is unknown is denied, with a reason.",
            "Evaluation", EVALUATION, "Evaluated", EVALUATED,
        ),
        "/access/v1/evaluations": _question(
            "evaluateMany", "AuthZEN: many evaluations",
            "Many at once; each takes what it leaves out from the top. One that is malformed is denied, with an `error`.",
            "Evaluations", {"evaluations": [EVALUATION]}, "EvaluatedMany", {"evaluations": [EVALUATED]},
        ),
    }  # fmt: skip


def _question(
    name: str, about: str, more: str, asked: str, example: Any, answer: str, answered: Any, parameters: Any = ()
) -> dict[str, Any]:
    refused = {"Refused": {"value": EXAMPLES["ProblemOutput"]}}
    problem = {PROBLEM: {"schema": _ref("ProblemOutput"), "examples": refused}}
    content = {JSON: {"schema": _ref(answer), "examples": _example(answered)}}
    responses: dict[str, Any] = {"200": {"description": SCHEMAS[answer]["description"], "content": content}}
    for status in (400, 401, 403, 413, 415, 429, 503):
        responses[str(status)] = {"description": WORDS[status], "content": problem}
    body = {"required": True, "content": {JSON: {"schema": _ref(asked), "examples": _example(example)}}}
    return {
        "post": {
            "operationId": name, "summary": about, "description": f"{more}\n\n{credentials_needed(SCOPES)}",
            "tags": ["decisions"], "parameters": list(parameters), "requestBody": body, "responses": responses,
        }
    }  # fmt: skip


def _example(value: Any) -> dict[str, Any]:
    return {"Example": {"value": value}}
