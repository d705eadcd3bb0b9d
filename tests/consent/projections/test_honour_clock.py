"""The honour clock: the way of what tightens, the time it took, and consumers that are overdue."""

import datetime as dt
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.access import Actor
from accounts.models import OutgoingMessage
from consent import honour_clock, ledger, retention, verification
from consent.models import AwaitedEvent, ConsentEvent, Consumer, DailyHonour, PositionAdvance, PrivacySetting
from consent.presentation import honour_chart
from consent.presentation.honoured import Way, in_one_line, steps_of, ways_of
from consent.projections import honour
from consent.services import choices, consumers, locks, plans, webhooks
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.consumers import registered, run_clock, say
from tests.support.ledger_guards import sql

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def clock() -> Any:
    """A clock that only the test moves; on PostgreSQL instants are the database's own."""
    with time_machine.travel(timezone.now(), tick=False) as travelled:
        yield travelled


def opt_out(cast: Cast, **more: Any) -> ConsentEvent:
    given = {"surface": LE_CHAT_CONSOLE, "organization": cast.labs, "choice": "opted_out", "source": "console"}
    choices.choose(**(given | {"actor": Actor.from_user(cast.owner, confirmed=True)} | more))
    ledger.sequence()
    return ConsentEvent.objects.latest("pk")


def opt_in(cast: Cast) -> None:
    version = PrivacySetting.objects.get(organization=cast.labs, product="le_chat", member=None).version
    opt_out(cast, choice="opted_in", expected_version=version)


def way_of(event: ConsentEvent, **how: Any) -> Way:
    return ways_of([event], **how)[event.pk]


def age_everything(by: dt.timedelta) -> None:
    """Move what waits into the past, on both databases alike."""
    sql("UPDATE consent_awaitedevent SET at = at - %s", [by // dt.timedelta(microseconds=1)])


# --- The way ----------------------------------------------------------------------------------------------------------


def test_way__with_each_consumer_that_speaks__goes_on(cast: Cast) -> None:
    one, two = registered(cast, "one"), registered(cast, "two")
    event = opt_out(cast)
    way = way_of(event)
    assert (way.total, way.delivered, way.honoured, way.position) == (2, 0, 0, event.placed.position)
    say(one)
    way = way_of(event)
    assert (way.delivered, way.honoured, way.is_honoured) == (1, 1, False)
    say(two)
    way = way_of(event)
    assert (way.delivered, way.honoured, way.is_honoured) == (2, 2, True)
    said = PositionAdvance.objects.order_by("-at")[0].at
    assert way.honoured_at == said
    assert in_one_line(way) == "Saved → delivered to 2 of 2 → applied by 2 of 2"
    assert [(step.title, step.state) for step in steps_of(way)] == [
        ("Saved", "done"), ("Delivered", "done"), ("Applied", "done"),
    ]  # fmt: skip


def test_way__of_several_datasets__the_slowest_counts(cast: Cast) -> None:
    made = registered(cast, datasets=["chat", "code"])
    event = opt_out(cast)
    say(made, dataset="chat")
    assert way_of(event).honoured == 0
    say(made, dataset="code")
    assert way_of(event).honoured == 1
    last = PositionAdvance.objects.order_by("-at")[0]
    assert way_of(event).honoured_at == last.at and last.dataset is not None


def test_way__what_came_later__does_not_move_its_instants(cast: Cast) -> None:
    made = registered(cast)
    event = opt_out(cast)
    say(made)
    first = way_of(event)
    opt_in(cast)
    say(made)
    again = way_of(event)
    assert again.honoured_at == first.honoured_at
    assert again.reached[0].position > first.reached[0].position


def test_way__delivered_by_a_webhook__is_not_honoured(cast: Cast) -> None:
    hook = webhooks.create_endpoint(
        organization=None, url="https://hooks.example.com/", actor=cast.provider, source="admin"
    )
    registered(cast, webhook=hook)
    event = opt_out(cast)
    consumers.note_delivered(hook, event.placed.position)
    way = way_of(event)
    assert (way.delivered, way.honoured) == (1, 0)
    assert way.delivered_at == PositionAdvance.objects.get().at


def test_way__consumers_registered_later_or_removed__do_not_count(cast: Cast) -> None:
    early = registered(cast, "early")
    event = opt_out(cast)
    registered(cast, "late")
    assert way_of(event).total == 1
    consumers.remove(consumer=early.consumer, actor=cast.provider, source="admin", reason="x")
    assert way_of(event).total == 0
    assert in_one_line(way_of(event)) == "Saved. No system that uses data was registered then."


def test_way__names_are_for_the_operators_site_alone(cast: Cast) -> None:
    say(registered(cast, "secret-builder"), 1)
    event = opt_out(cast)
    assert [each.name for each in way_of(event).reached] == [""]
    assert [each.name for each in way_of(event, named=True).reached] == ["secret-builder"]
    assert "secret" not in str(steps_of(way_of(event)))


def test_way__only_what_tightens_has_one(cast: Cast) -> None:
    registered(cast)
    who: Any = {"organization": cast.labs, "actor": cast.provider, "source": "admin"}
    locks.place_lock(**who, product="le_chat", reason="Contract", reference="C-1")
    locked = ConsentEvent.objects.latest("pk")
    locks.lift_lock(**who, product="le_chat", reason="Over")
    lifted = ConsentEvent.objects.latest("pk")
    plans.subscribe(**who, plan=plans.get_plan("le_chat_teams"))
    teams = ConsentEvent.objects.latest("pk")
    # Not used before either: but somebody said that it must not be.
    kept = opt_out(cast)
    already = opt_out(cast, surface=AI_STUDIO_CONSOLE)
    first = ConsentEvent.objects.filter(organization=cast.brage, product="le_chat").earliest("pk")
    found = ways_of([locked, lifted, teams, kept, already, first])
    assert set(found) == {locked.pk, teams.pk, kept.pk, already.pk}


# --- The clock --------------------------------------------------------------------------------------------------------


def test_clock__runs_for_what_tightens_until_all_have_applied_it(cast: Cast) -> None:
    one, two = registered(cast, "one"), registered(cast, "two")
    event = opt_out(cast)
    opt_out(cast, surface=LE_CHAT_MOBILE, member=cast.labs_member, actor=Actor.from_user(cast.member, confirmed=True))
    opt_in(cast)
    run_clock()
    assert AwaitedEvent.objects.count() == 2
    say(one)
    run_clock()
    assert AwaitedEvent.objects.count() == 2 and not DailyHonour.objects.exists()
    say(two, event.placed.position)
    run_clock()
    assert AwaitedEvent.objects.count() == 1
    say(two)
    run_clock()
    assert not AwaitedEvent.objects.exists()
    assert sum(DailyHonour.objects.values_list("events", flat=True)) == 2
    run_clock()
    assert sum(DailyHonour.objects.values_list("events", flat=True)) == 2


def test_clock__without_consumers__does_not_run(cast: Cast) -> None:
    opt_out(cast)
    run_clock()
    assert not AwaitedEvent.objects.exists()
    made = registered(cast)
    opt_in(cast)
    opt_out(cast)
    run_clock()
    assert AwaitedEvent.objects.count() == 1
    consumers.remove(consumer=made.consumer, actor=cast.provider, source="admin", reason="x")
    run_clock()
    assert not AwaitedEvent.objects.exists() and not DailyHonour.objects.exists()


@pytest.mark.only_on("sqlite")  # the database's own clock cannot be moved
def test_clock__counts_from_saving_to_the_last_word(cast: Cast, clock: Any) -> None:
    one, two = registered(cast, "one"), registered(cast, "two")
    opt_out(cast)
    clock.shift(HOUR)
    say(one)
    clock.shift(2 * HOUR)
    say(two)
    run_clock()
    row = DailyHonour.objects.get()
    assert 3 * 3_600 <= row.within <= 3 * 3_600 * 1.1 and row.events == 1


def test_clock__many_events_and_advances__each_counts_with_its_own_advance(cast: Cast) -> None:
    made = registered(cast)
    for n in range(6):
        opt_out(cast)
        opt_in(cast)
        if n % 2:
            say(made)
    run_clock()
    assert not AwaitedEvent.objects.exists()
    assert sum(DailyHonour.objects.values_list("events", flat=True)) == 6


def test_rounded__up_and_by_little() -> None:
    values = {honour_clock.rounded(seconds) for seconds in range(1, 100_000)}
    assert len(values) < 150
    for seconds in (0, 0.2, 1, 2, 59, 60, 61, 3_600, 86_399, 86_400, 10**7):
        assert seconds <= honour_clock.rounded(seconds) <= max(1, seconds * 1.1 + 1)


# --- Overdue ----------------------------------------------------------------------------------------------------------


def overdue_mails() -> list[str]:
    return list(OutgoingMessage.objects.filter(subject__contains="in time").values_list("recipient", flat=True))


def test_overdue__operators_are_told_once_of_each_lapse(cast: Cast) -> None:
    made = registered(cast)
    opt_out(cast)
    run_clock()
    assert not honour.tell_overdue() and overdue_mails() == []
    age_everything(25 * HOUR)
    assert honour.tell_overdue() and overdue_mails() == [cast.operator.email]
    assert not honour.tell_overdue() and len(overdue_mails()) == 1
    body = OutgoingMessage.objects.latest("pk").body
    assert "dataset-builder" in body and "data@provider.example" in body and "24 hours" in body
    say(made)
    run_clock()
    assert not honour.tell_overdue()
    assert Consumer.objects.get().overdue_since is None
    opt_in(cast)
    opt_out(cast)
    run_clock()
    age_everything(25 * HOUR)
    assert honour.tell_overdue() and len(overdue_mails()) == 2


def test_overdue__within_the_setting__nobody_is_told(cast: Cast, settings: Any) -> None:
    settings.HONOUR_WITHIN = dt.timedelta(days=7)
    registered(cast)
    opt_out(cast)
    run_clock()
    age_everything(6 * 24 * HOUR)
    assert not honour.tell_overdue()
    settings.HONOUR_WITHIN = dt.timedelta(days=5)
    assert honour.tell_overdue()


def test_waiting__of_each_dataset__the_oldest_beyond_it(cast: Cast) -> None:
    made = registered(cast, datasets=["chat", "code"])
    first = opt_out(cast)
    opt_in(cast)
    second = opt_out(cast)
    run_clock()
    say(made, first.placed.position, "chat")
    found = {each.dataset.name: each.since for each in honour_clock.waiting()}
    assert found == {"chat": second.recorded_at, "code": first.recorded_at}


# --- The chart --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "left", "within"),
    [
        ({}, 0, None),
        ({10: 1}, 0, 10),
        ({10: 95, 500: 5}, 0, 10),
        ({10: 94, 500: 6}, 0, 500),
        ({10: 95}, 5, 10),
        ({10: 94}, 6, None),
        ({10: 1, 20: 1}, 0, 20),
        ({}, 3, None),
    ],
)
def test_percentile__what_still_waits_counts_as_not_applied(
    counts: dict[int, int], left: int, within: int | None
) -> None:
    assert honour_chart.percentile(counts, left) == within


def test_chart__days_with_their_time_and_what_still_waits(cast: Cast) -> None:
    registered(cast)
    opt_out(cast)
    run_clock()
    today = timezone.now().astimezone(dt.UTC).date()
    yesterday = today - dt.timedelta(days=1)
    DailyHonour.objects.create(day=yesterday, within=3_600, events=19)
    DailyHonour.objects.create(day=yesterday, within=90_000, events=1)
    chart = honour_chart.clock(today)
    assert [(day.events, day.waiting, day.within) for day in chart.told] == [(1, 1, None), (20, 0, 3_600)]
    assert (chart.events, chart.waiting, chart.overall) == (21, 1, 90_000)
    (bar,) = chart.bars
    assert bar.offset == honour_chart.DAYS - 2 and bar.height == 100 and not bar.late
    assert chart.limit > 100


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (86_400, "24 h"), (172_800, "2 d")],
)
def test_duration_words__short_and_rounded_up(seconds: int, words: str) -> None:
    assert honour_chart.duration_words(seconds) == words


# --- Retention and verification ---------------------------------------------------------------------------------------


@pytest.mark.only_on("sqlite")
def test_retention__old_advances__the_last_of_each_day_stays(cast: Cast, clock: Any, settings: Any) -> None:
    clock.move_to(dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC))
    made = registered(cast)
    for position in (2, 3, 4, 5):
        say(made, position)
        clock.shift(6 * HOUR)
    clock.shift(dt.timedelta(days=settings.POSITION_DAYS))
    say(made, 6)
    say(made, 7)
    retention.tidy_up()
    kept = list(PositionAdvance.objects.order_by("position").values_list("position", flat=True))
    # At 10, 16 and 22 o'clock of one day, and at 4 of the next.
    assert kept == [4, 5, 6, 7]
    assert verification.verify().problems == []


def test_verification__positions_that_nobody_said__found(cast: Cast) -> None:
    made = registered(cast)
    say(made)
    assert verification.verify().problems == []
    sql("UPDATE consent_consumerdataset SET position = position + 1")
    sql("UPDATE consent_consumer SET delivered = 1")
    problems = verification.verify().problems
    assert len(problems) == 2 and "dataset" in problems[0] and "delivered" in problems[1]


def test_verification__consumers_without_their_events__found(cast: Cast) -> None:
    made = registered(cast)
    sql("UPDATE consent_consumer SET removed_at = 1")
    (problem,) = verification.verify().problems
    assert str(made.consumer.pk) in problem and "removed" in problem
