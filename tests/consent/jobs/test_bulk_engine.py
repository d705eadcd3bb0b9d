"""Running a job: its lease and fence, failures, concurrent writers, and a plan's default."""

import datetime as dt

import pytest
from django.db import connection, transaction

from accounts.access import Actor
from accounts.leases import LostLease
from accounts.models import Plan
from consent import worker
from consent.errors import Refused
from consent.jobs import actions, engine
from consent.models import BulkJob, ConsentEvent, JobStatus, PendingEvent
from consent.services import organizations
from consent.services.organizations import OrganizationDraft
from tests.support.concurrency import Started, race
from tests.support.jobs import IN, OUT, Team, assert_each_once, choices_of, counts, events_of, lapse, settings_of
from tests.support.ledger_guards import refusal, rows, sql

pytestmark = pytest.mark.django_db(transaction=True)
POSTGRESQL = connection.vendor == "postgresql"


@pytest.fixture
def team(transactional_db: None) -> Team:
    return Team()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, name, 2)


# --- Lease and fence -------------------------------------------------------------------------------------------------


def test_claim__while_another_runs_it__is_refused(team: Team) -> None:
    team.organizations(2)
    job = engine.claim(team.queued(team.previewed(OUT)))
    with refusal(Refused, "running"):
        engine.claim(job)
    assert engine.claim_next() is None
    assert BulkJob.objects.get().fence == job.fence == 1


def test_claim__two_at_the_same_time__one_gets_it(team: Team) -> None:
    team.organizations(2)
    job = team.queued(team.previewed(OUT))
    with pytest.raises(Refused, match="another process"):
        race(lambda: engine.claim(job), lambda: engine.claim(job))
    assert BulkJob.objects.get().fence == 1


def test_claim_next__several_wait__takes_the_oldest_that_is_free(team: Team) -> None:
    team.organizations(2)
    first, second = (team.queued(team.previewed(OUT)) for _ in range(2))
    assert [engine.claim_next(), engine.claim_next(), engine.claim_next()] == [first, second, None]
    lapse(first)
    assert engine.claim_next() == first


@pytest.mark.usefixtures("small_chunks")
def test_run__by_a_runner_that_was_taken_for_dead__does_nothing_more(team: Team) -> None:
    made = team.organizations(6)
    stale = engine.claim(team.queued(team.previewed(OUT)))

    def taken_over(job: BulkJob) -> None:
        lapse(job)
        engine.claim(job)

    with pytest.raises(LostLease):
        engine.run(stale, on_chunk=taken_over)
    job = BulkJob.objects.get()
    assert (job.status, job.cursor, job.fence) == (JobStatus.RUNNING, 2, 2)
    assert choices_of(made) == [OUT] * 2 + ["default"] * 4
    job = engine.run(job)
    assert (job.status, counts(job)) == (JobStatus.DONE, (6, 0, 0))
    assert_each_once(job)


def test_run__cancelled_while_its_chunk_is_worked__finishes_that_chunk_only(team: Team) -> None:
    """The one who stops it waits for the chunk at hand, and the next one does not begin."""
    team.organizations(3)
    job = engine.claim(team.queued(team.previewed(OUT)))
    started: list[Started] = []

    def stop_while_it_works(execute, statement, parameters, many, context):  # type: ignore[no-untyped-def]
        if statement.lstrip().startswith("INSERT INTO consent_consentevent") and not started:
            started.append(Started(lambda: actions.cancel(job=job, actor=team.actor)))
        return execute(statement, parameters, many, context)

    with connection.execute_wrapper(stop_while_it_works), pytest.MonkeyPatch.context() as patch:
        for name in ("FIRST", "SMALLEST", "LARGEST"):
            patch.setattr(engine, name, 2)
        job = engine.run(job, on_chunk=lambda _job: started[0].result())
    assert (job.status, counts(job)) == (JobStatus.CANCELLED, (2, 0, 0))
    assert_each_once(job)


# --- Failures --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_chunks")
def test_run__chunk_fails__is_undone_whole_and_kept_on_the_job_which_goes_on_later(team: Team) -> None:
    made = team.organizations(5)
    job = engine.claim(team.queued(team.previewed(OUT)))
    seen = 0

    def broken(execute, statement, parameters, many, context):  # type: ignore[no-untyped-def]
        nonlocal seen
        result = execute(statement, parameters, many, context)
        if statement.lstrip().startswith("UPDATE consent_privacysetting AS s"):
            seen += 1
            if seen == 2:
                raise ZeroDivisionError("in the second chunk")
        return result

    with pytest.raises(ZeroDivisionError), connection.execute_wrapper(broken):
        engine.run(job)
    job.refresh_from_db()
    assert (job.status, job.error) == (JobStatus.FAILED, "ZeroDivisionError: in the second chunk")
    assert (job.cursor, counts(job), len(events_of(job))) == (2, (2, 0, 0), 2)
    assert choices_of(made) == [OUT] * 2 + ["default"] * 3
    job = engine.run(engine.claim(actions.resume(job=job, actor=team.actor)))
    assert (job.status, job.error, counts(job)) == (JobStatus.DONE, "", (5, 0, 0))
    assert_each_once(job)


def test_run__settings_other_than_expected__refuses_the_chunk(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that meets fewer rows than the shapes promised: doubt, and nothing of it stays."""
    made = team.organizations(3)
    job = engine.claim(team.queued(team.previewed(OUT)))
    monkeypatch.setattr(engine, "UPDATE_SETTINGS", f"{engine.UPDATE_SETTINGS} AND s.id %% 2 = 0")
    before = ConsentEvent.objects.count()
    with pytest.raises(RuntimeError, match="3 rows were to change"):
        engine.run(job)
    assert ConsentEvent.objects.count() == before
    assert choices_of(made) == ["default"] * 3
    assert BulkJob.objects.get().status == JobStatus.FAILED


def test_worker__job_waits__runs_it_and_places_its_events(team: Team) -> None:
    team.organizations(4)
    job = team.queued(team.previewed(OUT))
    assert worker.work_once()
    job.refresh_from_db()
    assert (job.status, counts(job)) == (JobStatus.DONE, (4, 0, 0))
    assert not PendingEvent.objects.exists()
    # What follows the ledger has its turn, and then there is nothing left.
    assert [worker.work_once() for _turn in range(2)] == [True, False]
    assert_each_once(job)


# --- Beside others ---------------------------------------------------------------------------------------------------


def test_run__organization_without_a_setting__gets_one(team: Team) -> None:
    made = organizations.create_organizations([OrganizationDraft(name="Bare")], actor=team.actor, source="admin")
    job = team.done(team.previewed(OUT))
    assert [(s.choice, s.reason_code, s.version) for s in settings_of(made)] == [(OUT, "no_subscription", 1)]
    assert_each_once(job)


def test_run__clock_behind_the_last_change__is_later_all_the_same(team: Team) -> None:
    made = team.organizations(2)
    team.choose(made[0], IN)
    future = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    stamp = int(future.timestamp() * 1_000_000)
    sql("UPDATE consent_privacysetting SET changed_at = %s WHERE version = 2", [stamp])
    job = engine.run(engine.claim(team.queued(team.previewed(OUT))))
    assert rows("SELECT DISTINCT recorded_at FROM consent_consentevent WHERE job_id IS NOT NULL") == [(stamp + 1,)]
    assert job.changed == 2


def test_run__somebody_chooses_at_the_same_time__neither_is_lost(team: Team) -> None:
    made = team.organizations(3)
    job = engine.claim(team.queued(team.previewed(OUT)))
    race(lambda: team.choose(made[1], IN), lambda: engine.run(job))
    assert choices_of(made) == [OUT] * 3
    assert settings_of(made)[1].version == 3
    job.refresh_from_db()
    assert_each_once(job)


def test_choose__while_a_chunk_is_worked__waits_and_comes_after_it(team: Team) -> None:
    made = team.organizations(3)
    job = engine.claim(team.queued(team.previewed(OUT)))
    assert race(lambda: engine.run(job), lambda: team.choose(made[1], IN))
    assert choices_of(made) == [OUT, IN, OUT]
    assert_each_once(job)


def test_two_jobs__of_the_same_organizations__both_end(team: Team) -> None:
    made = team.organizations(6)
    first, second = (engine.claim(team.queued(team.previewed(OUT))) for _ in range(2))
    race(lambda: engine.run(first), lambda: engine.run(second))
    ended = [BulkJob.objects.get(pk=job.pk) for job in (first, second)]
    assert [counts(job) for job in ended] == [(6, 0, 0), (0, 6, 0)]
    assert choices_of(made) == [OUT] * 6
    for job in ended:
        assert_each_once(job)


# --- The default of a plan -------------------------------------------------------------------------------------------


def test_default__out_and_back__an_event_for_each_and_in_reaches_nobody_of_them(team: Team) -> None:
    made, others = team.organizations(3), team.organizations(1, "le_chat_pro")
    team.choose(made[0], OUT)
    team.choose(made[1], IN)
    out = team.previewed_default("le_chat_free", OUT)
    assert (out.loosens, out.preview) == (False, {"change": 3})
    assert Plan.objects.get(pk="le_chat_free").training_default == IN, "a preview changes nothing"
    out = team.done(out)
    assert Plan.objects.get(pk="le_chat_free").training_default == OUT
    assert [(s.choice, s.allowed, s.reason_code) for s in settings_of(made)] == [
        (OUT, False, "organization_opted_out"),
        ("default", False, "plan_default"),  # an opt-in has to be given anew
        ("default", False, "plan_default"),
    ]
    back = team.previewed_default("le_chat_free", IN)
    assert back.loosens, "for those who subscribe from now on"
    back = team.done(back)
    assert [s.reason_code for s in settings_of(made)] == ["organization_opted_out", "carried_over", "carried_over"]
    assert settings_of(team.organizations(1))[0].allowed
    assert settings_of(others)[0].version == 1
    for job in (out, back):
        assert counts(job) == (3, 0, 0)
        assert {(e.kind, e.surface) for e in events_of(job)} == {("plan.default_changed", "")}
        assert_each_once(job)


@pytest.mark.usefixtures("small_chunks")
def test_default__who_subscribes_and_who_leaves_during_the_run__follow_what_they_do(team: Team) -> None:
    made = team.organizations(6)
    late: list[str] = []

    def others_act(job: BulkJob) -> None:
        if job.cursor == 2:
            late.extend(s.applied_default for s in settings_of(team.organizations(1)))
            team.move(made[4], "le_chat_enterprise")
            organizations.close_organization(organization=made[5], actor=team.actor, source="admin", reason="over")

    job = engine.claim(team.queued(team.previewed_default("le_chat_free", OUT)))
    job = engine.run(job, on_chunk=others_act)
    assert late == [OUT], "the plan is changed before the first chunk"
    assert (counts(job), job.refusals) == ((5, 0, 1), {"changed_since": 1})
    assert [s.plan for s in settings_of(made)][4] == "le_chat_enterprise"
    assert {s.applied_default for s in settings_of(made)} == {OUT}
    assert_each_once(job)


@pytest.mark.usefixtures("small_chunks")
def test_default_in__who_moved_to_a_plan_that_is_always_out__stays_under_that_plan(team: Team) -> None:
    made = team.organizations(4)
    team.done(team.previewed_default("le_chat_free", OUT))
    job = engine.claim(team.queued(team.previewed_default("le_chat_free", IN)))
    job = engine.run(job, on_chunk=lambda j: team.move(made[3], "le_chat_teams") if j.cursor == 2 else None)
    assert (job.status, counts(job)) == (JobStatus.DONE, (3, 0, 1))
    assert settings_of(made)[3].applied_default == OUT
    assert_each_once(job)


@pytest.mark.only_on("postgresql", reason="SQLite has one writer at a time")
def test_default__subscription_that_read_the_old_one__is_waited_for_and_included(team: Team) -> None:
    team.organizations(2)
    (straggler,) = organizations.create_organizations(
        [OrganizationDraft(name="Late")], actor=team.actor, source="admin"
    )
    job = team.queued(team.previewed_default("le_chat_free", OUT))
    assert race(lambda: team.move(straggler, "le_chat_free"), lambda: engine.claim(job))
    assert settings_of([straggler])[0].applied_default == IN, "as it was when it subscribed"
    job.refresh_from_db()
    assert job.matched == 3
    job = engine.run(job)
    assert settings_of([straggler])[0].applied_default == OUT
    assert_each_once(job)


def test_default__resumed_before_its_first_chunk__begins_again_with_who_is_there(team: Team) -> None:
    team.organizations(2)
    job = engine.claim(team.queued(team.previewed_default("le_chat_free", OUT)))
    lapse(job)
    more = team.organizations(1)
    job = engine.run(engine.claim(job))
    assert (job.matched, counts(job)) == (3, (2, 1, 0)), "who came meanwhile follows the new default already"
    assert settings_of(more)[0].version == 1
    assert_each_once(job)


# --- Who and where ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "actor_type"), [("admin", "user"), ("command", "command")])
def test_events__of_a_job__say_who_and_where_and_that_nobody_saw_words(
    team: Team, source: str, actor_type: str
) -> None:
    team.organizations(1)
    (event,) = events_of(team.done(team.previewed(OUT, source=source)))
    assert (event.actor_type, event.actor_id, event.source) == (actor_type, str(team.author.pk), source)
    assert (event.wording, event.language, event.app_version) == ("", "", "")
    assert event.by_operator


def test_progress__waiting_and_done__counts_and_has_no_time_to_go(team: Team) -> None:
    team.organizations(2)
    job = team.queued(team.previewed(OUT))
    assert engine.progress(job) == engine.Progress(0, 2, 0, None)
    job = engine.run(engine.claim(job))
    progress = engine.progress(job)
    assert (progress.done, progress.total, progress.eta) == (2, 2, None)


def test_progress__paused_for_an_hour__goes_on_at_the_rate_at_which_it_worked(team: Team) -> None:
    team.organizations(4)
    job = engine._chunk(engine.claim(team.queued(team.previewed(OUT))), 2)
    BulkJob.objects.filter(pk=job.pk).update(started_at=job.created_at - dt.timedelta(hours=1), worked_ms=100)
    job.refresh_from_db()
    assert engine.progress(job) == engine.Progress(2, 4, 20, 0.1)
    actions.pause(job=job, actor=team.actor)
    job.refresh_from_db()
    assert engine.progress(job) == engine.Progress(2, 4, 20, 0.1)
    assert Actor.from_user(job.author, confirmed=True).is_operator


def test_chunk__whole_transaction_rolled_back__leaves_the_mark_where_it_was(team: Team) -> None:
    made = team.organizations(2)
    job = engine.claim(team.queued(team.previewed(OUT)))
    with transaction.atomic():
        engine.run(job)
        transaction.set_rollback(True)
    job.refresh_from_db()
    assert (job.cursor, counts(job), events_of(job)) == (0, (0, 0, 0), [])
    assert choices_of(made) == ["default"] * 2
