"""Two concurrent changes of one subject: the second one sees what the first one did, in either order.

Each race also runs without its lock, by the same steps, and must then go wrong: this shows that the lock is needed, and
that the test would notice. SQLite has one writer at a time (BEGIN IMMEDIATE), so there is no lock to remove.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection

from accounts.access import Actor
from accounts.models import Member, Organization, Subscription
from consent import verification
from consent.errors import Refused
from consent.models import ConsentEvent, Lock, PrivacySetting
from consent.services import choices, layers, locks, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member
from tests.support.concurrency import race, together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]
POSTGRESQL = connection.vendor == "postgresql"
twin = pytest.mark.only_on("postgresql", reason="SQLite has no lock that could be left out")


def choose(cast: Cast, choice: str, by: str = "admin") -> Callable[[], PrivacySetting]:
    person = getattr(cast, by)
    return lambda: choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=cast.labs,
        choice=choice,
        actor=Actor.from_user(person, confirmed=True),
        source="admin" if person.is_staff else "console",
        version_required=False,
    )


def move(cast: Cast, plan: str) -> Callable[[], PrivacySetting]:
    return lambda: plans.subscribe(
        organization=cast.labs, plan=plans.get_plan(plan), actor=cast.provider, source="admin"
    )


def close(cast: Cast) -> Callable[[], Organization]:
    return lambda: organizations.close_organization(
        organization=cast.labs, actor=cast.provider, source="admin", reason="Contract over"
    )


def leave(cast: Cast, member: Member) -> Callable[[], Member]:
    return lambda: members.remove_member(member=member, actor=cast.provider, source="admin")


def setting(cast: Cast) -> PrivacySetting:
    return PrivacySetting.objects.select_related("choice_event").get(
        organization=cast.labs, member=None, product="le_chat"
    )


def kinds(cast: Cast) -> list[str]:
    """What happened to the organization's Le Chat after it was made and subscribed."""
    events = ConsentEvent.objects.filter(organization=cast.labs, member=None, product="le_chat")
    return list(events.order_by("pk").values_list("kind", flat=True))[1:]


def assert_whole() -> None:
    assert verification.verify().problems == []


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same reads without their locks, as somebody would write them who has not thought of it."""

    def setting_of(organization: Organization, product: str) -> PrivacySetting:
        return PrivacySetting.objects.of_organizations().get(organization=organization, product=product)

    def all_settings(organization: Organization) -> list[PrivacySetting]:
        return list(PrivacySetting.objects.of_organizations().filter(organization=organization).order_by("pk"))

    def reads_again(subject: Any) -> Any:
        return type(subject).objects.get(pk=subject.pk)

    monkeypatch.setattr(layers, "lock_setting", setting_of)
    monkeypatch.setattr(layers, "lock_all_settings", all_settings)
    monkeypatch.setattr(layers, "lock_organization", reads_again)
    monkeypatch.setattr(layers, "lock_member", reads_again)


# --- Opting out against opting in --------------------------------------------------------------------------------


def test_opt_out_and_opt_in__at_the_same_time__second_follows_the_first(cast: Cast) -> None:
    before = setting(cast)
    assert race(choose(cast, "opted_out"), choose(cast, "opted_in", by="owner"))
    after = setting(cast)
    assert kinds(cast) == ["choice.opted_out", "choice.opted_in"]
    assert after.allowed
    # The break is there: nothing collected before the opt-out comes back (R6).
    assert after.since == after.changed_at > before.since
    assert_whole()


@twin
def test_opt_out_and_opt_in__without_the_lock__loses_the_break(cast: Cast, unlocked: None) -> None:
    before = setting(cast)
    race(choose(cast, "opted_out"), choose(cast, "opted_in", by="owner"))
    assert setting(cast).since == before.since
    assert any("does not follow" in problem for problem in verification.verify().problems)


def test_opt_in_and_opt_out__at_the_same_time__stays_out(cast: Cast) -> None:
    assert race(choose(cast, "opted_in"), choose(cast, "opted_out", by="owner"))
    assert not setting(cast).allowed
    assert setting(cast).version == 3
    assert_whole()


# --- A plan change against a choice ------------------------------------------------------------------------------


def test_plan_change__during_an_opt_out__keeps_it(cast: Cast) -> None:
    assert race(choose(cast, "opted_out"), move(cast, "le_chat_student"))
    after = setting(cast)
    assert (after.choice, after.allowed, after.plan) == ("opted_out", False, "le_chat_student")
    assert_whole()


@twin
def test_plan_change__during_an_opt_out_without_the_lock__loses_the_opt_out(cast: Cast, unlocked: None) -> None:
    race(choose(cast, "opted_out"), move(cast, "le_chat_student"))
    after = setting(cast)
    assert (after.choice, after.allowed) == ("default", True), "the opt-out is gone: what the lock is for"
    assert verification.verify().problems


def test_opt_in__during_a_move_to_a_plan_that_is_out__needs_a_reason(cast: Cast) -> None:
    with pytest.raises(layers.Invalid, match="needs a reason"):
        race(move(cast, "le_chat_teams"), choose(cast, "opted_in"))
    assert (setting(cast).choice, setting(cast).allowed) == ("default", False)
    assert_whole()


@twin
def test_opt_in__during_a_move_without_the_lock__loses_the_plan(cast: Cast, unlocked: None) -> None:
    race(move(cast, "le_chat_teams"), choose(cast, "opted_in"))
    assert setting(cast).allowed
    assert verification.verify().problems


# --- Double click ------------------------------------------------------------------------------------------------


def test_double_click__same_choice_twice__one_event(cast: Cast) -> None:
    assert race(choose(cast, "opted_out"), choose(cast, "opted_out"))
    assert kinds(cast) == ["choice.opted_out"]
    assert setting(cast).version == 2
    assert_whole()


@twin
def test_double_click__without_the_lock__two_events(cast: Cast, unlocked: None) -> None:
    race(choose(cast, "opted_out"), choose(cast, "opted_out"))
    assert kinds(cast) == ["choice.opted_out", "choice.opted_out"]


def test_double_click__eight_times_at_once__one_event(cast: Cast) -> None:
    together(*[choose(cast, "opted_out")] * 8)
    assert kinds(cast) == ["choice.opted_out"]
    assert_whole()


def test_double_click__of_a_member_without_a_setting_yet__one_event(cast: Cast) -> None:
    assert race(*[lambda: opt_out_as_member(cast)] * 2)
    assert ConsentEvent.objects.filter(member=cast.labs_member, product="le_chat").count() == 1
    assert_whole()


def test_keep_it_off__during_the_operators_opt_out__becomes_the_organizations_own(cast: Cast) -> None:
    assert race(choose(cast, "opted_out", by="operator"), choose(cast, "opted_out", by="admin"))
    assert kinds(cast) == ["choice.opted_out", "choice.confirmed"]
    assert not setting(cast).choice_event.by_operator
    assert_whole()


# --- Closing -----------------------------------------------------------------------------------------------------


def test_opt_in__during_the_closing__refused(cast: Cast) -> None:
    with pytest.raises(Refused) as refusal:
        race(close(cast), choose(cast, "opted_in"))
    assert refusal.value.code == "organization_closed"
    assert not setting(cast).allowed
    assert_whole()


@twin
def test_opt_in__during_the_closing_without_the_lock__opens_a_closed_account(cast: Cast, unlocked: None) -> None:
    race(close(cast), choose(cast, "opted_in"))
    assert setting(cast).allowed
    assert verification.verify().problems


def test_opt_out__during_the_closing__kept(cast: Cast) -> None:
    assert race(close(cast), choose(cast, "opted_out"))
    assert (setting(cast).choice, setting(cast).closed) == ("opted_out", True)
    assert_whole()


@pytest.mark.parametrize("change", ["choose", "move", "lock", "subscribe"])
def test_closing__while_something_else_is_written__waits_and_closes_all(cast: Cast, change: str) -> None:
    first = {
        "choose": choose(cast, "opted_in"),
        "move": move(cast, "le_chat_free"),
        "lock": lambda: locks.place_lock(
            organization=cast.labs, product="le_chat", reason="r", reference="x", actor=cast.provider, source="admin"
        ),
        "subscribe": move(cast, "ai_studio_experiment"),
    }[change]
    assert race(first, close(cast))
    assert set(PrivacySetting.objects.filter(organization=cast.labs).values_list("closed", "allowed")) == {
        (True, False)
    }
    assert_whole()


def test_first_setting_of_a_product__made_during_the_closing__is_closed(cast: Cast) -> None:
    """Brage has no AI Studio setting: the choice makes one while the closing, too, does."""
    setting_of_brage = PrivacySetting.objects.filter(organization=cast.brage, product="ai_studio")
    assert not setting_of_brage.exists()

    def opt_out() -> PrivacySetting:
        return choices.choose(
            surface=AI_STUDIO_CONSOLE, organization=cast.brage, choice="opted_out", actor=cast.provider, source="admin"
        )

    def shut() -> Organization:
        return organizations.close_organization(
            organization=cast.brage, actor=cast.provider, source="admin", reason="Over"
        )

    assert race(opt_out, shut)
    assert (setting_of_brage.get().choice, setting_of_brage.get().closed) == ("opted_out", True)
    assert_whole()


# --- Subscriptions and locks -------------------------------------------------------------------------------------


def test_two_subscriptions__at_the_same_time__one_live_and_both_told(cast: Cast) -> None:
    assert race(move(cast, "le_chat_teams"), move(cast, "le_chat_free"))
    live = Subscription.objects.get(organization=cast.labs, product="le_chat", ended_at=None)
    assert live.plan_id == "le_chat_free" == setting(cast).plan
    assert kinds(cast) == ["plan.changed", "plan.changed"]
    assert (setting(cast).allowed, setting(cast).carry) == (False, "le_chat_teams")
    assert_whole()


@twin
def test_two_subscriptions__without_the_lock__collide(cast: Cast, unlocked: None) -> None:
    with pytest.raises(IntegrityError, match="subscription_one_live_per_product"):
        race(move(cast, "le_chat_teams"), move(cast, "le_chat_free"))


def test_two_locks__at_the_same_time__second_refused(cast: Cast) -> None:
    def place(reference: str) -> Callable[[], PrivacySetting]:
        return lambda: locks.place_lock(
            organization=cast.labs,
            product="le_chat",
            reason="By contract",
            reference=reference,
            actor=cast.provider,
            source="admin",
        )

    with pytest.raises(Refused) as refusal:
        race(place("C-1"), place("C-2"))
    assert refusal.value.code == "locked"
    assert Lock.objects.get().reference == "C-1"
    assert_whole()


# --- Creating ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["create", "update"])
def test_external_id__given_twice_at_the_same_time__second_refused(cast: Cast, way: str) -> None:
    def create() -> Organization:
        draft = OrganizationDraft(name="New", external_id="acc-1")
        return organizations.create_organization(draft=draft, actor=cast.provider, source="api")

    def update() -> Organization:
        return organizations.update_organization(
            organization=cast.labs, external_id="acc-1", actor=cast.provider, source="api"
        )

    with pytest.raises(Refused) as refusal:
        race(create, create if way == "create" else update)
    assert (refusal.value.code, refusal.value.field) == ("exists", "external_id")
    assert Organization.objects.filter(external_id="acc-1").count() == 1
    assert_whole()


def test_new_person__joins_two_organizations_at_the_same_time__is_one_user(cast: Cast) -> None:
    def join(organization: Organization) -> Callable[[], Member]:
        return lambda: members.add_member(
            organization=organization, email="new@example.org", actor=cast.provider, source="admin"
        )

    assert race(join(cast.labs), join(cast.brage))
    assert Member.objects.filter(user__email="new@example.org").count() == 2
    assert_whole()


# --- Joining and leaving -----------------------------------------------------------------------------------------


def second_owner(cast: Cast) -> tuple[Member, Member]:
    first = Member.objects.get(organization=cast.labs, user=cast.owner)
    second = Member.objects.get(organization=cast.labs, user=cast.admin)
    return first, members.update_member(member=second, role="owner", actor=cast.provider, source="admin")


def test_two_last_owners__leave_at_the_same_time__one_stays(cast: Cast) -> None:
    first, second = second_owner(cast)
    with pytest.raises(Refused) as refusal:
        race(leave(cast, first), leave(cast, second))
    assert refusal.value.code == "last_owner"
    assert list(Member.objects.active().filter(role="owner", organization=cast.labs)) == [second]
    assert_whole()


@twin
def test_two_last_owners__leave_without_the_lock__nobody_stays(cast: Cast, unlocked: None) -> None:
    first, second = second_owner(cast)
    race(leave(cast, first), leave(cast, second))
    assert not Member.objects.active().filter(role="owner", organization=cast.labs).exists()


def test_joining_again__during_the_leaving__ends_inside_with_both_told(cast: Cast) -> None:
    def come_back() -> Member:
        return members.add_member(organization=cast.labs, email=cast.member.email, actor=cast.provider, source="admin")

    assert race(leave(cast, cast.labs_member), come_back)
    told = ConsentEvent.objects.filter(member=cast.labs_member).order_by("pk").values_list("kind", flat=True)
    assert list(told) == ["member.joined", "member.left", "member.joined"]
    assert not Member.objects.get(pk=cast.labs_member.pk).has_left
    assert_whole()


def test_leaving_twice__at_the_same_time__one_event(cast: Cast) -> None:
    assert race(leave(cast, cast.labs_member), leave(cast, cast.labs_member))
    assert ConsentEvent.objects.filter(member=cast.labs_member, kind="member.left").count() == 1
    assert_whole()


def test_leaving__during_the_members_first_choice__waits_and_keeps_it(cast: Cast) -> None:
    assert race(lambda: opt_out_as_member(cast), leave(cast, cast.labs_member))
    own = PrivacySetting.objects.get(member=cast.labs_member)
    left = Member.objects.get(pk=cast.labs_member.pk)
    assert (own.choice, left.has_left) == ("opted_out", True)
    assert left.left_at > own.changed_at
    assert_whole()


# --- Anything against anything -----------------------------------------------------------------------------------


def test_eight_at_once__anything_on_one_organization__ledger_and_state_agree(cast: Cast) -> None:
    moves = [
        choose(cast, "opted_out"),
        choose(cast, "opted_in", by="owner"),
        move(cast, "le_chat_free"),
        move(cast, "le_chat_student"),
        close(cast),
        lambda: organizations.reopen_organization(
            organization=cast.labs, actor=cast.provider, source="admin", reason="Back"
        ),
        lambda: plans.end_subscription(organization=cast.labs, product="le_chat", actor=cast.provider, source="admin"),
        lambda: locks.place_lock(
            organization=cast.labs, product="le_chat", reason="r", reference="x", actor=cast.provider, source="admin"
        ),
        lambda: locks.lift_lock(
            organization=cast.labs, product="le_chat", reason="r", actor=cast.provider, source="admin"
        ),
    ]

    def busy(seed: int) -> Callable[[], int]:
        def run() -> int:
            chance, written = random.Random(seed), 0  # noqa: S311
            for _ in range(15):
                try:
                    chance.choice(moves)()
                    written += 1
                except (Refused, layers.Invalid):
                    pass
            return written

        return run

    assert sum(together(*[busy(seed) for seed in range(8)])) > 0
    assert_whole()
    instants = list(
        ConsentEvent.objects.filter(organization=cast.labs, member=None, product="le_chat")
        .order_by("pk")
        .values_list("recorded_at", flat=True)
    )
    assert instants == sorted(set(instants))
