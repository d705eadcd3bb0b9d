"""The same questions by the OpenID Authorization API 1.0 (AuthZEN): may this subject's data train, of this product?

A subject is a `member`, by id, or an `organization`; the action is `train`; the resource is a `product`, by key, whose
properties may say `data_kind` and `collected_at`. What is well-formed and unknown is denied with a reason; `context` is
not looked at.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from accounts.access import Actor
from accounts.fields import parse_id
from accounts.models import Member
from config.problems import Problem, body_pointer, fault, invalid

from .. import decisions
from ..decisions import Question
from ..rules import Reason
from .body import parse_instant, read_json, storable
from .decisions import MAX_ITEMS, Asker, answering
from .metrics import count_decision

_LIMIT = 16_000_000
_PARTS = ("subject", "action", "resource")
_SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")
_ACTION, _RESOURCE, _SUBJECTS = "train", "product", ("member", "organization")
_PROPERTIES = ("data_kind", "collected_at")


@dataclasses.dataclass(frozen=True)
class _Asked:
    """One evaluation: the question that it is, or why it is denied without being asked, or what is wrong with it."""

    question: Question | None = None
    by_member: bool = False
    denied: str = ""
    faults: Sequence[dict[str, str]] = ()


@answering
def evaluation(request: HttpRequest, asker: Asker) -> HttpResponse:
    actor = asker.actor()
    body = _body(request)
    return _one(body, actor)


@answering
def evaluations(request: HttpRequest, asker: Asker) -> HttpResponse:
    """Many at once; each takes what it leaves out from the top. Without any it is one evaluation."""
    actor = asker.actor()
    body = _body(request)
    listed = body.get("evaluations")
    if listed is None or listed == []:
        return _one(body, actor)
    semantic = _semantic(body)
    if not isinstance(listed, list) or len(listed) > MAX_ITEMS:
        detail = _("Give a list of at most %(limit)s evaluations.") % {"limit": MAX_ITEMS}
        raise invalid([fault(body_pointer("evaluations"), detail)])
    defaults = {part: body[part] for part in _PARTS if part in body}
    items = [_asked({**defaults, **item} if isinstance(item, dict) else item, "evaluations", n)
             for n, item in enumerate(listed)]  # fmt: skip
    answers = _decided(_with_organizations(items), actor)
    return JsonResponse({"evaluations": _cut(answers, semantic)})


def _body(request: HttpRequest) -> dict[str, Any]:
    body = read_json(request, _LIMIT)
    if not isinstance(body, dict):
        raise invalid([fault(body_pointer(), _("Send an object."))])
    return body


def _one(body: dict[str, Any], actor: Actor) -> HttpResponse:
    asked = _asked(body)
    if asked.faults:
        raise invalid(asked.faults)
    (answer,) = _decided(_with_organizations([asked]), actor)
    return JsonResponse(answer)


def _semantic(body: dict[str, Any]) -> str:
    options = body.get("options", {})
    semantic = options.get("evaluations_semantic", _SEMANTICS[0]) if isinstance(options, dict) else None
    if semantic not in _SEMANTICS:
        where = body_pointer("options", "evaluations_semantic")
        raise invalid([fault(where, _("Say one of: %(known)s.") % {"known": ", ".join(_SEMANTICS)})])
    return str(semantic)


def _cut(answers: list[dict[str, Any]], semantic: str) -> list[dict[str, Any]]:
    """Up to the first answer that settles it, that one included."""
    if semantic == _SEMANTICS[0]:
        return answers
    settles = semantic == "permit_on_first_permit"
    end = next((n for n, answer in enumerate(answers) if answer["decision"] is settles), len(answers))
    return answers[: end + 1]


# --- Reading ----------------------------------------------------------------------------------------------------------


def _asked(item: Any, *path: object) -> _Asked:
    if not isinstance(item, dict):
        return _Asked(faults=[fault(body_pointer(*path), _("An evaluation is an object."))])
    faults = [
        fault(body_pointer(*path, part), _("This field is required, as an object."))
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
            faults.append(fault(body_pointer(*path, part, name), _("Not a valid string.")))
    properties = resource.get("properties", {})
    if not isinstance(properties, dict):
        faults.append(fault(body_pointer(*path, "resource", "properties"), _("Not an object.")))
    else:
        faults += _property_faults(properties, *path, "resource", "properties")
    return _Asked(faults=faults) if faults else _read(subject, action, resource, properties)


def _property_faults(properties: dict[str, Any], *path: object) -> list[dict[str, str]]:
    faults = []
    if "collected_at" in properties and parse_instant(properties["collected_at"]) is None:
        detail = _("Give an instant with its time zone, like 2026-11-20T09:30:00Z.")
        faults.append(fault(body_pointer(*path, "collected_at"), detail))
    kind = properties.get("data_kind", "")
    if not (isinstance(kind, str) and storable(kind)):
        faults.append(fault(body_pointer(*path, "data_kind"), _("Not a valid string.")))
    return faults


def _read(subject: Any, action: Any, resource: Any, properties: dict[str, Any]) -> _Asked:
    if subject["type"] not in _SUBJECTS:
        return _Asked(denied="unknown_subject_type")
    if action["name"] != _ACTION:
        return _Asked(denied="unknown_action")
    if resource["type"] != _RESOURCE:
        return _Asked(denied="unknown_resource_type")
    if set(properties) - set(_PROPERTIES):
        return _Asked(denied="unknown_property")
    by_member = subject["type"] == "member"
    collected_at = parse_instant(properties["collected_at"]) if "collected_at" in properties else None
    question = Question(
        organization="" if by_member else subject["id"],
        member=subject["id"] if by_member else None,
        product=resource["id"],
        data_kind=properties.get("data_kind"),
        collected_at=collected_at,
    )
    return _Asked(question=question, by_member=by_member)


def _with_organizations(asked: Sequence[_Asked]) -> list[_Asked]:
    """A member's id says whose they are: one query for all of them."""
    ids = {pk for each in asked if each.by_member and each.question and (pk := parse_id(each.question.member))}
    found = dict(Member.objects.filter(pk__in=ids).values_list("pk", "organization_id")) if ids else {}
    named = []
    for each in asked:
        if each.by_member and each.question is not None:
            organization = found.get(parse_id(each.question.member))  # type: ignore[arg-type]  # None is nobody's id
            question = dataclasses.replace(each.question, organization=str(organization or ""))
            named.append(dataclasses.replace(each, question=question))
        else:
            named.append(each)
    return named


# --- Answering --------------------------------------------------------------------------------------------------------


def _decided(asked: Sequence[_Asked], actor: Actor) -> list[dict[str, Any]]:
    questions = [each.question for each in asked if each.question is not None]
    answers = decisions.decide_many(questions, actor).decisions
    for each in answers:
        count_decision(each.allowed, each.reason)
    found = iter(answers)
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
        reason = Reason.UNKNOWN_MEMBER  # absent and somebody else's, alike
    return {"decision": decision.allowed, "context": {"reason": reason}}


@csrf_exempt  # a POST is refused as what it is
def configuration(request: HttpRequest) -> HttpResponse:
    """Where the endpoints are, for whoever asks."""
    if request.method not in ("GET", "HEAD"):
        return Problem(405, "method_not_allowed", _("This is only read."), headers={"Allow": "GET, HEAD"}).response()
    base = request.build_absolute_uri("/").rstrip("/")
    return JsonResponse(
        {
            "policy_decision_point": base,
            "access_evaluation_endpoint": f"{base}/access/v1/evaluation",
            "access_evaluations_endpoint": f"{base}/access/v1/evaluations",
        }
    )
