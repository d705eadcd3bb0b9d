"""The part of the random histories about external ids (R16): given, withdrawn, rebound by jobs, attested by imports.

Probes are questions that name external ids and are asked again after every step of a history. A probe about data from
the past that was denied stays denied, whatever happens to the ids, except by an earlier start that a second operator
approved. A probe as of a past instant always gets the same answer.
"""

import dataclasses
import datetime as dt
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from accounts.access import NotFound
from accounts.models import Member, Organization
from consent import decisions, ledger
from consent.errors import Refused
from consent.imports import reading
from consent.imports.fields import ImportPlan
from consent.jobs import actions, engine
from consent.jobs.rebind_files import Rebinding
from consent.models import BulkJob, ConsentEvent
from consent.services import external_ids, members, organizations
from tests.support.model.external_ids import PREFIX, SPELLINGS, Id
from tests.support.model.rules import AI_STUDIO, IN, LE_CHAT, Account, Asked, Fact, Person

TEXTS = ("acct-1", "acct-2", "acct-é")
texts = st.sampled_from([None, *TEXTS, "acct-1"])
numbers = st.integers(0, 1000)
soon_or_not = st.sampled_from([True, True, False])
OF_NEW = {LE_CHAT: "le_chat_free", AI_STUDIO: "ai_studio_experiment"}
PROBES = 12
# Kinds of events that may allow data collected from then on, for questions by external id; none allows earlier data.
FROM_THEN_ON = {"choice.opted_in", "choice.restored", "subscription.started", "lock.lifted", "organization.reopened"}
FROM_THEN_ON |= {"member.joined", "organization.created", "organization.kind_changed"}
FROM_THEN_ON |= {"external_id.given", "external_id.rebound"}


def spelled(text: str, number: int) -> str:
    return SPELLINGS[number % len(SPELLINGS)].format(text)


@dataclasses.dataclass
class Rebound:
    """A job and its rows: the id, its new subject ('' for none), and its number of subjects at the preview."""

    job: BulkJob
    rows: list[tuple[Id, str, int]]
    before: dict[Id, str] = dataclasses.field(default_factory=dict)  # id → its subject before, for each that changed


class Bindings:
    """The state machine's rules about ids; at most one job that rebinds is open at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.rebinding: Rebound | None = None
        self.rebound: list[Rebound] = []
        self.probes: dict[Asked, tuple[bool, str]] = {}
        self.probed_at = 0  # the last event then

    # --- Asking ---

    def named(self, subject: str | None, scope: str) -> str | None:
        """The id of the subject, or at random an external id instead: one that it ever had, or any other."""
        pick = self.random.choice
        if subject is None or self.random.random() < 0.5:
            return subject
        had = [text for (of, text), meant in self.world.names.history.items() if of == scope and subject in [
            each.subject for each in meant
        ]]  # fmt: skip
        return PREFIX + pick(SPELLINGS).format(pick([*had * 3, *TEXTS]))

    def asks(self, asked: list[Asked]) -> list[tuple[bool, str]]:
        questions = [decisions.Question(**vars(each)) for each in asked]
        found = decisions.decide_many(questions, self.operator).decisions
        return [(each.allowed, str(each.reason)) for each in found]

    def probe(self) -> Asked:
        pick = self.random.choice
        account = pick(list(self.world.accounts))
        product = pick([LE_CHAT, AI_STUDIO])
        people = list(self.world.accounts[account].people)
        member = pick(people) if people and product == LE_CHAT else None
        organization = pick([PREFIX + pick(TEXTS), PREFIX + pick(TEXTS), account])
        collected = pick([None, *self.instants])
        at = pick([None, None, *self.instants[-8:]])
        return Asked(organization, product, pick([member, member and PREFIX + pick(TEXTS)]), None, collected, at)

    def compare_probes(self) -> None:
        if not self.world.accounts:
            return
        asked, last = list(self.probes), self.last_event()
        kinds = list(ConsentEvent.objects.filter(pk__gt=self.probed_at).select_related("job"))
        for each, answer in zip(asked, self.asks(asked), strict=True):
            if each.at is not None:
                assert answer == self.probes[each], each
            elif answer[0] and not self.probes[each][0]:
                allowed = {"since.attested"} if each.collected_at else FROM_THEN_ON
                assert any(event.kind in allowed and self.was_agreed(event) for event in kinds), each
            self.probes[each] = answer
        self.probed_at = last
        fresh = [self.probe() for _ in range(2)]
        for each, answer in zip(fresh, self.asks(fresh), strict=True):
            if answer[1] != "not_yet_known":
                self.probes[each] = answer
        for each in list(self.probes)[:-PROBES]:
            del self.probes[each]

    @staticmethod
    def was_agreed(event: ConsentEvent) -> bool:
        """Whether a second operator approved the event's job; True for kinds that need no approval."""
        if event.kind not in ("since.attested", "external_id.rebound"):
            return True
        return event.job is not None and event.job.approver not in (None, event.job.author)

    # --- Giving and withdrawing ---

    def subject_of(self, n: int, who: int | None) -> tuple[Organization, Member | None, str, str]:
        """An organization, or a person who is or was its member; with the subject's id and its external ids' scope."""
        organization, _account = self.at(n)
        member = None if who is None else self.person(n, who)[0]
        scope = str(organization.pk) if member else ""
        return organization, member, str((member or organization).pk), scope

    @rule(n=numbers, who=st.sampled_from([None, None, 0, 1, 2]), text=texts, number=numbers)
    def give_id(self, n: int, who: int | None, text: str | None, number: int) -> None:
        organization, member, subject, scope = self.subject_of(n, who)
        value = None if text is None else spelled(text, number)

        def call() -> None:
            if member:
                members.update_member(member=member, external_id=value, actor=self.operator, source="api")
            else:
                organizations.update_organization(
                    organization=organization, external_id=value, actor=self.operator, source="api"
                )

        names = self.world.names
        shown = names.shown.get(subject)
        if member and not self.world.accounts[str(organization.pk)].people[subject].here():
            self.refused(call, Refused, "member_left")
        elif text == shown:
            self.happens(call)
        elif text is None:
            (event,) = self.happens(call, "external_id.withdrawn")
            names.withdrawn((scope, shown), event.recorded_at)
        elif names.is_anothers((scope, text), subject):
            self.refused(call, Refused, "exists")
        else:
            (event,) = self.happens(call, "external_id.given")
            names.given((scope, text), subject, event.recorded_at)
        self.as_shown(subject)

    @rule(n=numbers, who=st.sampled_from([None, None, 0, 1]), text=st.sampled_from(TEXTS))
    def withdraw_id(self, n: int, who: int | None, text: str) -> None:
        organization, member, subject, scope = self.subject_of(n, who)
        names, name = self.world.names, (scope, text)

        def call() -> None:
            external_ids.withdraw_external_id(
                organization=organization, member=member, external_id=text, actor=self.operator, source="api",
                reason="a mistake",
            )  # fmt: skip

        if subject not in names.ever(name):
            self.refused(call, NotFound)
        elif names.subject(name) != subject:
            self.happens(call)
        else:
            (event,) = self.happens(call, "external_id.withdrawn")
            names.withdrawn(name, event.recorded_at)
        self.as_shown(subject)

    def as_shown(self, *subjects: str) -> None:
        """Assert that the stored `external_id`, which pages and answers show, is that of the model."""
        for model in (Organization, Member):
            for pk, external_id in model._default_manager.filter(
                pk__in=[each for each in subjects if each]
            ).values_list("pk", "external_id"):
                assert external_id == self.world.names.shown.get(str(pk))

    # --- Rebinding ---

    @precondition(lambda self: self.rebinding is None)
    @rule(wishes=st.lists(st.tuples(st.sampled_from(TEXTS), numbers, st.sampled_from([None, None, 0, 1])), min_size=1,
                          max_size=3), soon=soon_or_not)  # fmt: skip
    def rebind(self, wishes: list[tuple[str, int, int | None]], soon: bool) -> None:
        rows: dict[Id, tuple[str, list[str]]] = {}
        for text, n, who in wishes:
            organization, member, subject, scope = self.subject_of(n, who)
            rows[scope, text] = subject, [str(organization.pk), str(member.pk) if member else ""]
        written = [Rebinding(n, spelled(name[1], n), *to) for n, (name, (_subject, to)) in enumerate(rows.items())]
        made: list[BulkJob] = []
        self.happens(lambda: made.append(
            actions.preview_rebind(wishes=written, actor=self.operator, source="admin", reason="merged")
        ))  # fmt: skip
        self.previewed(made[0], [(name, subject) for name, (subject, _to) in rows.items()], soon=soon)

    @precondition(lambda self: self.rebinding is None and bool(self.rebound))
    @rule(back=st.sampled_from([1, 1, 2]), soon=soon_or_not)
    def undo_a_rebinding(self, back: int, soon: bool) -> None:
        undone = self.rebound[-min(back, len(self.rebound))]
        made: list[BulkJob] = []

        def call() -> None:
            made.append(actions.preview_undo(job=undone.job, actor=self.operator, source="admin", reason="a mistake"))

        if not undone.before:
            self.refused(call, Refused, "status")
            return
        self.happens(call)
        self.previewed(made[0], list(undone.before.items()), soon=soon, undone=undone)

    def previewed(self, job: BulkJob, rows: list[tuple[Id, str]], *, soon: bool, undone: Rebound | None = None) -> None:
        """Note a preview for the model. The rows of an undo refer to the state after the undone job, others to now."""
        seen = {name: len(self.world.names.ever(name)) for name, _subject in rows}
        if undone is not None:
            seen = {name: count for name, _to, count in self.counted_after(undone)}
        known = Rebound(job, [(name, to, seen[name]) for name, to in rows])
        assert job.preview == Counter(self.outcome_of(row) for row in known.rows)
        self.rebinding = known
        if soon:
            self.finish_rebinding(cancel=False)

    @staticmethod
    def counted_after(undone: Rebound) -> list[tuple[Id, str, int]]:
        return [(name, to, count + bool(to)) for name, to, count in undone.rows]

    def outcome_of(self, row: tuple[Id, str, int]) -> str:
        (scope, text), to, seen = row
        names = self.world.names
        if len(names.ever((scope, text))) != seen:
            return "changed_since"
        if scope and to and not self.world.accounts[scope].people[to].here():
            return "member_left"
        return "same" if names.subject((scope, text)) == to else "change"

    @precondition(lambda self: self.rebinding is not None)
    @rule(cancel=st.sampled_from([False, False, False, True]))
    def rebinding_goes_on(self, cancel: bool) -> None:
        self.finish_rebinding(cancel=cancel)

    def finish_rebinding(self, *, cancel: bool) -> None:
        known, self.rebinding = self.rebinding, None
        assert known is not None
        if cancel:
            self.happens(lambda: actions.cancel(job=known.job, actor=self.operator))
            return
        outcomes = {name: self.outcome_of((name, to, seen)) for name, to, seen in known.rows}
        names, kinds = self.world.names, []
        for name, to, _seen in known.rows:
            if outcomes[name] == "change":
                kinds += ["external_id.withdrawn"] * bool(names.subject(name)) + ["external_id.rebound"] * bool(to)
        events = iter(self.happens(lambda: self.runs(known), *kinds))
        for name, to, _seen in known.rows:
            if outcomes[name] != "change":
                continue
            known.before[name] = names.subject(name)
            if known.before[name]:
                at = next(events).recorded_at
                if not to:
                    names.withdrawn(name, at)
            if to:
                names.given(name, to, next(events).recorded_at)
        self.as_shown(*known.before.values(), *(to for _name, to, _seen in known.rows))
        job = known.job
        assert (Counter({"change": job.changed, "same": job.unchanged}) + Counter(job.refusals)) == Counter(
            outcomes.values()
        )
        self.rebound.append(known)

    def runs(self, known: Rebound) -> None:
        job = actions.submit(job=known.job, actor=self.operator, digest=known.job.digest, accept_drift=True)
        assert job.status == "awaiting_approval"
        known.job = engine.run(engine.claim(actions.approve(job=job, actor=self.second)))
        assert known.job.status == "done"

    # --- Attesting ---

    def imported(self, table: str, row: dict[str, str], **plan: Any) -> None:
        """Import a file with one row; a second operator approves it if needed; without changes it is cancelled."""
        job = reading.prepare(
            plan=ImportPlan(table, {name: name for name in row}, **plan), actor=self.operator, source="command",
            name="f.csv", reason="moved here", reference="contract 7",
        )  # fmt: skip
        assert reading.take(job)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "f.csv"
            path.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
            job = reading.read(job, str(path))
        if not job.preview["change"]:
            reading.discard(job)
            return
        job = actions.submit(job=job, actor=self.operator, digest=job.digest)
        if job.status == "awaiting_approval":
            job = actions.approve(job=job, actor=self.second)
        assert engine.run(engine.claim(job)).status == "done"

    def start(self, days: int) -> dt.datetime:
        start = ledger.clock() - dt.timedelta(days=days)
        self.instants.append(start)
        return start

    @rule(text=st.sampled_from(TEXTS), days=st.integers(1, 3))
    def import_with_a_start(self, text: str, days: int) -> None:
        """Import a new organization with an attested earlier start, which a second operator approves."""
        if len(self.organizations) > 3:
            return
        start, names = self.start(days), self.world.names
        used = {product: self.defaults[plan] == IN for product, plan in OF_NEW.items()}
        kinds = ["organization.created"]
        for attested in used.values():
            kinds += ["subscription.started", *["since.attested"] * attested]
        row = {"name": "Moved here", "external_id": text, "since": start.isoformat()}
        events = self.happens(
            lambda: self.imported("organizations", row, plans=tuple(OF_NEW.values())),
            *([] if names.ever(("", text)) else kinds),
        )
        if not events:
            return
        created = events[0]
        account = Account(created.recorded_at, whole=[Fact(created.recorded_at, "kind", "team")])
        pk = str(created.organization_id)
        self.organizations.append(Organization.objects.get(pk=pk))
        self.world.accounts[pk] = account
        for event in events[1:]:
            if event.kind == "since.attested":
                assert event.since == start
                account.products[event.product].append(Fact(event.recorded_at, "attested", start.isoformat()))
            else:
                self.told_plan(account, event)
        names.given(("", text), pk, created.recorded_at, start if any(used.values()) else None)

    @rule(n=numbers, who=st.integers(0, 2), text=texts, days=st.integers(1, 3))
    def import_member_with_a_start(self, n: int, who: int, text: str | None, days: int) -> None:
        organization, account = self.at(n)
        if self.person(n, who)[0] is not None:
            return
        pk, start = str(organization.pk), self.start(days)
        barred = account.closed() or account.kind() == "personal" or (text and self.world.names.ever((pk, text)))
        row = {
            "organization": pk,
            "email": self.users[who].email,
            "external_id": text or "",
            "since": start.isoformat(),
        }
        events = self.happens(
            lambda: self.imported("members", row), *([] if barred else ["member.joined", "since.attested"])
        )
        if not events:
            return
        self.told_joined(self.organizations.index(organization), who, events[0])
        member = str(events[0].member_id)
        person: Person = account.people[member]
        person.facts.append(Fact(events[1].recorded_at, "attested", start.isoformat()))
        if text:
            self.world.names.given((pk, text), member, events[0].recorded_at, start)
