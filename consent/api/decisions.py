"""The decision endpoints: may this data be used? Plain Django views, because DRF would cost more than a decision.

A well-formed question gets 200 and an answer, a malformed one 400; an internal failure is 503, which means no.
"""

import functools
import json
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt

from accounts import limits
from accounts.access import Actor
from accounts.authentication import presented_key, recognise
from accounts.fields import rfc3339
from config.fast_path import Reply, unanswered
from config.problems import Problem, as_problem, body_pointer, error_item, invalid

from .. import decisions
from ..decisions import Answer
from ..lookups import Question
from ..rules import Decision, LayerAnswer
from ..services import asked
from .base import check_csrf, refusal, unauthorized
from .body import JSON, parse_instant, read_json, storable
from .metrics import count_decision

logger = logging.getLogger(__name__)

MAX_ITEMS = 10_000
_QUESTION_LIMIT = 20_000  # bytes
_BATCH_LIMIT = 16_000_000  # bytes


class RequestAuth:
    """Authenticates the request by API key or session, lazily; raises InvalidKey for a malformed key at once.

    `allowance` is what the key's rate limit leaves; None without a limit, or before the key was checked.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.allowance: limits.Allowance | None = None
        self.key = presented_key(request)

    def actor(self) -> Actor:
        """Raises InvalidKey, Problem (401, 403), TooMany."""
        request = self._request
        if self.key is not None:
            actor = recognise(self.key)
            self.allowance = limits.check_read_rate(actor)
            return actor
        if not request.user.is_authenticated or not request.user.is_active:
            raise unauthorized("not_authenticated", _("Say who is asking: an API key, or a session."))
        check_csrf(request)
        return Actor.from_user(request.user)  # a decision never needs recent reauthentication

    def decide(self, question: Question) -> Answer:
        if self.key is None:
            actor = self.actor()
            return self._noted(decisions.decide(question, actor), actor)
        # One query looks up the key and all that the decision needs.
        answer, actor = decisions.decide_for_key(question, self.key)
        self.allowance = limits.check_read_rate(actor)
        return self._noted(answer, actor)

    @staticmethod
    def _noted(answer: Answer, actor: Actor) -> Answer:
        asked.note(answer.rows, answer.scope, actor, answer.decided_at)
        return answer


DecisionView = Callable[[HttpRequest, RequestAuth], dict[str, Any]]


def decision_endpoint(view: DecisionView) -> Callable[[HttpRequest], HttpResponse]:
    """Decorator of decision views, which return the body of a 200: passes a RequestAuth, accepts only POST.

    Every failure is answered as a Problem. The result's function `reply` is for `config.fast_path`.
    """

    def reply(request: HttpRequest) -> Reply:
        auth = None
        try:
            auth = RequestAuth(request)
            if request.method != "POST":
                auth.actor()
                raise Problem(405, "method_not_allowed", _("Use POST to ask a question."), headers={"Allow": "POST"})
            content = json.dumps(view(request, auth)).encode()
            found = Reply(200, {"Content-Type": JSON, "Cache-Control": "no-store"}, content)
        except Exception as error:
            problem = as_problem(refusal(error))
            # Whatever failed must not look like an answer: the caller gets 503 with `allowed` false.
            if problem is None or problem.status_code >= 500:
                logger.exception("a question could not be answered")
                problem = unanswered()
            found = Reply.of(problem.response())
        if auth is not None and auth.allowance is not None:
            found.headers.update(auth.allowance.headers)
        return found

    @csrf_exempt  # `RequestAuth.actor` checks a session's token; a key needs none
    @functools.wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        return reply(request).response()

    wrapped.reply = reply  # type: ignore[attr-defined]
    return wrapped


@decision_endpoint
def decide(request: HttpRequest, auth: RequestAuth) -> dict[str, Any]:
    try:
        explain = _explain(request)
        question, faults = _question(read_json(request, _QUESTION_LIMIT))
        if question is None:
            raise invalid(faults)
    except Problem:
        auth.actor()  # raises instead where the caller may not ask: faults are not for strangers
        raise
    answer = auth.decide(question)
    count_decision(answer.decision.allowed, answer.decision.reason)
    decision = answer.decision
    body: dict[str, Any] = {"allowed": decision.allowed, "reason": decision.reason, "detail": answer.detail}
    if decision.usable_from is not None:
        body["usable_from"] = rfc3339(decision.usable_from)
    if explain:
        body["layers"] = [_layer(layer, answer) for layer in decision.layers]
    return {**body, "decided_at": rfc3339(answer.decided_at)}


def _explain(request: HttpRequest) -> bool:
    if not request.META.get("QUERY_STRING"):
        return False
    faults = [error_item(f"?{name}", _("There is no such field.")) for name in request.GET if name != "explain"]
    values = request.GET.getlist("explain")
    if len(values) > 1 or (values and values[0] not in ("true", "false")):
        faults.append(error_item("?explain", _("Say “true” or “false”, once.")))
    if faults:
        raise invalid(faults)
    return values == ["true"]


def _layer(layer: LayerAnswer, answer: Answer) -> dict[str, object]:
    event = answer.events.get(layer.layer)
    return {
        "layer": layer.layer,
        "allowed": layer.allowed,
        "reason": layer.reason,
        "since": rfc3339(layer.since),
        "event": None if event is None else str(event),
    }


@decision_endpoint
def decide_batch(request: HttpRequest, auth: RequestAuth) -> dict[str, Any]:
    actor = auth.actor()
    if request.GET:
        raise invalid([error_item(f"?{name}", _("There is no such field.")) for name in request.GET])
    items = _items(read_json(request, _BATCH_LIMIT))
    read = [_question(item, "items", n) for n, item in enumerate(items)]
    answers = decisions.decide_many([question for question, _faults in read if question is not None], actor)
    asked.note(answers.rows, answers.scope, actor, answers.decided_at)
    for (allowed, reason), number in Counter((each.allowed, each.reason) for each in answers.decisions).items():
        count_decision(allowed, reason, number)
    # The answers belong, in order, to the well-formed items; malformed ones get their error in between.
    answered = iter(answers.decisions)
    shown = [_shown(next(answered)) if question is not None else _malformed(faults) for question, faults in read]
    return {"decisions": shown, "decided_at": rfc3339(answers.decided_at)}


def _items(body: Any) -> list[Any]:
    if not isinstance(body, dict):
        raise invalid([error_item(body_pointer(), _("Send an object with “items”."))])
    faults = [error_item(body_pointer(name), _("There is no such field.")) for name in body if name != "items"]
    items = body.get("items")
    if not isinstance(items, list):
        faults.append(error_item(body_pointer("items"), _("Give a list of questions.")))
    elif len(items) > MAX_ITEMS:
        detail = _("%(count)s items; at most %(limit)s at a time.") % {"count": len(items), "limit": MAX_ITEMS}
        faults.append(error_item(body_pointer("items"), detail))
    if faults:
        raise invalid(faults)
    return items  # type: ignore[return-value]


def _shown(decision: Decision) -> dict[str, object]:
    return {"allowed": decision.allowed, "reason": decision.reason}


def _malformed(faults: list[dict[str, str]]) -> dict[str, object]:
    return {"allowed": False, "reason": None, "error": faults[0]}


def _text(value: object) -> str | None:
    """The text, if it is one that can be looked up."""
    return value if isinstance(value, str) and storable(value) else None


_TEXT = _text, gettext_lazy("Not a valid string.")
_INSTANT = parse_instant, gettext_lazy("Give an instant with its time zone, like 2026-11-20T09:30:00Z.")
# Field of a question → what parses its value, and returns None for a wrong one; and what is wrong then.
_FIELDS: dict[str, tuple[Callable[[object], Any], str | Promise]] = {
    "organization": _TEXT,
    "product": _TEXT,
    "member": _TEXT,
    "data_kind": _TEXT,
    "collected_at": _INSTANT,
    "at": _INSTANT,
}
_REQUIRED = ("organization", "product")


def _question(item: Any, *path: object) -> tuple[Question | None, list[dict[str, str]]]:
    """The parsed question and no faults, or None and every fault of the item at `path`."""
    if not isinstance(item, dict):
        return None, [error_item(body_pointer(*path), _("Each question has to be an object."))]
    read, faults = {}, []
    for name, value in item.items():
        field = _FIELDS.get(name)
        if field is None:
            faults.append(error_item(body_pointer(*path, name), _("There is no such field.")))
        elif value is not None:
            parse, detail = field
            read[name] = parse(value)
            if read[name] is None:
                faults.append(error_item(body_pointer(*path, name), str(detail)))
    missing = [name for name in _REQUIRED if name not in read]
    faults += [error_item(body_pointer(*path, name), _("This field is required.")) for name in missing]
    return (None, faults) if faults else (Question(**read), [])
