"""Followers of the ledger: daily totals that match the settings, and e-mails to owners about every loosening."""

import datetime as dt
from collections import Counter
from typing import Any

import pytest
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from accounts.access import Actor
from accounts.models import Member, OutgoingMessage
from consent import ledger, worker
from consent.models import ConsentEvent, DailyChanges, DailyStanding, FollowerCursor, PrivacySetting
from consent.presentation import charts
from consent.projections import runner
from consent.services import choices, locks, members, organizations, plans
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE, ORGANIZATION_SURFACES
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.factories import MemberFactory, UserFactory
from tests.support.jobs import Team
from tests.support.ledger_guards import everything

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def catch_up() -> None:
    ledger.sequence()
    for name in runner.FOLLOWERS:
        runner.catch_up(name)


# --- Sums per day ---------------------------------------------------------------------------------------------------


def levels() -> Counter[tuple[Any, ...]]:
    rows = DailyStanding.objects.values_list("surface", "plan", "reason_code", "allowed").annotate(n=Sum("change"))
    return Counter({row[:4]: row[4] for row in rows.order_by() if row[4]})


def counted() -> Counter[tuple[Any, ...]]:
    """The same by counting what is there now."""
    surface_of = {surface.product.value: surface.key for surface in ORGANIZATION_SURFACES}
    found: Counter[tuple[Any, ...]] = Counter()
    for setting in PrivacySetting.objects.of_organizations():
        found[surface_of[setting.product], setting.plan, setting.reason_code, setting.allowed] += 1
    chose = set()
    for setting in PrivacySetting.objects.of_members():
        found[LE_CHAT_MOBILE.key, "", setting.reason_code, setting.allowed] += 1
        chose.add(setting.member_id)
    undecided = Member.objects.exclude(pk__in=chose).count()
    found[LE_CHAT_MOBILE.key, "", "default", True] += undecided
    return Counter({key: count for key, count in found.items() if count})


@pytest.mark.usefixtures("demo")
def test_sums__after_the_demo__are_what_is_there() -> None:
    assert levels() == counted()
    chosen = ConsentEvent.objects.filter(kind__startswith="choice.").count()
    assert DailyChanges.objects.aggregate(n=Sum("choices"))["n"] == chosen
    assert runner.lag("rollup") == 0


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_sums__any_batch__the_same(monkeypatch: Any, batch: int, cast: Cast) -> None:
    monkeypatch.setattr(runner, "BATCH", batch)
    member = cast.labs_member
    for choice in ("opted_out", "opted_in", "opted_out"):
        actor = Actor.from_user(cast.member, confirmed=True)
        choices.choose(
            surface=LE_CHAT_MOBILE, organization=cast.labs, member=member, choice=choice, actor=actor, source="ios",
            version_required=False,
        )  # fmt: skip
    members.remove_member(member=member, actor=cast.provider, source="admin")
    MemberFactory(organization=cast.labs, user=cast.member, actor=cast.provider)
    plans.subscribe(
        organization=cast.labs, plan=plans.get_plan("le_chat_teams"), actor=cast.provider, source="admin", reason="x"
    )
    organizations.close_organization(organization=cast.brage, actor=cast.provider, source="admin", reason="x")
    catch_up()
    assert levels() == counted()


def test_sums__right_after_a_bulk_change__brought_by_the_worker() -> None:
    team = Team()
    team.organizations(12)
    team.organizations(5, "le_chat_teams")
    done = team.done(team.previewed("opted_out"))
    team.done(team.previewed_default("le_chat_free", "opted_out"))
    team.done(team.previewed_undo(done))
    while worker.work_once():
        pass
    assert levels() == counted()


def test_followers__dying_between__no_event_twice(cast: Cast, monkeypatch: Any) -> None:
    ledger.sequence()

    def dies(_events: Any) -> None:
        runner.add_up(_events)
        raise RuntimeError("killed")

    monkeypatch.setitem(runner.FOLLOWERS, "rollup", dies)
    with pytest.raises(RuntimeError):
        runner.follow("rollup", ledger.head())
    assert not DailyStanding.objects.exists()
    monkeypatch.undo()
    catch_up()
    assert levels() == counted()
    catch_up()
    assert levels() == counted()


# --- E-mail to owners -----------------------------------------------------------------------------------------------


def sent() -> list[tuple[str, str]]:
    catch_up()
    told = OutgoingMessage.objects.filter(subject__contains="is used for training from now on")
    return list(told.order_by("pk").values_list("recipient", "subject"))


def choose(cast: Cast, choice: str, surface: Any = AI_STUDIO_CONSOLE) -> None:
    choices.choose(
        surface=surface, organization=cast.labs, choice=choice, actor=cast.provider, source="admin",
        reason="By letter.", version_required=False,
    )  # fmt: skip


def test_notice__opted_in__every_owner_is_told_once(cast: Cast) -> None:
    assert sent() == []  # first subscriptions are no change
    second = UserFactory(email="olga@kvasir.example", name="Olga")
    MemberFactory(organization=cast.labs, user=second, role="owner", actor=cast.provider)
    choose(cast, "opted_in")
    told = [(cast.owner.email, "Kvasir Labs: data is used for training from now on")]
    assert sent() == [*told, (second.email, told[0][1])]
    body = OutgoingMessage.objects.filter(subject=told[0][1]).latest("pk").body
    assert "AI Studio and API" in body and "By letter." in body and "Odin" not in body
    assert len(sent()) == 2


def test_notice__tightening_and_repeating__nobody(cast: Cast) -> None:
    choose(cast, "opted_out")
    choose(cast, "opted_out", LE_CHAT_CONSOLE)
    assert sent() == []


@pytest.mark.parametrize("what", ["lock lifted", "reopened", "subscribed again"])
def test_notice__every_way_back_to_used__told(cast: Cast, what: str) -> None:
    how: dict[str, Any] = {"organization": cast.labs, "actor": cast.provider, "source": "admin"}
    match what:
        case "lock lifted":
            locks.place_lock(product="le_chat", reason="x", reference="y", **how)
            assert sent() == []
            locks.lift_lock(product="le_chat", reason="x", **how)
        case "reopened":
            organizations.close_organization(reason="x", **how)
            assert sent() == []
            cast.labs.refresh_from_db()
            organizations.reopen_organization(reason="x", **how)
        case "subscribed again":
            plans.end_subscription(product="le_chat", reason="x", **how)
            assert sent() == []
            plans.subscribe(plan=plans.get_plan("le_chat_pro"), reason="x", **how)
    assert [recipient for recipient, _subject in sent()] == [cast.owner.email]


def test_notice__rolled_back__not_sent(cast: Cast) -> None:
    from django.db import transaction

    with transaction.atomic():
        choose(cast, "opted_in")
        transaction.set_rollback(True)
    assert sent() == []


def test_notice__members_own_choice__no_owner_is_told(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.member)
    for choice in ("opted_out", "opted_in"):
        client.post(
            f"/settings/data-controls/{cast.labs_member.pk}/", {"choice": choice, "confirmed": "yes", "version": "1"}
        )
    assert ConsentEvent.objects.filter(kind="choice.opted_in", member=cast.labs_member).exists()
    assert sent() == []


# --- Pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("demo")
def test_pictures__of_the_demo__say_what_the_settings_say() -> None:
    today = timezone.now().date()
    shares = charts.shares(today)
    assert len(shares.lines) == 8 and len(shares.months) >= 24
    for line in shares.lines[:-1]:
        plan = next(plan for plan in plans.Plan.objects.all() if plan.name == line.title)
        rows = PrivacySetting.objects.of_organizations().filter(plan=plan.pk)
        assert line.total == rows.count()
        assert line.now == pytest.approx(100 * rows.filter(allowed=False).count() / rows.count())
        assert line.path.startswith("M") and line.months[-1] == line.now
    experiment = next(line for line in shares.lines if "Experiment" in line.title)
    assert [mark.words for mark in experiment.marks] == ["opted out by default", "opted in by default"]
    for bar in charts.standings():
        assert sum(segment.count for segment in bar.segments) == bar.total
        assert sum(segment.size for segment in bar.segments) == pytest.approx(100)


def test_pictures__nothing_there__no_lines_and_no_error() -> None:
    shares = charts.shares(dt.date(2026, 1, 31))
    assert {line.now for line in shares.lines} == {None} and {line.path for line in shares.lines} == {""}
    changes = charts.changes(dt.date(2026, 1, 31))
    assert len(changes.bars) == 30 and changes.sources == [] and changes.levels == (2, 1, 0)
    assert shares.most is None and shares.days[0] == shares.since


def test_dashboard__numbers_of_queries__fixed(cast: Cast, django_assert_max_num_queries: Any) -> None:
    client = Client()
    client.force_login(cast.operator)
    catch_up()
    with django_assert_max_num_queries(32):
        page = client.get("/admin/")
    assert page.status_code == 200 and "Opted out, by plan" in page.content.decode()
    before = everything()
    client.get("/admin/")
    assert everything() == before


def test_dashboard__said_how_far_it_is__and_when_the_ledger_was_verified(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.operator)
    ledger.sequence()
    assert "never" in client.get("/admin/").content.decode()
    run("verify_ledger")
    catch_up()
    page = client.get("/admin/").content.decode()
    assert "no problems" in page and FollowerCursor.objects.get(name="rollup").position == ledger.head()
