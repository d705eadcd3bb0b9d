"""A second, slower implementation of R1–R10 and R16, which stores what happened and derives the answers from that.

It shares nothing with `consent.rules`: no state, no carry, no dropped choice and no `since`. Whether data was usable at
an instant follows from everything that had happened by then. "Without a break" (R6) is taken literally: usable at the
moment of collection and after every single event between then and the moment asked about.
"""

import datetime as dt
from dataclasses import dataclass, field, replace
from itertools import pairwise

from tests.support.model.external_ids import Names

IN, OUT = "opted_in", "opted_out"
LE_CHAT, AI_STUDIO = "le_chat", "ai_studio"
DATA_KINDS = {
    LE_CHAT: {"conversation", "document", "output", "other"},
    AI_STUDIO: {"api_input", "api_output", "document", "related"},
}
FOREVER = dt.datetime.max.replace(tzinfo=dt.UTC)

Verdict = tuple[bool, str]


@dataclass(frozen=True)
class Fact:
    at: dt.datetime
    what: str
    value: str = ""


@dataclass
class Person:
    """A member: the facts of joining, leaving, roles and own choices."""

    facts: list[Fact] = field(default_factory=list)

    def presence(self, moment: dt.datetime) -> Fact | None:
        """The last fact of joining or leaving until `moment`."""
        return _last(self.facts, moment, "joined", "left")

    def here(self, moment: dt.datetime = FOREVER) -> bool:
        presence = self.presence(moment)
        return presence is not None and presence.what == "joined"

    def choice(self, moment: dt.datetime = FOREVER) -> str:
        said = _last(self.facts, moment, "choice")
        return said.value if said else ""

    def role(self) -> str:
        given = _last(self.facts, FOREVER, "joined", "role")
        return given.value if given else ""

    def stayed(self, first: dt.datetime, last: dt.datetime) -> bool:
        """Whether they were a member at `first` and did not join again until `last`; leaving alone changes nothing."""
        said = _attested(self.facts, first, last)
        since = said.at if said else first
        here = said is not None or self.here(first)
        return here and not any(f.what == "joined" and since < f.at <= last for f in self.facts)


@dataclass
class Account:
    """An organization: what happened to it as a whole, and to each of its products."""

    created_at: dt.datetime
    whole: list[Fact] = field(default_factory=list)  # closed, reopened, kind
    products: dict[str, list[Fact]] = field(default_factory=lambda: {LE_CHAT: [], AI_STUDIO: []})
    people: dict[str, Person] = field(default_factory=dict)

    def closed(self, moment: dt.datetime = FOREVER) -> bool:
        status = _last(self.whole, moment, "closed", "reopened")
        return status is not None and status.what == "closed"

    def kind(self, moment: dt.datetime = FOREVER) -> str:
        kind = _last(self.whole, moment, "kind")
        return kind.value if kind else ""

    def plan(self, product: str, moment: dt.datetime = FOREVER) -> str:
        """The plan at `moment`, '' for none."""
        held = _last(self.products[product], moment, "plan", "ended")
        return held.value if held and held.what == "plan" else ""

    def held(self, product: str) -> str:
        """The last plan, whether its subscription has ended or not."""
        plan = _last(self.products[product], FOREVER, "plan")
        return plan.value if plan else ""

    def locked(self, product: str, moment: dt.datetime = FOREVER) -> bool:
        lock = _last(self.products[product], moment, "locked", "lifted")
        return lock is not None and lock.what == "locked"

    def applied_default(self, product: str, moment: dt.datetime = FOREVER) -> str:
        """The last plan default that was applied, whether the plan is still held or not; '' before any subscription."""
        default = _last(self.products[product], moment, "default")
        return default.value if default else ""

    def choice(self, product: str, moment: dt.datetime = FOREVER) -> str:
        """The last explicit choice; '' for none, or for an opt-in after which the default fell from in to out (R5)."""
        facts = _standing(self.products[product], moment)
        words = [n for n, fact in enumerate(facts) if fact.what == "choice"]
        if not words:
            return ""
        said = facts[words[-1]].value
        if said == OUT:
            return OUT
        before = [fact.value for fact in facts[: words[-1]] if fact.what == "default"]
        since = [fact.value for fact in facts[words[-1] :] if fact.what == "default"]
        fell = (IN, OUT) in pairwise([*before[-1:], *since])
        return "" if fell else IN

    def obstacle(self, product: str) -> str:
        """The reason why an opt-in would be refused now, '' if it would not."""
        if self.closed():
            return "organization_closed"
        if not self.plan(product):
            return "no_subscription"
        return "locked" if self.locked(product) else ""

    def in_bulk(self, product: str, wanted: str) -> str:
        """What a job with this choice would do now: "change", "same", or the reason why it is passed over (R13)."""
        said = self.choice(product)
        if said == wanted:
            return "same"
        if wanted == OUT:
            return "change"
        return "organization_opted_out" if said == OUT else self.obstacle(product) or "change"

    def is_as_left(self, product: str, instant: dt.datetime) -> bool:
        """Whether nobody chose, confirmed, restored or moved the organization since then, not even away and back."""
        facts = self.products[product]
        held = {what: _last(facts, instant, what) for what in ("plan", "default")}
        values = {what: fact.value if fact else "" for what, fact in held.items()}
        since = [fact for fact in facts if fact.at > instant]
        return not any(
            f.what in ("choice", "confirmed", "undone") or f.value != values.get(f.what, f.value) for f in since
        )

    def word(self, product: str, moment: dt.datetime) -> Verdict:
        """The verdict of the organization's layer at `moment`."""
        if self.closed(moment):
            return False, "organization_closed"
        if not self.plan(product, moment):
            return False, "no_subscription"
        if self.locked(product, moment):
            return False, "locked"
        if choice := self.choice(product, moment):
            return choice == IN, f"organization_{choice}"
        facts = _standing(self.products[product], moment)
        defaults = [fact.value for fact in facts if fact.what == "default"]
        if defaults[-1] == OUT:
            return False, "plan_default"
        # No choice is in effect, but there was an "out" before: only a choice can end it (R5).
        if OUT in defaults or any(fact.what == "choice" for fact in facts):
            return False, "carried_over"
        return True, "plan_default"

    def used(self, product: str, instant: dt.datetime, moment: dt.datetime) -> bool:
        """Whether data was used at `instant`, as known at `moment`: an earlier start may have been attested by then."""
        return self.word(product, instant)[0] or _attested(self.products[product], instant, moment) is not None

    def owner(self, moment: dt.datetime) -> str:
        """The only member of a personal organization; '' before they joined."""
        return next((name for name, person in self.people.items() if person.here(moment)), "")


@dataclass(frozen=True)
class Asked:
    organization: str
    product: str
    member: str | None = None
    data_kind: str | None = None
    collected_at: dt.datetime | None = None
    at: dt.datetime | None = None


@dataclass
class World:
    accounts: dict[str, Account] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    cooling: dict[str, list[tuple[dt.datetime, int]]] = field(default_factory=dict)  # product → instant, days

    def days(self, product: str, moment: dt.datetime = FOREVER) -> int:
        return next((days for at, days in reversed(self.cooling.get(product, [])) if at <= moment), 0)

    def answer(self, asked: Asked, now: dt.datetime) -> Verdict:
        """The verdict on a question. External ids are resolved as of `at`, and deny data from before their start."""
        moment = asked.at or FOREVER
        organization, since = self.names.found(asked.organization, "", moment)
        member, member_since = asked.member, None
        if member is not None:
            member, member_since = self.names.found(member, organization, moment)
        meant = replace(asked, organization=organization, member=member)
        allowed, reason = self._answer(meant, now)
        starts = [start for start in (since, member_since) if start is not None]
        if allowed and asked.collected_at is not None and any(asked.collected_at < start for start in starts):
            return False, "collected_before_allowed"
        if allowed and asked.collected_at is not None:
            old = (asked.at or now) - asked.collected_at
            if old < dt.timedelta(days=self.days(asked.product, moment)):
                return False, "cooling_off"
        return allowed, reason

    def _answer(self, asked: Asked, now: dt.datetime) -> Verdict:
        account = self.accounts.get(asked.organization)
        if account is None:
            return False, "unknown_organization"
        if asked.product not in DATA_KINDS:
            return False, "unknown_product"
        if asked.data_kind is not None and asked.data_kind not in DATA_KINDS[asked.product]:
            return False, "unknown_data_kind"
        if asked.at is not None and not account.created_at <= asked.at <= now:
            return False, "not_yet_known"
        if asked.collected_at is not None and asked.collected_at > (asked.at or now):
            return False, "not_yet_known"
        moment = asked.at or FOREVER
        name = asked.member
        if name is None and asked.product == LE_CHAT:
            if account.kind(moment) != "personal":
                return False, "member_required"
            name = account.owner(moment)
        if name is None:
            return _organization_only(account, asked, moment)
        person = account.people.get(name)
        if person is None or person.presence(moment) is None:
            return False, "unknown_member"
        return _with_member(account, person, asked, moment)


def _organization_only(account: Account, asked: Asked, moment: dt.datetime) -> Verdict:
    allowed, reason = account.word(asked.product, moment)
    if not allowed or asked.collected_at is None:
        return allowed, reason
    happened = [*account.whole, *account.products[asked.product]]
    for instant in _instants(happened, asked.collected_at, moment):
        if not account.used(asked.product, instant, moment):
            return False, "collected_before_allowed"
    return True, reason


def _with_member(account: Account, person: Person, asked: Asked, moment: dt.datetime) -> Verdict:
    listens = asked.product == LE_CHAT  # elsewhere only membership counts
    allowed, reason = account.word(asked.product, moment)
    if not allowed:
        return False, reason
    if listens and person.choice(moment) == OUT:
        return False, "member_opted_out"
    presence = person.presence(moment)
    if presence and presence.what == "left" and (asked.collected_at or moment) >= presence.at:
        return False, "member_left"
    if asked.collected_at is None:
        return True, reason
    if not person.stayed(asked.collected_at, moment):
        return False, "collected_before_allowed"
    happened = [*account.whole, *account.products[asked.product], *person.facts]
    for instant in _instants(happened, asked.collected_at, moment):
        if not account.used(asked.product, instant, moment) or (listens and person.choice(instant) == OUT):
            return False, "collected_before_allowed"
    return True, reason


def _instants(happened: list[Fact], first: dt.datetime, last: dt.datetime) -> set[dt.datetime]:
    """The instants from `first` to `last` at which anything changed; a change counts from its own instant on (R7)."""
    return {first} | {fact.at for fact in happened if first < fact.at <= last}


def _attested(facts: list[Fact], instant: dt.datetime, moment: dt.datetime) -> Fact | None:
    """The attestation made until `moment` whose time, from its start to when it was made, includes `instant`."""
    said = (fact for fact in facts if fact.what == "attested" and instant < fact.at <= moment)
    return next((fact for fact in said if dt.datetime.fromisoformat(fact.value) <= instant), None)


def _until(facts: list[Fact], moment: dt.datetime) -> list[Fact]:
    return [fact for fact in facts if fact.at <= moment]


def _standing(facts: list[Fact], moment: dt.datetime) -> list[Fact]:
    """The facts until `moment`, without choices that were undone by then."""
    past = _until(facts, moment)
    void: set[str] = set()
    for fact in reversed(past):
        if fact.what == "undone" and fact.at.isoformat() not in void:  # an undo can be undone itself
            void.add(fact.value)
    return [fact for fact in past if fact.what != "choice" or fact.at.isoformat() not in void]


def _last(facts: list[Fact], moment: dt.datetime, *whats: str) -> Fact | None:
    return next((fact for fact in reversed(facts) if fact.at <= moment and fact.what in whats), None)
