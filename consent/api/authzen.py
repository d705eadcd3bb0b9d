"""Decisions by the OpenID Authorization API 1.0 (AuthZEN): may this subject's data of this product be used to train?

A subject is a `member` or an `organization`. A member is named by id, or by `external:` id together with the property
`organization`. The action is `train`; the resource is a `product`, named by key, with the optional properties
`data_kind` and `collected_at`. A well-formed request with unknown values is denied with a reason; other properties and
`context` are ignored, except that a misspelt property is denied.
"""

import dataclasses
import difflib
import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from accounts.access import Actor
from accounts.fields import parse_id
from accounts.models import Member
from config.problems import Problem, body_pointer, error_item, invalid

from .. import decisions
from ..lookups import Question
from ..rules import Reason
from ..services.asked import note as note_asked
from .body import parse_instant, read_json, storable
from .decisions import MAX_ITEMS, RequestAuth, decision_endpoint
from .metrics import count_decision

_LIMIT = 16_000_000
_PARTS = ("subject", "action", "resource")
_SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")
_ACTION, _RESOURCE, _SUBJECTS = "train", "product", ("member", "organization")
_PROPERTIES = ("data_kind", "collected_at")
# difflib's cutoff for names without their separators: lets one wrong, missing or added letter through.
_ALIKE = 0.87
_FRESH_SECONDS = 3600  # how long the discovery document may be cached


@dataclasses.dataclass(frozen=True)
class _Asked:
    """One parsed evaluation: a `question` to decide, or the reason why it is `denied` at once, or its `faults`."""

    question: Question | None = None
    by_member: bool = False
    denied: str = ""
    faults: Sequence[dict[str, str]] = ()


@decision_endpoint
def evaluation(request: HttpRequest, auth: RequestAuth) -> dict[str, Any]:
    actor = auth.actor()
    body = _body(request)
    return _one(body, actor)


@decision_endpoint
def evaluations(request: HttpRequest, auth: RequestAuth) -> dict[str, Any]:
    """A batch: each item takes the parts that it omits from the top level. Without items it is one evaluation."""
    actor = auth.actor()
    body = _body(request)
    listed = body.get("evaluations", [])
    if listed == []:
        return _one(body, actor)
    if faults := _object_faults(body, "context"):
        raise invalid(faults)
    semantic = _semantic(body)
    if not isinstance(listed, list) or len(listed) > MAX_ITEMS:
        detail = _("Give a list of at most %(limit)s evaluations.") % {"limit": MAX_ITEMS}
        raise invalid([error_item(body_pointer("evaluations"), detail)])
    defaults = {part: body[part] for part in _PARTS if part in body}
    items = [_asked({**defaults, **item} if isinstance(item, dict) else item, "evaluations", n)
             for n, item in enumerate(listed)]  # fmt: skip
    answers = _decided(_with_organizations(items), actor)
    return {"evaluations": _cut(answers, semantic)}


def _body(request: HttpRequest) -> dict[str, Any]:
    body = read_json(request, _LIMIT)
    if not isinstance(body, dict):
        raise invalid([error_item(body_pointer(), _("Send an object."))])
    return body


def _one(body: dict[str, Any], actor: Actor) -> dict[str, Any]:
    asked = _asked(body)
    if asked.faults:
        raise invalid(asked.faults)
    (answer,) = _decided(_with_organizations([asked]), actor)
    return answer


def _semantic(body: dict[str, Any]) -> str:
    options = body.get("options", {})
    semantic = options.get("evaluations_semantic", _SEMANTICS[0]) if isinstance(options, dict) else None
    if semantic not in _SEMANTICS:
        where = body_pointer("options", "evaluations_semantic")
        raise invalid([error_item(where, _("Say one of: %(known)s.") % {"known": ", ".join(_SEMANTICS)})])
    return str(semantic)


def _cut(answers: list[dict[str, Any]], semantic: str) -> list[dict[str, Any]]:
    """The answers up to and including the first one that ends the evaluation under this semantic."""
    if semantic == _SEMANTICS[0]:
        return answers
    settles = semantic == "permit_on_first_permit"
    end = next((n for n, answer in enumerate(answers) if answer["decision"] is settles), len(answers))
    return answers[: end + 1]


# --- Reading ----------------------------------------------------------------------------------------------------------


def _asked(item: Any, *path: object) -> _Asked:
    if not isinstance(item, dict):
        return _Asked(faults=[error_item(body_pointer(*path), _("Each evaluation has to be an object."))])
    faults = [
        error_item(body_pointer(*path, part), _("This field is required, as an object."))
        for part in _PARTS
        if not isinstance(item.get(part), dict)
    ]
    if faults:
        return _Asked(faults=faults)
    subject, action, resource = (item[part] for part in _PARTS)
    for part, name in (("subject", "type"), ("subject", "id"), ("action", "name"), ("resource", "type"),
                       ("resource", "id")):  # fmt: skip
        value = item[part].get(name)
        if not (isinstance(value, str) and value and storable(value)):
            faults.append(error_item(body_pointer(*path, part, name), _("Not a valid string.")))
    faults += _object_faults(item, "context", *path)
    for part in _PARTS:
        faults += _object_faults(item[part], "properties", *path, part)
    if not faults:
        faults = _property_faults(resource.get("properties", {}), *path, "resource", "properties")
        faults += _organization_faults(subject, *path, "subject", "properties")
    return _Asked(faults=faults) if faults else _read(subject, action, resource)


def _object_faults(holder: dict[str, Any], name: str, *path: object) -> list[dict[str, str]]:
    """The error if an optional member of `holder` is there and is not an object; null is not one."""
    if isinstance(holder.get(name, {}), dict):
        return []
    return [error_item(body_pointer(*path, name), _("Not an object."))]


def _organization_faults(subject: dict[str, Any], *path: object) -> list[dict[str, str]]:
    organization = subject.get("properties", {}).get("organization", "")
    if not _by_external_id(subject) or (isinstance(organization, str) and storable(organization)):
        return []
    return [error_item(body_pointer(*path, "organization"), _("Not a valid string."))]


def _by_external_id(subject: dict[str, Any]) -> bool:
    return subject["type"] == "member" and str(subject["id"]).startswith("external:")


def _property_faults(properties: dict[str, Any], *path: object) -> list[dict[str, str]]:
    faults = []
    if "collected_at" in properties and parse_instant(properties["collected_at"]) is None:
        detail = _("Give an instant with its time zone, like 2026-11-20T09:30:00Z.")
        faults.append(error_item(body_pointer(*path, "collected_at"), detail))
    kind = properties.get("data_kind", "")
    if not (isinstance(kind, str) and storable(kind)):
        faults.append(error_item(body_pointer(*path, "data_kind"), _("Not a valid string.")))
    return faults


def _is_misspelt(name: str) -> bool:
    """Whether the name resembles a known property: collectedAt, Collected-At, data kinds, colected_at.

    Ignoring such a property could allow what `collected_at` or `data_kind` would have denied.
    """
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    letters = "".join(character for character in decomposed if character.isalnum())
    known = [each.replace("_", "") for each in _PROPERTIES]
    return bool(difflib.get_close_matches(letters, known, n=1, cutoff=_ALIKE))


def _read(subject: Any, action: Any, resource: Any) -> _Asked:
    properties = resource.get("properties", {})
    if subject["type"] not in _SUBJECTS:
        return _Asked(denied="unknown_subject_type")
    if action["name"] != _ACTION:
        return _Asked(denied="unknown_action")
    if resource["type"] != _RESOURCE:
        return _Asked(denied="unknown_resource_type")
    if any(_is_misspelt(name) for name in properties if name not in _PROPERTIES):
        return _Asked(denied="unknown_property")
    by_member = subject["type"] == "member"
    collected_at = parse_instant(properties["collected_at"]) if "collected_at" in properties else None
    organization = subject["id"]
    if by_member:  # `_with_organizations` fills in the organization of a member named by a plain id
        organization = subject.get("properties", {}).get("organization", "") if _by_external_id(subject) else ""
    question = Question(
        organization=organization,
        member=subject["id"] if by_member else None,
        product=resource["id"],
        data_kind=properties.get("data_kind"),
        collected_at=collected_at,
    )
    return _Asked(question=question, by_member=by_member)


def _with_organizations(asked: Sequence[_Asked]) -> list[_Asked]:
    """The same evaluations with the organizations of members named by a plain id; one query for all of them."""
    ids = {pk for each in asked if each.by_member and each.question and (pk := parse_id(each.question.member))}
    found = dict(Member.objects.filter(pk__in=ids).values_list("pk", "organization_id")) if ids else {}
    named = []
    for each in asked:
        pk = parse_id(each.question.member) if each.by_member and each.question else None
        if pk is not None and each.question is not None:
            question = dataclasses.replace(each.question, organization=str(found.get(pk) or ""))
            named.append(dataclasses.replace(each, question=question))
        else:
            named.append(each)
    return named


# --- Answering --------------------------------------------------------------------------------------------------------


def _decided(asked: Sequence[_Asked], actor: Actor) -> list[dict[str, Any]]:
    questions = [each.question for each in asked if each.question is not None]
    answers = decisions.decide_many(questions, actor)
    note_asked(answers.rows, answers.scope, actor, answers.decided_at)
    for each in answers.decisions:
        count_decision(each.allowed, each.reason)
    # The answers belong, in order, to the evaluations with a question; the others are faulty or denied already.
    found = iter(answers.decisions)
    return [_answer(each, next(found) if each.question is not None else None) for each in asked]


def _answer(asked: _Asked, decision: Any) -> dict[str, Any]:
    if asked.faults:
        message = " ".join(each["detail"] for each in asked.faults)
        error = {"status": 400, "message": message, "errors": list(asked.faults)}
        return {"decision": False, "context": {"error": error}}
    if decision is None:
        return {"decision": False, "context": {"reason": asked.denied}}
    reason = decision.reason
    if asked.by_member and reason == Reason.UNKNOWN_ORGANIZATION:
        reason = Reason.UNKNOWN_MEMBER  # the same for a member who is absent and one of another customer
    return {"decision": decision.allowed, "context": {"reason": reason}}


@csrf_exempt  # so that a POST gets its 405, not a CSRF error
def configuration(request: HttpRequest) -> HttpResponseBase:
    """The discovery document: where the endpoints are. Public."""
    if request.method not in ("GET", "HEAD"):
        return Problem(405, "method_not_allowed", _("This is read-only."), headers={"Allow": "GET, HEAD"}).response()
    base = request.build_absolute_uri("/").rstrip("/")
    response = JsonResponse(
        {
            "policy_decision_point": base,
            "access_evaluation_endpoint": f"{base}/access/v1/evaluation",
            "access_evaluations_endpoint": f"{base}/access/v1/evaluations",
        },
        headers={"Cache-Control": f"public, max-age={_FRESH_SECONDS}"},
    )
    etag = quote_etag(hashlib.sha256(response.content).hexdigest()[:32])
    response.headers["ETag"] = etag
    return get_conditional_response(request, etag=etag, response=response) or response
