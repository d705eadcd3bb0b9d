"""Random histories through the real services, compared with the small model of R1–R10 and R16 in tests/support/model.

A personal organization's one person makes one choice for both layers (R17), and a team that had other members stays a
team. Keys and webhooks are compared with the model's keys.py (R18).

After every step questions about members get the model's answer and reason, one by one and in a batch: as of now, of the
instants of events, and a microsecond before and after them. A refused call has raised the right error and changed
nothing; the ledger verifies; and only the kinds of event that R5 allows have made data used.
"""

import datetime as dt
import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from accounts.access import Actor, Forbidden
from accounts.catalogue import MAY_DEFAULT_IN
from accounts.models import ApiKey, Binding, Member, Organization, Plan, Subscription, User
from consent import decisions, ledger, verification
from consent.errors import Invalid, Refused
from consent.models import OF_NO_LAYER, ConsentEvent, CoolingOff, Lock, PrivacySetting
from consent.services import choices, locks, members, organizations, plans
from consent.surfaces import LE_CHAT_MOBILE, organization_surface
from tests.consent.core.machine_bindings import Bindings, spelled, texts
from tests.consent.core.machine_cooling import Cooling
from tests.consent.core.machine_jobs import Jobs
from tests.consent.core.machine_keys import Keys
from tests.support.factories import UserFactory
from tests.support.model.keys import MANAGING, Turn
from tests.support.model.rules import AI_STUDIO, DATA_KINDS, IN, LE_CHAT, OUT, Account, Asked, Fact, Person, World

PLANS = (
    "le_chat_free", "le_chat_pro", "le_chat_student", "le_chat_teams", "le_chat_enterprise",
    "ai_studio_experiment", "ai_studio_scale",
)  # fmt: skip
ORGANIZATIONS, PEOPLE, QUESTIONS = 3, 3, 30
# R5: nothing else turns "not used" into "used".
LOOSENING = {"choice.opted_in", "subscription.started", "lock.lifted", "organization.reopened", "member.joined"}
LOOSENING |= {"choice.restored"}
MICROSECOND = dt.timedelta(microseconds=1)

which = st.sampled_from([0, 0, 0, 0, 1, 2])  # long histories beat many
people = st.integers(0, PEOPLE - 1)
products = st.sampled_from([LE_CHAT, LE_CHAT, AI_STUDIO])
plan_keys = st.sampled_from([*PLANS, "le_chat_free", "le_chat_teams", "le_chat_teams"])
absolute = st.sampled_from([IN, OUT])
reasons = st.sampled_from(["as agreed", "as agreed", ""])


class Portal(Bindings, Cooling, Jobs, Keys, RuleBasedStateMachine):
    """Organizations and people by number; every step is done in the portal and told to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.operator = Actor.from_user(UserFactory(email="operator@provider.example", superuser=True), confirmed=True)
        self.second = Actor.from_user(UserFactory(email="second@provider.example", superuser=True), confirmed=True)
        self.users = [UserFactory(email=f"person{n}@people.example") for n in range(PEOPLE)]
        self.users += self.people_of_keys(User.objects.get(pk=self.operator.id), User.objects.get(pk=self.second.id))
        self.world = World()
        self.defaults = dict(Plan.objects.values_list("key", "training_default"))
        self.organizations: list[Organization] = []
        self.members: dict[tuple[int, int], Member] = {}
        self.chosen_by_operator: dict[tuple[str, str], bool] = {}  # organization or member id, product
        self.layers: dict[tuple[Any, Any, str], ConsentEvent] = {}
        self.instants: list[dt.datetime] = []
        self.random = random.Random(0)  # noqa: S311

    def teardown(self) -> None:
        try:
            self.verify()
        finally:
            transaction.set_rollback(True)
            self.savepoint.__exit__(None, None, None)

    # --- Doing and telling -------------------------------------------------------------------------------------------

    def happens(self, call: Callable[[], Any], *kinds: str) -> list[ConsentEvent]:
        """Assert that the call writes events of exactly these kinds; without kinds, that it changes nothing."""
        last, before = self.last_event(), [] if kinds else self.everything()
        call()
        events = list(ConsentEvent.objects.filter(pk__gt=last).order_by("pk"))
        assert [event.kind for event in events] == list(kinds)
        if not kinds:
            assert self.everything() == before
        for event in events:
            self.note(event)
        return events

    def refused(self, call: Callable[[], Any], error: type[Exception], code: str = "") -> None:
        before = self.everything()
        with pytest.raises(error) as caught:
            call()
        assert not code or getattr(caught.value, "code", None) == code
        assert self.everything() == before

    def note(self, event: ConsentEvent) -> None:
        """Check each event against the previous one of its layer (R5, R7)."""
        if event.kind in OF_NO_LAYER:
            return
        layer = (event.organization_id, event.member_id, event.product)
        before = self.layers.get(layer)
        if before is not None:
            assert event.recorded_at > before.recorded_at
        if event.allowed and not (before.allowed if before else event.member_id is not None and bool(event.product)):
            assert event.kind in LOOSENING, event.kind
            assert event.job is None or event.job.approver not in (None, event.job.author)  # R13
        if before is not None and before.choice == OUT and event.choice != OUT:
            assert event.kind == ("choice.restored" if event.job else "choice.opted_in")
        self.layers[layer] = event
        self.instants.append(event.recorded_at)

    def last_event(self) -> int:
        return ConsentEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """Everything that a call can change; without settings of version 0, which exist only to be locked."""
        rows = [PrivacySetting.objects.filter(version__gt=0)]
        rows += [
            model._default_manager.all()
            for model in (Organization, Member, Subscription, Lock, Binding, ApiKey, CoolingOff)
        ]
        return [[(self.last_event(),)], *(list(found.order_by("pk").values_list()) for found in rows)]

    def at(self, n: int) -> tuple[Organization, Account]:
        organization = self.organizations[n % len(self.organizations)]
        return organization, self.world.accounts[str(organization.pk)]

    def person(self, n: int, who: int) -> tuple[Member | None, Person | None]:
        organization, account = self.at(n)
        member = self.members.get((self.organizations.index(organization), who))
        return member, account.people[str(member.pk)] if member else None

    def owners(self, n: int, *, roles: tuple[str, ...] = ("owner",)) -> list[int]:
        there = [(who, self.person(n, who)[1]) for who in range(PEOPLE)]
        return [who for who, person in there if person and person.here() and person.role() in roles]

    # --- Organizations -----------------------------------------------------------------------------------------------

    @initialize(
        seed=st.integers(0, 2**32), personal=st.booleans(), keys=st.sets(plan_keys, max_size=3), other=plan_keys
    )
    def begin(self, seed: int, personal: bool, keys: set[str], other: str) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.create(personal, keys | {"le_chat_free", "ai_studio_experiment"}, set())
        self.create(False, {other}, set())
        if not personal:
            self.join(0, 0, "owner")
            self.join(0, 1, "member")
        self.first_keys()

    @rule(personal=st.booleans(), keys=st.sets(plan_keys, max_size=3), opted_out=st.sets(products), text=texts)
    def create(self, personal: bool, keys: set[str], opted_out: set[str], text: str | None = None) -> None:
        if len(self.organizations) == ORGANIZATIONS:
            return
        held = {key.rsplit("_", 1)[0]: key for key in sorted(keys)}
        draft = organizations.OrganizationDraft(
            name="Somebody",
            external_id=text and spelled(text, len(keys)),
            kind="personal" if personal else "team",
            owner=(self.users[0].email, "") if personal else None,
            subscriptions=[Plan.objects.get(key=key) for key in held.values()],
            choices=dict.fromkeys(sorted(opted_out), OUT),
        )
        kinds = ["organization.created", *["member.joined"] * personal]
        kinds += [*["choice.opted_out"] * len(opted_out), *["subscription.started"] * len(held)]
        made: list[Organization] = []

        def call() -> None:
            made.append(organizations.create_organization(draft=draft, actor=self.operator, source="admin"))

        if text and self.world.names.ever(("", text)):
            self.refused(call, Refused, "exists")
            return
        events = self.happens(call, *kinds)
        account = Account(events[0].recorded_at, whole=[Fact(events[0].recorded_at, "kind", draft.kind)])
        self.organizations.append(made[0])
        self.world.accounts[str(made[0].pk)] = account
        if text:
            self.world.names.given(("", text), str(made[0].pk), account.created_at)
        for event in events[1:]:
            if event.member_id:
                self.told_joined(len(self.organizations) - 1, 0, event)
            elif event.kind == "choice.opted_out":
                self.told_choice(account, event, by_operator=True)
            else:
                self.told_plan(account, event)

    @rule(n=which)
    def close(self, n: int) -> None:
        self.set_status(n, organizations.close_organization, "closed")

    @rule(n=which)
    def reopen(self, n: int) -> None:
        self.set_status(n, organizations.reopen_organization, "reopened")

    def set_status(self, n: int, service: Callable[..., Any], what: str) -> None:
        organization, account = self.at(n)
        kinds = [f"organization.{what}"] * 2 if account.closed() != (what == "closed") else []
        events = self.happens(
            lambda: service(organization=organization, actor=self.operator, source="admin", reason="asked for"), *kinds
        )
        if events:
            (instant,) = {event.recorded_at for event in events}  # R7: no product is ahead of the other
            account.whole.append(Fact(instant, what))

    @rule(n=which, kind=st.sampled_from(["personal", "team"]))
    def change_kind(self, n: int, kind: str) -> None:
        organization, account = self.at(n)

        def call() -> None:
            organizations.update_organization(organization=organization, actor=self.operator, source="admin", kind=kind)

        if kind == account.kind():
            self.happens(call)
        elif kind == "personal" and (len(account.people) != 1 or not self.owners(n)):  # R17: one person, ever
            self.refused(call, Refused, "personal")
        else:
            spread = kind == "personal" and self.layers_out(n).count(True) == 1
            event, *more = self.happens(call, "organization.kind_changed", *["choice.opted_out"] * spread)
            account.whole.append(Fact(event.recorded_at, "kind", kind))
            assert all(each.recorded_at == event.recorded_at for each in more)
            self.told_both(account, more, by_operator=True)

    def layers_out(self, n: int) -> list[bool]:
        """Whether a personal organization's Le Chat is opted out in its own layer, and in its person's."""
        account = self.at(n)[1]
        return [account.choice(LE_CHAT) == OUT, *(person.choice() == OUT for person in account.people.values())]

    @rule(n=which, name=st.sampled_from(["Somebody", "Somebody else"]))
    def rename(self, n: int, name: str) -> None:
        organization, _account = self.at(n)
        same = Organization.objects.get(pk=organization.pk).name == name
        self.happens(
            lambda: organizations.update_organization(
                organization=organization, actor=self.operator, source="admin", name=name
            ),
            *([] if same else ["organization.updated"]),
        )

    # --- Plans and locks ---------------------------------------------------------------------------------------------

    @rule(n=which, key=plan_keys)
    def subscribe(self, n: int, key: str) -> None:
        organization, account = self.at(n)
        product = key.rsplit("_", 1)[0]

        def call() -> None:
            plan = Plan.objects.get(key=key)
            plans.subscribe(organization=organization, plan=plan, actor=self.operator, source="admin")

        held = account.plan(product)
        if held == key:
            self.happens(call)
        elif account.closed():
            self.refused(call, Refused, "organization_closed")
        else:
            (event,) = self.happens(call, "plan.changed" if held else "subscription.started")
            self.told_plan(account, event)

    def told_plan(self, account: Account, event: ConsentEvent) -> None:
        account.products[event.product] += [
            Fact(event.recorded_at, "plan", event.after),
            Fact(event.recorded_at, "default", self.defaults[event.after]),
        ]

    @rule(n=which, product=products)
    def end(self, n: int, product: str) -> None:
        organization, account = self.at(n)
        events = self.happens(
            lambda: plans.end_subscription(
                organization=organization, product=product, actor=self.operator, source="admin"
            ),
            *(["subscription.ended"] if account.plan(product) else []),
        )
        account.products[product] += [Fact(event.recorded_at, "ended") for event in events]

    @rule(n=which, product=products)
    def resume(self, n: int, product: str) -> None:
        """Remove all obstacles (reopen, lift, subscribe again): otherwise most histories would get stuck."""
        _organization, account = self.at(n)
        held = [fact.value for fact in account.products[product] if fact.what == "plan"]
        self.reopen(n)
        self.lift(n, product)
        if held:
            self.subscribe(n, held[-1])

    @rule(n=which, who=people)
    def leave_and_join_again(self, n: int, who: int) -> None:
        self.leave(n, who)
        self.join(n, who, "member")

    @rule(key=st.sampled_from(MAY_DEFAULT_IN), default=absolute)
    def change_default(self, key: str, default: str) -> None:
        """Change a plan's default for new subscriptions; live ones have stored the default applied to them."""
        Plan.objects.filter(key=key).update(training_default=default)
        self.defaults[key] = default

    @rule(n=which, product=products, reference=st.sampled_from(["A-1", "A-1", "B-2"]))
    def lock(self, n: int, product: str, reference: str) -> None:
        organization, account = self.at(n)

        def call() -> None:
            locks.place_lock(
                organization=organization, product=product, reason="contract", reference=reference,
                actor=self.operator, source="admin",
            )  # fmt: skip

        live = next((f for f in reversed(account.products[product]) if f.what in ("locked", "lifted")), None)
        if live and live.what == "locked":
            if live.value == reference:
                self.happens(call)
            else:
                self.refused(call, Refused, "locked")
        else:
            (event,) = self.happens(call, "lock.placed")
            account.products[product].append(Fact(event.recorded_at, "locked", reference))

    @rule(n=which, product=products)
    def lift(self, n: int, product: str) -> None:
        organization, account = self.at(n)
        events = self.happens(
            lambda: locks.lift_lock(
                organization=organization, product=product, reason="over", actor=self.operator, source="admin"
            ),
            *(["lock.lifted"] if account.locked(product) else []),
        )
        account.products[product] += [Fact(event.recorded_at, "lifted") for event in events]

    # --- Choices -----------------------------------------------------------------------------------------------------

    @rule(n=which, product=products, choice=absolute, reason=reasons, by=st.sampled_from([None, 0, 0, 1]))
    def choose(self, n: int, product: str, choice: str, reason: str, by: int | None) -> None:
        """Choose for an organization, as the operator (None) or as a person: only owners and admins may."""
        organization, account = self.at(n)
        actor = self.operator if by is None else Actor.from_user(self.users[by], confirmed=True)
        if account.kind() == "personal" and product == LE_CHAT and by in self.owners(n):
            self.one_person_chooses(n, choice, reason, "console")
            return

        def call() -> None:
            choices.choose(
                surface=organization_surface(product), organization=organization, choice=choice, actor=actor,
                source="admin" if by is None else "console", reason=reason, version_required=False,
            )  # fmt: skip

        said, key = account.choice(product), (str(organization.pk), product)
        theirs = by is not None and self.chosen_by_operator.get(key, False)
        if by is not None and by not in self.owners(n, roles=MANAGING):
            self.refused(call, Forbidden)
        elif said == choice and not theirs:
            self.happens(call)
        elif choice == IN and (obstacle := account.obstacle(product)):
            self.refused(call, Refused, obstacle)
        elif choice == IN and said != IN and not reason and (by is None or account.applied_default(product) == OUT):
            self.refused(call, Invalid, "required")
        else:
            (event,) = self.happens(call, "choice.confirmed" if said == choice else f"choice.{choice}")
            self.told_choice(account, event, by_operator=by is None)

    def told_choice(self, account: Account, event: ConsentEvent, *, by_operator: bool) -> None:
        self.chosen_by_operator[str(event.organization_id), event.product] = by_operator
        what = "confirmed" if event.kind == "choice.confirmed" else "choice"
        account.products[event.product].append(Fact(event.recorded_at, what, event.after))

    def one_person_chooses(self, n: int, choice: str, reason: str, source: str) -> None:
        """R17: the one person chooses for both layers at once, on either surface, under the conditions of both."""
        organization, account = self.at(n)
        (name, person), user = next(iter(account.people.items())), self.users[self.owners(n)[0]]
        on_phone = source == "data_controls"

        def call() -> None:
            choices.choose(
                surface=LE_CHAT_MOBILE if on_phone else organization_surface(LE_CHAT), organization=organization,
                member=Member.objects.get(pk=name) if on_phone else None, choice=choice,
                actor=Actor.from_user(user, confirmed=True),
                source=source, reason=reason, version_required=False,
            )  # fmt: skip

        layers = [(account.choice(LE_CHAT), str(organization.pk)), (person.choice(), name)]
        unsaid = [said for said, pk in layers if said != choice or self.chosen_by_operator.get((pk, LE_CHAT), False)]
        needs_reason = account.choice(LE_CHAT) != IN and account.applied_default(LE_CHAT) == OUT
        if not unsaid:
            self.happens(call)
        elif choice == IN and (obstacle := account.obstacle(LE_CHAT)):
            self.refused(call, Refused, obstacle)
        elif choice == IN and needs_reason and not reason:
            self.refused(call, Invalid, "required")
        else:
            kinds = ["choice.confirmed" if said == choice else f"choice.{choice}" for said in unsaid]
            events = self.happens(call, *kinds)
            assert len({event.recorded_at for event in events}) == 1
            self.told_both(account, events, by_operator=False)

    def told_both(self, account: Account, events: list[ConsentEvent], *, by_operator: bool) -> None:
        for event in events:
            if event.member_id is None:
                self.told_choice(account, event, by_operator=by_operator)
            else:
                self.chosen_by_operator[str(event.member_id), LE_CHAT] = by_operator
                account.people[str(event.member_id)].facts.append(Fact(event.recorded_at, "choice", event.after))

    @rule(
        n=which,
        who=people,
        choice=absolute,
        by=st.sampled_from(["self", "self", "operator", "another"]),
        reason=reasons,
    )
    def member_chooses(self, n: int, who: int, choice: str, by: str, reason: str = "") -> None:
        organization, account = self.at(n)
        member, person = self.person(n, who)
        if member is None or person is None:
            return
        if account.kind() == "personal" and by == "self":
            self.one_person_chooses(n, choice, reason, "data_controls")
            return
        user = self.users[who if by == "self" else (who + 1) % PEOPLE]
        actor = self.operator if by == "operator" else Actor.from_user(user, confirmed=True)

        def call() -> None:
            choices.choose(
                surface=LE_CHAT_MOBILE, organization=organization, member=member, choice=choice, actor=actor,
                source="data_controls" if by == "self" else "admin", reason=reason, version_required=False,
            )  # fmt: skip

        key = (str(member.pk), LE_CHAT)
        theirs = by == "self" and self.chosen_by_operator.get(key, False)
        said = person.choice()
        if by == "another" or (by == "operator" and choice == IN):  # R4
            self.refused(call, Forbidden)
        elif said == choice and not theirs:
            self.happens(call)
        elif choice == IN and not person.here():
            self.refused(call, Refused, "member_left")
        elif choice == IN and (obstacle := account.obstacle(LE_CHAT)):
            self.refused(call, Refused, obstacle)
        else:
            (event,) = self.happens(call, "choice.confirmed" if said == choice else f"choice.{choice}")
            self.chosen_by_operator[key] = by == "operator"
            if said != choice:
                person.facts.append(Fact(event.recorded_at, "choice", choice))

    @rule(n=which, who=people)
    def member_has_second_thoughts(self, n: int, who: int) -> None:
        self.member_chooses(n, who, OUT, "self")
        self.member_chooses(n, who, IN, "self")

    # --- Members -----------------------------------------------------------------------------------------------------

    @rule(n=which, who=people, role=st.sampled_from(["owner", "member", "auditor"]))
    def join(self, n: int, who: int, role: str) -> None:
        organization, account = self.at(n)
        _member, person = self.person(n, who)

        def call() -> None:
            members.add_member(
                organization=organization, email=self.users[who].email, role=role, actor=self.operator, source="admin"
            )

        if account.closed():
            self.refused(call, Refused, "organization_closed")
        elif account.kind() == "personal":
            self.refused(call, Refused, "personal")
        elif person and person.here():
            self.refused(call, Refused, "exists")
        else:
            (event,) = self.happens(call, "member.joined")
            self.told_joined(self.organizations.index(organization), who, event)

    def told_joined(self, index: int, who: int, event: ConsentEvent) -> None:
        member = Member.objects.get(pk=event.member_id)
        self.members[index, who] = member
        account = self.world.accounts[str(event.organization_id)]
        account.people.setdefault(str(member.pk), Person()).facts.append(Fact(event.recorded_at, "joined", event.after))
        self.gives_right(Turn(who, "role", str(event.organization_id), event.after))

    @rule(n=which, who=people)
    def leave(self, n: int, who: int) -> None:
        organization, _account = self.at(n)
        member, person = self.person(n, who)
        if member is None or person is None:
            return

        def call() -> None:
            members.remove_member(member=member, actor=self.operator, source="admin")

        if not person.here():
            self.happens(call)
        elif self.owners(n) == [who]:
            self.refused(call, Refused, "last_owner")
        else:
            event, *_ended = self.takes_right(Turn(who, "left", str(organization.pk)), call, "member.left")
            person.facts.append(Fact(event.recorded_at, "left"))

    # --- Asking ------------------------------------------------------------------------------------------------------

    def instant(self) -> dt.datetime | None:
        beside = self.random.choice([-MICROSECOND, 0 * MICROSECOND, 0 * MICROSECOND, MICROSECOND])
        recent = self.instants[-8:]
        return self.random.choice([None, *(i + beside for i in (*recent, self.random.choice(self.instants)))])

    def question(self) -> Asked:
        pick = self.random.choice
        account = pick(list(self.world.accounts))
        everybody = [name for each in self.world.accounts.values() for name in each.people]
        own = list(self.world.accounts[account].people)
        product = pick([LE_CHAT] * 5 + [AI_STUDIO] * 3 + ["le_chaton"] * (self.random.random() < 0.1))
        future = ledger.clock() + dt.timedelta(days=1)
        return Asked(
            organization=self.named(account, "") if self.random.random() < 0.97 else str(uuid.UUID(int=1)),
            product=product,
            member=self.named(pick([None, *own * 3, *everybody, str(uuid.UUID(int=2))]), account),
            data_kind=pick([None, None, *sorted(DATA_KINDS.get(product, {"document"})), "output"]),
            collected_at=self.instant() if self.random.random() < 0.97 else future,
            at=pick([None, self.instant()]) if self.random.random() < 0.97 else future,
        )

    @invariant()
    def every_answer_is_the_models(self) -> None:
        if not self.world.accounts:
            return
        asked = [self.question() for _ in range(QUESTIONS)]
        questions = [decisions.Question(**vars(each)) for each in asked]
        answers = decisions.decide_many(questions, self.operator)
        for each, decision in zip(asked, answers.decisions, strict=True):
            told = self.world.answer(each, answers.decided_at)
            assert (decision.allowed, decision.reason) == told, each
        for each, question in list(zip(asked, questions, strict=True))[:3]:
            one = decisions.decide(question, self.operator)
            assert (one.decision.allowed, one.decision.reason) == self.world.answer(each, one.decided_at), each

    @invariant()
    def nothing_becomes_used_by_an_id(self) -> None:
        self.compare_probes()

    @invariant()
    def the_ledger_tells_the_same(self) -> None:
        if self.random.random() < 0.1:
            self.verify()

    @staticmethod
    def verify() -> None:
        ledger.sequence()
        assert verification.verify().problems == []
