"""Random histories through the services: everything that moves a layer or a membership, refusals passed over."""

import dataclasses
import datetime as dt
import random
from collections.abc import Callable
from typing import Any

from django.db import transaction

from accounts.access import Actor, Forbidden
from accounts.models import Member, MemberRole, Organization, Plan, User
from consent import ledger, rules
from consent.errors import ServiceError
from consent.models import ConsentEvent, PrivacySetting, Source
from consent.services import choices, layers, locks, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_MOBILE, organization_surface
from tests.support.factories import UserFactory

PLANS = (
    "le_chat_free", "le_chat_free", "le_chat_pro", "le_chat_teams", "ai_studio_experiment", "ai_studio_experiment",
    "ai_studio_scale",
)  # fmt: skip
PRODUCTS = ("le_chat", "le_chat", "ai_studio")
MICROSECOND = dt.timedelta(microseconds=1)


@dataclasses.dataclass
class History:
    """Organizations, one in three personal, and the people of a small town; the same seed gives the same steps."""

    seed: int
    number: int = 6
    people: int = 5

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311
        self.operator = Actor.from_user(UserFactory(operator=True), confirmed=True)
        self.act: dict[str, Any] = {"actor": self.operator, "source": Source.ADMIN}
        self.users: list[User] = UserFactory.create_batch(self.people)
        self.organizations = [self._created(n) for n in range(self.number)]
        for organization in self.organizations:
            if organization.kind == Organization.Kind.TEAM:
                for user in self.random.sample(self.users, 3):
                    self._joins(organization, user)
        self.born = len(self.instants())

    def steps(self, number: int) -> None:
        """Take so many steps. Most loosen what they can again, or histories would end with everything denied."""
        for _step in range(number):
            act = self.random.choice(self._acts())
            try:
                with transaction.atomic():
                    act(self.random.choice(self.organizations))
            except (ServiceError, Forbidden):
                pass  # the rules refuse it, as things stand

    def cut(self) -> int:
        """Give every event its position; returns the last one."""
        ledger.sequence()
        return ledger.head()

    def instants(self, **of: Any) -> list[dt.datetime]:
        """The instants of events so far, and a microsecond beside each: so every boundary is met."""
        found = list(ConsentEvent.objects.filter(**of).order_by("pk").values_list("recorded_at", flat=True))
        return [each + beside for each in found for beside in (-MICROSECOND, MICROSECOND * 0, MICROSECOND)]

    def _created(self, n: int) -> Organization:
        personal = n % 3 == 0
        draft = OrganizationDraft(
            name=f"Institute {self.seed}-{n}",
            kind="personal" if personal else "team",
            owner=(f"owner{self.seed}-{n}@people.example", "") if personal else None,
            subscriptions=[plans.get_plan(key) for key in ("le_chat_free", "ai_studio_experiment")],
        )
        return organizations.create_organization(draft=draft, **self.act)

    def _acts(self) -> tuple[Callable[[Organization], Any], ...]:
        return (
            *[self._opts_in] * 4, *[self._opts_out] * 2, *[self._member_in] * 4, *[self._member_out] * 2,
            self._subscribes, self._subscribes, self._ends, self._locks, self._lifts, self._lifts, self._closes,
            *[self._reopens] * 3, self._leaves, *[self._comes] * 2, self._changes_kind, self._attests,
            self._attests_membership,
        )  # fmt: skip

    def _opts_in(self, organization: Organization) -> None:
        self._chooses(organization, "opted_in")

    def _opts_out(self, organization: Organization) -> None:
        self._chooses(organization, "opted_out")

    def _chooses(self, organization: Organization, choice: str) -> None:
        surface = organization_surface(self.random.choice(PRODUCTS))
        choices.choose(
            surface=surface, organization=organization, choice=choice, reason="as agreed", version_required=False,
            **self.act,
        )  # fmt: skip

    def _member_in(self, organization: Organization) -> None:
        self._member_chooses(organization, "opted_in")

    def _member_out(self, organization: Organization) -> None:
        self._member_chooses(organization, "opted_out")

    def _member_chooses(self, organization: Organization, choice: str) -> None:
        member = self._member_of(organization)
        choices.choose(
            surface=LE_CHAT_MOBILE, organization=organization, member=member, choice=choice, reason="as agreed",
            actor=Actor.from_user(member.user, confirmed=True), source=Source.DATA_CONTROLS, version_required=False,
        )  # fmt: skip

    def _member_of(self, organization: Organization) -> Member:
        there = list(Member.objects.filter(organization=organization).select_related("user").order_by("pk"))
        if not there:
            raise Forbidden("nobody is there")
        return self.random.choice(there)

    def _subscribes(self, organization: Organization) -> None:
        plan = Plan.objects.get(key=self.random.choice(PLANS))
        plans.subscribe(organization=organization, plan=plan, **self.act)

    def _ends(self, organization: Organization) -> None:
        plans.end_subscription(organization=organization, product=self.random.choice(PRODUCTS), **self.act)

    def _locks(self, organization: Organization) -> None:
        product = self.random.choice(PRODUCTS)
        locks.place_lock(organization=organization, product=product, reason="contract", reference="A-1", **self.act)

    def _lifts(self, organization: Organization) -> None:
        for product in PRODUCTS[1:]:
            locks.lift_lock(organization=organization, product=product, reason="over", **self.act)

    def _closes(self, organization: Organization) -> None:
        organizations.close_organization(organization=organization, reason="asked for", **self.act)

    def _reopens(self, organization: Organization) -> None:
        organizations.reopen_organization(organization=organization, reason="asked for", **self.act)

    def _leaves(self, organization: Organization) -> None:
        members.remove_member(member=self._member_of(organization), **self.act)

    def _comes(self, organization: Organization) -> None:
        """Somebody joins, or joins again."""
        self._joins(organization, self.random.choice(self.users))

    def _joins(self, organization: Organization, user: User) -> None:
        members.add_member(organization=organization, email=user.email, role=MemberRole.OWNER, **self.act)

    def _changes_kind(self, organization: Organization) -> None:
        now = Organization.objects.get(pk=organization.pk).kind
        other = "personal" if now == "team" else "team"
        organizations.update_organization(organization=organization, kind=other, **self.act)

    def _attests(self, organization: Organization) -> None:
        """An earlier start of what is allowed, where the ledger says that nothing contradicts it."""
        product = self.random.choice(PRODUCTS)
        setting = PrivacySetting.objects.get(organization=organization, product=product, member=None)
        since = self.random.choice(self.instants())
        denied = ledger.denied_spans([(organization.pk, product)], ledger.clock())[organization.pk, product]
        if rules.may_attest(setting.state, since, denied):
            origin = ledger.Origin(actor=self.operator, source=Source.IMPORT, reference="A-1")
            layers.attest_many([layers.Attested(setting, since, denied)], origin, ledger.clock(setting.changed_at))

    def _attests_membership(self, organization: Organization) -> None:
        """A new person, with an attested earlier start."""
        origin = ledger.Origin(actor=self.operator, source=Source.IMPORT)
        since = self.random.choice(self.instants())
        held = layers.lock_organization(organization)
        members.refuse_joining(held)
        newcomer = members.Newcomer(held, UserFactory(), MemberRole.MEMBER, since=since)
        members.join_many([newcomer], origin, reference="A-1")
