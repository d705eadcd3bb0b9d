"""Answers questions: one SQL statement fetches the facts, `rules.resolve` decides. No writes and no cache (R12)."""

import dataclasses
import datetime as dt
import functools
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import Actor, Forbidden, Permission, organizations_with
from accounts.authentication import prefix_of, verified
from accounts.catalogue import Product
from accounts.fields import from_micros, to_micros
from accounts.models import Member

from . import rules, suppositions
from .lookups import Question, Row, fetch, fetch_one, instant
from .models import PrivacySetting
from .rules import Choice, Decision, Layers, Reason, State
from .surfaces import DATA_KINDS, WITH_MEMBERS
from .witness import guard

_PRODUCTS = frozenset(Product.values)


class Answer(NamedTuple):
    """A decision and a sentence that explains it.

    For `services.asked`: `rows`, the facts, and none in quarantine, when the answer is not the setting's; `scope`, the
    organizations that the actor may ask about.
    """

    decision: Decision
    detail: str
    decided_at: dt.datetime
    rows: Sequence[Row]
    scope: frozenset[uuid.UUID] | None

    @property
    def events(self) -> dict[str, int | None]:
        """Layer of the decision → id of the event it rests on.

        Of no other layer: the event id of a hidden one would show that the member chose (R4).
        """
        if not self.decision.layers:  # as in quarantine
            return {}
        (row,) = self.rows
        found = {"organization": row.event, "member": row.member_event, "external_id": row.naming_event()}
        return {answer.layer: found[answer.layer] for answer in self.decision.layers}


class Answers(NamedTuple):
    """`rows`, `scope`: as those of an Answer."""

    decisions: list[Decision]
    decided_at: dt.datetime
    rows: Sequence[Row]
    scope: frozenset[uuid.UUID] | None


def decide(question: Question, actor: Actor) -> Answer:
    """Answer one question. Raises Forbidden if the actor may not ask about any organization."""
    row, now, _key = fetch_one(question)
    return _answer(question, row, now, actor)


def decide_own(member: Member, product: str, collected_at: dt.datetime, actor: Actor) -> Answer:
    """Answer the person whose membership it is about their own data, whatever their role. Raises Forbidden for others.

    The layers are all told: what an organization's state is, each of its members may know.
    """
    if not actor.is_user(member.user_id):
        raise Forbidden(Permission.DECISIONS_ASK)
    question = Question(str(member.organization_id), product, member=str(member.pk), collected_at=collected_at)
    row, now, _key = fetch_one(question)
    return _answer(question, row, now, actor, frozenset({member.organization_id}))


def decide_for_key(question: Question, key: str) -> tuple[Answer, Actor]:
    """Like `decide`, for a caller with an API key, which is looked up in the same query. Raises InvalidKey too."""
    row, now, found = fetch_one(question, prefix_of(key))
    actor = verified(key, found)
    return _answer(question, row, now, actor), actor


@dataclasses.dataclass(frozen=True)
class Supposed:
    """The answer now and as it would be, with the states of the organization's layer that they rest on."""

    now: Answer
    then: Answer
    state: State
    state_then: State


def suppose(question: Question, actor: Actor, what: suppositions.Supposition) -> Supposed:
    """Answer a question about now, and as if something were otherwise. Reads alone: nothing is changed.

    Raises Forbidden like `decide`, and ValueError if the question is about another instant.
    """
    if question.at is not None:
        raise ValueError("what would be is asked of now")
    row, now, _key = fetch_one(question)
    layer = PrivacySetting.objects.filter(organization=row.organization_id, product=question.product, member=None)
    setting = layer.first()
    state = setting.state if setting else State(closed=bool(row.closed))
    then = suppositions.suppose(state, what, now)
    # No event has led there.
    other = row._replace(
        allowed=then.allowed,
        reason_code=then.reason_code,
        since=to_micros(then.since) if then.since else None,
        event=row.event if then == state else None,
    )
    return Supposed(_answer(question, row, now, actor), _answer(question, other, now, actor), state, then)


def _answer(
    question: Question, row: Row, now: dt.datetime, actor: Actor, only: frozenset[uuid.UUID] | None = None
) -> Answer:
    """`only`: the organizations that may be asked about, where that is not left to the actor's permissions."""
    scope = organizations_with(actor, Permission.DECISIONS_ASK) if only is None else only
    restored = guard.quarantined()  # after the facts: it is the connection that they came from that is judged
    decision = _decide(question, row, now, actor, scope, restored=restored)
    # If it is unknown to this actor, the detail must not name it: it may exist, outside the actor's scope.
    known = decision.reason != Reason.UNKNOWN_ORGANIZATION
    detail = _detail(decision, row if known else None)
    return Answer(decision, detail, now, () if restored else (row,), scope)


def decide_many(questions: Sequence[Question], actor: Actor) -> Answers:
    """Answer any number of questions by one query, so from one snapshot. Raises Forbidden like `decide`."""
    scope = organizations_with(actor, Permission.DECISIONS_ASK)
    rows, now = fetch(questions)
    restored = guard.quarantined()  # after the facts, as of one
    pairs = zip(questions, rows, strict=True)
    found = [_decide(question, row, now, actor, scope, restored=restored) for question, row in pairs]
    return Answers(found, now, () if restored else rows, scope)


def _decide(
    question: Question, row: Row, now: dt.datetime, actor: Actor, scope: frozenset[object] | None, *, restored: bool
) -> Decision:
    # An organization outside the actor's scope gives the same answer as one that doesn't exist.
    known = row.organization_id is not None and (scope is None or row.organization_id in scope)
    product, kind = question.product, question.data_kind
    product_known = product in _PRODUCTS
    return rules.resolve(
        Layers(
            now=now,
            restored=restored,
            at=question.at,
            collected_at=question.collected_at,
            organization_known=known,
            product_known=product_known,
            data_kind_known=kind is None or (product_known and kind in DATA_KINDS[product]),  # type: ignore[index]  # an equal key
            first_event_at=None if row.organization_id is None else from_micros(row.created_at),
            organization=row.organization(),
            member_asked=question.member is not None or bool(row.owner_meant),
            member_needed=product in WITH_MEMBERS,
            membership=row.membership(),
            member=row.member(),
            named_since=row.named(),
            cooling_off=row.cooling_off(),
            member_told=scope is None or _is_own(row, actor),
        )
    )


def in_effect(allowed: bool, reason: str) -> tuple[str, str]:
    """The choice that a setting amounts to now, and why. In quarantine none is in, whatever is stored; another reason
    why it is out stays told.
    """
    if allowed and guard.quarantined():
        return Choice.OPTED_OUT, Reason.RESTORED
    return Choice.OPTED_IN if allowed else Choice.OPTED_OUT, reason


def _is_own(row: Row, actor: Actor) -> bool:
    """Whether an actor who is no operator may know what the member chose (R4).

    These are the member themselves, signed in, and any person or key of a personal organization that never had a
    second member.
    """
    return bool(row.alone) or (row.member_user_id is not None and actor.is_user(row.member_user_id))


_DETAILS: dict[Reason, str | Promise] = {
    Reason.UNKNOWN_ORGANIZATION: gettext_lazy("There is no such organization."),
    Reason.RESTORED: gettext_lazy(
        "The database may be older than what was stored last, so nothing is allowed until that is settled."
    ),
    Reason.UNKNOWN_PRODUCT: gettext_lazy("There is no such product."),
    Reason.UNKNOWN_DATA_KIND: gettext_lazy("This product has no such kind of data."),
    Reason.COLLECTED_AT_MISSING: gettext_lazy("It is not known when this was collected."),
    Reason.NOT_YET_KNOWN: gettext_lazy("The times asked about are outside the period that is known."),
    Reason.MEMBER_REQUIRED: gettext_lazy("A question about this product has to name a member."),
    Reason.UNKNOWN_MEMBER: gettext_lazy("%(organization)s had no such member at that time."),
    Reason.ORGANIZATION_CLOSED: gettext_lazy("The account of %(organization)s is closed."),
    Reason.NO_SUBSCRIPTION: gettext_lazy("%(organization)s has no subscription for this product."),
    Reason.LOCKED: gettext_lazy("Training on data of %(organization)s is locked."),
    Reason.ORGANIZATION_OPTED_OUT: gettext_lazy("%(organization)s opted out on %(chosen)s."),
    Reason.PLAN_DEFAULT: gettext_lazy("%(organization)s follows the default of its plan: opted out."),
    Reason.CARRIED_OVER: gettext_lazy(
        "%(organization)s stays opted out because of an earlier default, until it opts in."
    ),
    Reason.MEMBER_PRIVATE: gettext_lazy("Only the member and operators can see what the member chose."),
    Reason.MEMBER_OPTED_OUT: gettext_lazy("The member opted out."),
    Reason.MEMBER_LEFT: gettext_lazy("The member had left when this was collected."),
    Reason.COLLECTED_BEFORE_ALLOWED: gettext_lazy(
        "Collected before %(since)s; training has been allowed only since then."
    ),
    Reason.COOLING_OFF: gettext_lazy("Cooling off: it can be used from %(usable)s at the earliest."),
    Reason.ORGANIZATION_OPTED_IN: gettext_lazy("%(organization)s opted in on %(chosen)s."),
}


def _detail(decision: Decision, row: Row | None) -> str:
    words: dict[str, object] = {}
    if row is not None:
        words = {
            "organization": row.name,
            "chosen": _day(instant(row.chosen_at)),
            "since": decision.boundary and decision.boundary.isoformat(),
            "usable": decision.usable_from and decision.usable_from.isoformat(),
        }
    return _sentence(decision.reason, decision.allowed, translation.get_language()) % words


@functools.cache  # so that Django's catalogues are not searched for each answer
def _sentence(reason: Reason, allowed: bool, _language: str | None) -> str:
    """The sentence for a reason in the current language, which has to be `_language`."""
    # The only reason that both allows and denies: _DETAILS has the text for the denial.
    if allowed and reason == Reason.PLAN_DEFAULT:
        return _("%(organization)s follows the default of its plan: opted in.")
    return str(_DETAILS[reason])


def _day(instant: dt.datetime | None) -> str:
    return instant.date().isoformat() if instant else "?"
