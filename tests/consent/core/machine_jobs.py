"""The part of the random histories about bulk jobs: previewed, perhaps overtaken by other steps, run or paused and run.

The model computes which organizations a job selects and what it does to each, from what happened to that organization
so far. The portal has to preview exactly that, and to write the events that the model expects and no others.
"""

import dataclasses
import datetime as dt
from collections import Counter
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from accounts.access import Forbidden
from accounts.catalogue import MAY_DEFAULT_IN
from accounts.models import Plan
from consent.errors import Refused
from consent.jobs import actions, engine
from consent.jobs.selection import Selection
from consent.models import BulkJob, ConsentEvent, PrivacySetting
from consent.surfaces import organization_surface
from tests.support.model.rules import AI_STUDIO, IN, LE_CHAT, OUT, Account, Fact

_products = st.sampled_from([LE_CHAT, LE_CHAT, AI_STUDIO])
_absolute = st.sampled_from([IN, OUT])
_parts = st.sampled_from(["everything", "everything", "plan", "choice", "reason", "status", "organizations", "wishes"])
_plans = st.sampled_from(["le_chat_free", "le_chat_teams", "ai_studio_experiment", "ai_studio_scale"])
_numbers = st.integers(0, 1000)
_soon = st.sampled_from([True, True, False])


@dataclasses.dataclass
class Known:
    """A job and the model's knowledge of it: its rows in order, each with the wanted choice or the instant to undo."""

    job: BulkJob
    product: str
    rows: list[str]
    wanted: dict[str, str] = dataclasses.field(default_factory=dict)
    plan: str = ""
    undoes: dict[str, dt.datetime] = dataclasses.field(default_factory=dict)
    changed: dict[str, dt.datetime] = dataclasses.field(default_factory=dict)
    seen: dict[str, int] = dataclasses.field(default_factory=dict)  # the versions that were previewed

    @property
    def is_default(self) -> bool:
        return self.job.kind == BulkJob.Kind.PLAN_DEFAULT

    @property
    def is_undo(self) -> bool:
        return self.job.kind == BulkJob.Kind.UNDO


class Jobs:
    """The state machine's rules about jobs; at most one is open at a time, while other steps happen."""

    def __init__(self) -> None:
        super().__init__()
        self.known: Known | None = None
        self.over: list[Known] = []

    # --- What the model says ---

    def accounts(self) -> dict[str, Account]:
        return dict(sorted(self.world.accounts.items()))

    def subscribers(self, key: str, product: str) -> list[str]:
        return [pk for pk, account in self.accounts().items() if account.plan(product) == key]

    def outcome(self, known: Known, pk: str) -> str:
        """What the job would do with this organization now: "change", "same", or the reason why it is passed over."""
        found = self.wished(known, pk)
        if found == "change" and known.seen.get(pk) != self.version(known, pk) and self.loosens(known, pk):
            return "changed_since"
        return found

    @staticmethod
    def version(known: Known, pk: str) -> int:
        rows = PrivacySetting.objects.of_organizations().filter(organization=pk, product=known.product)
        return rows.values_list("version", flat=True).first() or 0

    def loosens(self, known: Known, pk: str) -> bool:
        """Whether the row could loosen, now or once no lock or other obstacle is in the way (R13)."""
        if known.is_default or not known.is_undo:
            return not known.is_default and known.wanted[pk] == IN
        row = known.job.rows.select_related("event").get(organization=pk)
        setting = PrivacySetting.objects.of_organizations().get(organization=pk, product=known.product)

        def usable(choice: str, carry: str) -> bool:
            return choice == IN or (choice != OUT and setting.applied_default in ("", IN) and not carry)

        now, then = setting.choice, row.event.before
        return usable(then, row.carry) > usable(now, setting.carry) or then == IN != now

    def wished(self, known: Known, pk: str) -> str:
        """Like `outcome`, but without comparing the setting's version with that of the preview."""
        account, product = self.world.accounts[pk], known.product
        if known.is_undo:
            return "change" if account.is_as_left(product, known.undoes[pk]) else "changed_since"
        if not known.is_default:
            return account.in_bulk(product, known.wanted[pk])
        if account.held(product) != known.plan:
            return "changed_since"
        if account.applied_default(product) == known.job.wanted:
            return "same"
        return "change" if account.plan(product) else "no_subscription"

    def kind(self, known: Known, pk: str) -> str:
        if known.is_undo:
            return "choice.restored"
        return "plan.default_changed" if known.is_default else f"choice.{known.wanted[pk]}"

    def tell(self, known: Known, event: ConsentEvent) -> None:
        """Tell the model of a job's event, and check the event's choice against the model's."""
        pk, product, at = str(event.organization_id), known.product, event.recorded_at
        account = self.world.accounts[pk]
        known.changed[pk] = at
        if known.is_default:
            account.products[product].append(Fact(at, "default", event.after))
            return
        what, value = ("undone", known.undoes[pk].isoformat()) if known.is_undo else ("choice", event.after)
        account.products[product].append(Fact(at, what, value))
        assert event.after == event.choice == (account.choice(product) or "default")
        self.chosen_by_operator[pk, product] = True

    # --- Previews ---

    def selected(self, part: str, number: int, product: str) -> tuple[Selection | None, list[str]]:
        accounts = self.accounts()
        if part == "everything":
            return Selection(everything=True), list(accounts)
        if part in ("organizations", "wishes"):
            some = [pk for n, pk in enumerate(accounts) if (number >> n) % 2]
            some = some or [next(iter(accounts))]
            return None if part == "wishes" else Selection(organizations=tuple(some)), some
        now = max(self.instants)  # the last one noted may be a start in the past
        says = {
            "plan": lambda account: account.plan(product),
            "choice": lambda account: account.choice(product) or "default",
            "reason": lambda account: account.word(product, now)[1],
            "status": lambda account: "closed" if account.closed() else "active",
        }[part]
        of = {pk: says(account) for pk, account in accounts.items()}
        values = sorted({value for value in of.values() if value})
        if not values:
            return Selection(everything=True), list(accounts)
        value = values[number % len(values)]
        return Selection(**{part: (value,)}), [pk for pk in accounts if of[pk] == value]

    @precondition(lambda self: self.known is None)
    @rule(product=_products, choice=_absolute, part=_parts, number=_numbers, soon=_soon, pause=st.booleans())
    def choose_in_bulk(self, product: str, choice: str, part: str, number: int, soon: bool, pause: bool) -> None:
        selection, rows = self.selected(part, number, product)
        wish: dict[str, Any] = {"selection": selection, "choice": choice}
        wanted = dict.fromkeys(rows, choice)
        if selection is None:
            wanted = {pk: (IN, OUT)[(number >> n + 4) % 2] for n, pk in enumerate(rows)}
            ids = {str(organization.pk): organization.pk for organization in self.organizations}
            wish = {"wishes": {ids[pk]: wanted[pk] for pk in reversed(rows)}}
        job = self.preview(
            actions.preview_choice, surface=organization_surface(product), reason="as agreed", **wish
        )  # fmt: skip
        self.prepare(Known(job, product, rows, wanted=wanted), soon=soon, pause=pause)
        assert job.loosens == (IN in wanted.values() or (selection is not None and choice == IN))

    @precondition(lambda self: self.known is None)
    @rule(key=st.sampled_from(MAY_DEFAULT_IN), default=_absolute, soon=_soon, pause=st.booleans())
    def change_default_in_bulk(self, key: str, default: str, soon: bool, pause: bool) -> None:
        plan = Plan.objects.get(key=key)
        job = self.preview(actions.preview_default, plan=plan, default=default, reason="new terms")
        rows = self.subscribers(key, plan.product)
        self.prepare(Known(job, plan.product, rows, plan=key), soon=soon, pause=pause)
        assert job.loosens == (default == IN)

    @precondition(lambda self: self.known is None and bool(self.over))
    @rule(back=st.sampled_from([1, 1, 1, 2, 3]), soon=_soon, pause=st.booleans())
    def undo_a_job(self, back: int, soon: bool, pause: bool) -> None:
        undone = self.over[-min(back, len(self.over))]

        def call() -> BulkJob:
            return self.preview(actions.preview_undo, job=undone.job, reason="a mistake")

        if undone.is_default or not undone.changed:
            self.refused(call, Refused, "plan_default" if undone.is_default else "status")
            return
        self.prepare(
            Known(call(), undone.product, sorted(undone.changed), undoes=dict(undone.changed)), soon=soon, pause=pause
        )

    @precondition(lambda self: self.known is None)
    @rule(product=_products, choice=_absolute, n=_numbers, key=_plans, reference=st.sampled_from(["", "A-1"]))
    def a_job_is_overtaken_and_undone(self, product: str, choice: str, n: int, key: str, reference: str) -> None:
        """A sequence that is rare by chance: a step between preview and run, and one between run and undo."""
        self.choose_in_bulk(product, choice, "everything", n, soon=False, pause=False)
        self.choose(n % 2, product, (IN, OUT)[n % 3 % 2], "as agreed", None)
        self.go_on(pause=bool(n % 5), cancel=False, drifted=True)
        if self.known is not None:  # paused after its first row
            self.subscribe(n % 2, key)
            self.go_on(pause=False, cancel=False, drifted=True)
        if reference:
            self.lock(n % 3, product, reference)
        self.undo_a_job(1, soon=True, pause=False)

    def preview(self, verb: Any, **wish: Any) -> BulkJob:
        made: list[BulkJob] = []
        self.happens(lambda: made.append(verb(actor=self.operator, source="admin", **wish)))
        return made[0]

    def prepare(self, known: Known, *, soon: bool, pause: bool) -> None:
        """Compare the preview's rows and counts with the model; then run the job at once, or after other steps."""
        assert self.rows_of(known.job) == known.rows
        known.seen = {pk: self.version(known, pk) for pk in known.rows}
        assert known.job.preview == Counter(self.outcome(known, pk) for pk in known.rows)
        self.known = known
        if soon:
            self.go_on(pause=pause, cancel=False, drifted=False)

    @staticmethod
    def rows_of(job: BulkJob) -> list[str]:
        return [str(pk) for pk in job.rows.order_by("number").values_list("organization_id", flat=True)]

    # --- Runs ---

    @precondition(lambda self: self.known is not None)
    @rule(pause=st.booleans(), cancel=st.sampled_from([False, False, False, True]))
    def goes_on(self, pause: bool, cancel: bool) -> None:
        self.go_on(pause=pause, cancel=cancel, drifted=True)

    def go_on(self, *, pause: bool, cancel: bool, drifted: bool) -> None:
        known = self.known
        assert known is not None
        if cancel:
            self.happens(lambda: actions.cancel(job=known.job, actor=self.operator))
        else:
            self.happens(lambda: self.submit(known, drifted=drifted))
            self.run(known, pause=pause)
        known.job.refresh_from_db()
        if known.job.is_over:
            self.known = None
            self.over.append(known)

    def submit(self, known: Known, *, drifted: bool) -> None:
        job = known.job
        if job.status == BulkJob.Status.PAUSED:
            known.job = actions.resume(job=job, actor=self.operator)
            return
        job = actions.submit(job=job, actor=self.operator, digest=job.digest, accept_drift=drifted)
        assert job.status == ("awaiting_approval" if job.loosens else "queued")
        if job.loosens:
            with pytest.raises(Forbidden):
                actions.approve(job=job, actor=self.operator)
            job = actions.approve(job=job, actor=self.second)
        known.job = job

    def run(self, known: Known, *, pause: bool) -> None:
        """Run the job from its cursor on, row by row; the events must be exactly those that the model expects."""
        job, last = engine.claim(known.job), self.last_event()
        if known.is_default and not job.cursor:  # from here on it holds, and concerns who is there now
            self.defaults[known.plan] = job.wanted
            known.rows = self.subscribers(known.plan, known.product)
            assert self.rows_of(job) == known.rows
        start, counted = job.cursor, Counter({"change": job.changed, "same": job.unchanged}) + Counter(job.refusals)
        outcomes = {pk: self.outcome(known, pk) for pk in known.rows[start:]}
        job = engine.run(job, on_chunk=self.pause if pause else None)
        done = known.rows[start : job.cursor]
        events = list(ConsentEvent.objects.filter(pk__gt=last).select_related("job").order_by("pk"))
        expected = {pk: self.kind(known, pk) for pk in done if outcomes[pk] == "change"}
        assert [(str(event.organization_id), event.kind) for event in events] == list(expected.items())
        for event in events:
            self.note(event)
            self.tell(known, event)
        counted += Counter(outcomes[pk] for pk in done)
        assert Counter({"change": job.changed, "same": job.unchanged}) + Counter(job.refusals) == counted
        assert job.refused == sum(job.refusals.values())
        assert {str(row.organization_id): row.refusal for row in job.rows.filter(number__gt=start)} == {
            pk: outcomes[pk] if pk in done and outcomes[pk] not in ("change", "same") else "" for pk in outcomes
        }

    def pause(self, job: BulkJob) -> None:
        if job.status == BulkJob.Status.RUNNING:
            actions.pause(job=job, actor=self.operator)
