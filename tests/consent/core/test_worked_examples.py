"""The fourteen worked examples of the rules, by number, through the services and decisions.

A day is the instant of its event, so days pass as fast as the services are called. "Collected Tue" means collected at
the exact instant from which Tuesday's change counts.
"""

import datetime as dt

import pytest

from accounts.access import Actor
from accounts.models import Member, Plan
from consent import ledger
from consent.decisions import decide, decide_many
from consent.lookups import Question
from consent.models import PrivacySetting
from consent.services.choices import choose
from consent.services.locks import lift_lock, place_lock
from consent.services.members import add_member
from consent.services.organizations import OrganizationDraft, create_organization
from consent.services.plans import end_subscription, subscribe
from consent.surfaces import LE_CHAT_MOBILE, organization_surface
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db

MICROSECOND = dt.timedelta(microseconds=1)
LE_CHAT, AI_STUDIO = "le_chat", "ai_studio"
Verdict = tuple[bool, str]


class Story:
    """One organization with two members and what happens to it; each step returns its event's instant."""

    def __init__(self, *plans: str, name: str = "Acme") -> None:
        self.operator = Actor.from_user(
            UserFactory(email=f"operator@{name}.example".lower(), superuser=True), confirmed=True
        )
        draft = OrganizationDraft(name=name)
        self.organization = create_organization(draft=draft, actor=self.operator, source="admin")
        self.owner = self.joins(f"owner@{name}.example".lower(), "owner")
        self.admin = Actor.from_user(self.owner.user, confirmed=True)
        self.a = self.joins(f"a@{name}.example".lower())
        self.b = self.joins(f"b@{name}.example".lower())
        self.monday = [self.moves(plan) for plan in plans]

    def joins(self, email: str, role: str = "member") -> Member:
        return add_member(organization=self.organization, email=email, role=role, actor=self.operator, source="admin")

    def moves(self, plan: str) -> dt.datetime:
        return self.instant(
            subscribe(
                organization=self.organization, plan=Plan.objects.get(key=plan), actor=self.operator, source="admin"
            )
        )

    def ends(self, product: str) -> dt.datetime:
        return self.instant(
            end_subscription(organization=self.organization, product=product, actor=self.operator, source="admin")
        )

    def opts(self, choice: str, product: str = LE_CHAT, reason: str = "") -> dt.datetime:
        surface = organization_surface(product)
        return self.instant(
            choose(
                surface=surface,
                organization=self.organization,
                choice=choice,
                actor=self.admin,
                source="console",
                reason=reason,
                version_required=False,
            )
        )

    def member_opts(self, member: Member, choice: str) -> dt.datetime:
        return self.instant(
            choose(
                surface=LE_CHAT_MOBILE,
                organization=self.organization,
                member=member,
                choice=choice,
                actor=Actor.from_user(member.user, confirmed=True),
                source="data_controls",
                version_required=False,
            )
        )

    def locks(self) -> dt.datetime:
        return self.instant(
            place_lock(
                organization=self.organization,
                product=LE_CHAT,
                reason="Contract",
                reference="C-1",
                actor=self.operator,
                source="admin",
            )
        )

    def lifts(self) -> dt.datetime:
        return self.instant(
            lift_lock(
                organization=self.organization, product=LE_CHAT, reason="Over", actor=self.operator, source="admin"
            )
        )

    @staticmethod
    def instant(setting: PrivacySetting) -> dt.datetime:
        assert setting.changed_at is not None
        return setting.changed_at

    def asks(
        self,
        product: str = LE_CHAT,
        *,
        collected: dt.datetime | None = None,
        at: dt.datetime | None = None,
        member: Member | None = None,
    ) -> Verdict:
        """The answer, which is the same alone and among others."""
        question = Question(
            organization=str(self.organization.pk),
            product=product,
            member=str((member or self.a).pk),
            collected_at=collected,
            at=at,
        )
        decision = decide(question, self.operator).decision
        assert decide_many([question], self.operator).decisions[0].reason == decision.reason
        assert decide_many([question], self.operator).decisions[0].allowed is decision.allowed
        return decision.allowed, str(decision.reason)


def test_example_1__free__is_allowed_by_the_plans_default() -> None:
    assert Story("le_chat_free").asks() == (True, "plan_default")


def test_example_2__teams__is_denied_by_the_plans_default() -> None:
    assert Story("le_chat_teams").asks() == (False, "plan_default")


def test_example_3__out_and_in_again__only_what_was_collected_since_is_allowed() -> None:
    story = Story("le_chat_free")
    (monday,) = story.monday
    tuesday = story.opts("opted_out")
    wednesday = story.opts("opted_in")
    assert story.asks(collected=monday) == (False, "collected_before_allowed")
    assert story.asks(collected=tuesday) == (False, "collected_before_allowed")
    assert story.asks(collected=wednesday - MICROSECOND) == (False, "collected_before_allowed")
    assert story.asks(collected=wednesday) == (True, "organization_opted_in")


def test_example_4__opted_out__retires_what_was_collected_before() -> None:
    story = Story("le_chat_free")
    (monday,) = story.monday
    tuesday = story.opts("opted_out")
    assert story.asks(collected=monday) == (False, "organization_opted_out")
    assert story.asks(collected=monday, at=tuesday) == (False, "organization_opted_out")
    assert story.asks(collected=monday, at=tuesday - MICROSECOND) == (True, "plan_default")


def test_example_5__member_unchecks_sharing__takes_out_that_member_alone() -> None:
    story = Story("le_chat_pro")
    story.member_opts(story.a, "opted_out")
    assert story.asks(member=story.a) == (False, "member_opted_out")
    assert story.asks(member=story.b) == (True, "plan_default")


def test_example_6__opted_in_on_free_moves_to_teams__opt_in_is_dropped() -> None:
    story = Story("le_chat_free")
    story.opts("opted_in")
    story.moves("le_chat_teams")
    assert story.asks() == (False, "plan_default")


def test_example_7__teams_moves_to_pro__stays_out() -> None:
    story = Story("le_chat_teams")
    story.moves("le_chat_pro")
    assert story.asks() == (False, "carried_over")


def test_example_8__enterprise_opts_in__does_not_reach_back() -> None:
    story = Story("le_chat_enterprise")
    opted_in = story.opts("opted_in", reason="The board decided so.")
    assert story.asks(collected=opted_in - MICROSECOND) == (False, "collected_before_allowed")
    assert story.asks(collected=opted_in) == (True, "organization_opted_in")


def test_example_9__opted_out_under_a_lock__stays_out_when_it_is_lifted() -> None:
    story = Story("le_chat_enterprise")
    story.opts("opted_in", reason="The board decided so.")
    story.locks()
    assert story.asks() == (False, "locked")
    story.opts("opted_out")
    assert story.asks() == (False, "locked")
    story.lifts()
    assert story.asks() == (False, "organization_opted_out")


def test_example_10__api_opted_out__le_chat_is_untouched() -> None:
    story = Story("ai_studio_experiment", "le_chat_pro")
    story.opts("opted_out", AI_STUDIO)
    assert story.asks(LE_CHAT) == (True, "plan_default")
    assert story.asks(AI_STUDIO) == (False, "organization_opted_out")


def test_example_11__no_ai_studio_subscription__is_denied() -> None:
    assert Story("le_chat_free").asks(AI_STUDIO) == (False, "no_subscription")


def test_example_12__unknown_and_foreign_organization__are_denied_alike() -> None:
    story, foreign = Story("le_chat_free"), Story("le_chat_free", name="Globex")
    absent = "00000000-0000-7000-8000-000000000000"
    for organization in (absent, str(foreign.organization.pk), "external:nobody", "acme"):
        question = Question(organization=organization, product=LE_CHAT, member=str(foreign.a.pk))
        answer = decide(question, story.admin)
        assert (answer.decision.allowed, answer.decision.reason) == (False, "unknown_organization")
        assert answer.decision.layers == ()
        assert answer.detail == decide(Question(absent, LE_CHAT), story.admin).detail


def test_example_13__free_to_pro__is_no_break() -> None:
    story = Story("le_chat_free")
    (monday,) = story.monday
    story.moves("le_chat_pro")
    assert story.asks(collected=monday) == (True, "plan_default")
    assert story.asks(collected=monday - MICROSECOND) == (False, "collected_before_allowed")


def test_example_14__teams_ended_then_pro__stays_out_over_the_gap() -> None:
    story = Story("le_chat_teams")
    tuesday = story.ends(LE_CHAT)
    wednesday = story.moves("le_chat_pro")
    assert story.asks(at=tuesday) == (False, "no_subscription")
    assert story.asks(collected=wednesday) == (False, "carried_over")


def test_examples__later_events__leave_answers_about_the_past_as_they_were() -> None:
    story = Story("le_chat_free")
    (monday,) = story.monday
    story.member_opts(story.a, "opted_out")
    story.opts("opted_out")
    story.ends(LE_CHAT)
    assert story.asks(at=monday) == (True, "plan_default")
    assert story.asks(at=monday - MICROSECOND) == (False, "no_subscription")
    assert story.asks(at=ledger.clock() + dt.timedelta(days=1)) == (False, "not_yet_known")
