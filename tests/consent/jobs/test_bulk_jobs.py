"""The actions of a job: preview, digest and drift, approval, pause, resume, cancel, undo."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.access import Actor, Forbidden
from accounts.models import Plan
from consent.errors import Invalid, Refused
from consent.jobs import actions, engine, rows
from consent.jobs.list_errors import BadList
from consent.jobs.selection import Selection
from consent.models import BulkJob, ConsentEvent, JobStatus, PrivacySetting
from consent.services import locks, organizations
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.factories import MemberFactory, UserFactory
from tests.support.jobs import IN, OUT, Team, assert_each_once, choices_of, counts, events_of, named, settings_of
from tests.support.ledger_guards import refusal

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team()


def jobs_there() -> int:
    return BulkJob.objects.count()


# --- Preview ---------------------------------------------------------------------------------------------------------


def test_preview__anything__changes_nothing_and_says_what_a_run_does(team: Team) -> None:
    made = team.organizations(6)
    team.choose(made[0], OUT)
    events, settings = ConsentEvent.objects.count(), list(PrivacySetting.objects.values_list())
    job = team.previewed(OUT)
    assert (ConsentEvent.objects.count(), list(PrivacySetting.objects.values_list())) == (events, settings)
    assert (job.status, job.matched, job.preview, job.loosens) == ("previewed", 6, {"change": 5, "same": 1}, False)
    assert actions.outcome_counts(job) == {"change": 5, "already": 1, "refused": 0}
    assert counts(team.done(job)) == (5, 1, 0)
    assert_each_once(job)


def test_preview__sample__shows_what_changes_first(team: Team) -> None:
    made = team.organizations(3)
    team.choose(made[0], OUT)
    sample = rows.sample(team.previewed(OUT), 2)
    assert [(row.organization, row.outcome, row.before, row.after) for row in sample] == [
        (made[1], "change", "default", OUT),
        (made[2], "change", "default", OUT),
    ]


def test_preview__own_wish_of_each__is_a_row_each(team: Team) -> None:
    made = team.organizations(3)
    team.choose(made[2], IN)
    wishes = {made[0].pk: IN, made[1].pk: OUT, made[2].pk: IN}
    job = actions.preview_choice(
        surface=LE_CHAT_CONSOLE, actor=team.actor, source="admin", reason="their contracts", wishes=wishes
    )
    assert job.loosens and job.preview == {"change": 2, "same": 1}
    team.done(job)
    assert choices_of(made) == [IN, OUT, IN]
    assert_each_once(job)


REFUSED_PREVIEWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no choice": ({"choice": "default"}, "unknown_choice", "choice"),
    "opt-in without a reason": ({"choice": IN, "reason": " "}, "required", "reason"),
    "a member's surface": ({"choice": OUT, "surface": LE_CHAT_MOBILE}, "wrong_scope", "surface"),
    "unknown source": ({"choice": OUT, "source": "nowhere"}, "unknown_source", "source"),
    "control characters": ({"choice": OUT, "reason": "a\x07"}, "invalid", "reason"),
}


@pytest.mark.parametrize("case", REFUSED_PREVIEWS)
def test_preview__bad_input__is_refused_by_name(team: Team, case: str) -> None:
    changes, code, field = REFUSED_PREVIEWS[case]
    with refusal(Invalid, code, field):
        team.previewed(**changes)
    assert jobs_there() == 0


def test_preview__unknown_organization_among_wishes__is_refused_by_name(team: Team) -> None:
    with refusal(BadList, "unknown_organization", "organizations"):
        actions.preview_choice(
            surface=LE_CHAT_CONSOLE, actor=team.actor, source="admin", wishes={team.author.pk: OUT}, reason="x"
        )
    assert jobs_there() == 0


def test_preview__by_nobody_of_the_operators__is_forbidden(team: Team) -> None:
    person = Actor.from_user(UserFactory(email="ada@kvasir.example", name="Ada"), confirmed=True)
    with refusal(Forbidden):
        actions.preview_choice(
            surface=LE_CHAT_CONSOLE, actor=person, source="admin", choice=OUT, selection=Selection(everything=True)
        )
    assert jobs_there() == 0


def test_preview_default__plan_that_is_always_out__is_refused(team: Team) -> None:
    with refusal(Invalid, "default", "default"):
        team.previewed_default("le_chat_teams", IN)
    assert jobs_there() == 0
    assert Plan.objects.get(pk="le_chat_teams").training_default == OUT


# --- Submit: digest and drift ----------------------------------------------------------------------------------------


def test_submit__another_digest__is_refused(team: Team) -> None:
    team.organizations(2)
    job = team.previewed(OUT)
    with refusal(Invalid, "digest", "digest"):
        actions.submit(job=job, actor=team.actor, digest="0" * 64)
    assert BulkJob.objects.get().status == JobStatus.PREVIEWED


@pytest.mark.parametrize("drift", ["one more", "one changed", "one gone from the selection"])
def test_submit__drifted_since__is_refused_unless_told(team: Team, drift: str) -> None:
    made = team.organizations(3)
    job = team.previewed(OUT) if drift != "one gone from the selection" else previewed_of_free(team)
    if drift == "one more":
        team.organizations(1)
    elif drift == "one changed":
        team.choose(made[0], IN)
    else:
        team.move(made[0], "le_chat_teams")
    with refusal(Refused, "drifted"):
        actions.submit(job=job, actor=team.actor, digest=job.digest)
    assert BulkJob.objects.get().status == JobStatus.PREVIEWED
    job = actions.submit(job=job, actor=team.actor, digest=job.digest, accept_drift=True)
    job = engine.run(engine.claim(job))
    assert job.matched == job.changed == 3, "the rows are those that were previewed"
    assert choices_of(made) == [OUT] * 3
    assert_each_once(job)


def previewed_of_free(team: Team) -> BulkJob:
    return actions.preview_choice(
        surface=LE_CHAT_CONSOLE,
        actor=team.actor,
        source="admin",
        choice=OUT,
        selection=Selection(plan=("le_chat_free",)),
    )


def test_submit__another_product_changed__is_no_drift(team: Team) -> None:
    made = team.organizations(2)
    job = team.previewed(OUT)
    team.choose(made[0], OUT, surface=AI_STUDIO_CONSOLE)
    assert actions.submit(job=job, actor=team.actor, digest=job.digest).status == JobStatus.QUEUED


def test_submit__twice__is_refused(team: Team) -> None:
    team.organizations(1)
    job = team.queued(team.previewed(OUT))
    with refusal(Refused, "status"):
        actions.submit(job=job, actor=team.actor, digest=job.digest)


# --- Approval (R13) --------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(team: Team) -> BulkJob:
    made = team.organizations(4, "le_chat_teams")
    team.choose(made[0], OUT)
    team.choose(made[1], IN)
    job = team.previewed(IN)
    return actions.submit(job=job, actor=team.actor, digest=job.digest)


def test_opt_in__submitted__waits_for_a_second_operator(team: Team, waiting: BulkJob) -> None:
    assert waiting.status == JobStatus.AWAITING_APPROVAL
    with refusal(Refused, "status"):
        engine.claim(waiting)
    assert engine.claim_next() is None
    with refusal(Forbidden):
        actions.approve(job=waiting, actor=team.actor)
    with refusal(Forbidden):
        actions.approve(job=waiting, actor=Actor.from_command(team.author))
    job = actions.approve(job=waiting, actor=team.other)
    assert (job.approver, job.status) == (team.second, JobStatus.QUEUED)
    assert job.approved_at is not None


def test_opt_in__approved__passes_over_who_said_no_and_says_how_many(team: Team, waiting: BulkJob) -> None:
    assert waiting.preview == {"change": 2, "same": 1, "organization_opted_out": 1}
    job = engine.run(engine.claim(actions.approve(job=waiting, actor=team.other)))
    assert counts(job) == (2, 1, 1)
    assert job.refusals == {"organization_opted_out": 1}
    assert_each_once(job)
    events = events_of(job)
    assert {(e.kind, e.actor_id, e.by_operator, e.reason) for e in events} == {
        ("choice.opted_in", str(team.author.pk), True, "as agreed")
    }


def test_approve__what_waits_for_nobody__is_refused(team: Team) -> None:
    team.organizations(1)
    job = team.queued(team.previewed(OUT))
    with refusal(Refused, "status"):
        actions.approve(job=job, actor=team.other)


@pytest.mark.parametrize("status", ["queued", "running", "paused", "done", "failed"])
def test_database__job_that_loosens_without_approver__takes_no_such_status(waiting: BulkJob, status: str) -> None:
    with pytest.raises(IntegrityError, match="job_that_loosens_is_approved"), transaction.atomic():
        raw("UPDATE consent_bulkjob SET status = %s", status)
    assert BulkJob.objects.get().status == JobStatus.AWAITING_APPROVAL


def test_database__approver_who_is_the_author__is_refused(waiting: BulkJob) -> None:
    with pytest.raises(IntegrityError, match="job_approver_is_not_author"), transaction.atomic():
        raw("UPDATE consent_bulkjob SET approver_id = author_id")
    with pytest.raises(IntegrityError, match="job_approver_is_not_author"), transaction.atomic():
        raw("UPDATE consent_bulkjob SET approver_id = author_id, status = 'queued'")
    assert BulkJob.objects.get().approver is None


def test_run__marked_as_tightening_behind_our_back__fails_and_loosens_nothing(team: Team, waiting: BulkJob) -> None:
    raw("UPDATE consent_bulkjob SET loosens = %s, status = 'queued'", False)
    before = ConsentEvent.objects.count()
    with pytest.raises(RuntimeError, match="nobody has approved"):
        engine.run(engine.claim(waiting))
    assert (BulkJob.objects.get().status, ConsentEvent.objects.count()) == (JobStatus.FAILED, before)


def raw(statement: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        assert cursor.rowcount == 1


# --- Pause, resume, stop ---------------------------------------------------------------------------------------------


def small_chunks(monkeypatch: pytest.MonkeyPatch, rows_each: int) -> None:
    for name in ("FIRST", "SMALLEST", "LARGEST"):
        monkeypatch.setattr(engine, name, rows_each)


def test_pause__between_chunks__keeps_what_is_done_and_goes_on_later(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch, 2)
    made = team.organizations(5)
    job = team.queued(team.previewed(OUT))
    job = engine.run(engine.claim(job), on_chunk=lambda done: pause_once(team, done))
    assert (job.status, job.cursor, job.changed) == (JobStatus.PAUSED, 2, 2)
    assert choices_of(made) == [OUT] * 2 + ["default"] * 3
    with refusal(Refused, "status"):
        engine.claim(job)
    assert engine.claim_next() is None
    job = actions.resume(job=job, actor=team.actor)
    job = engine.run(engine.claim(job))
    assert (job.status, counts(job)) == (JobStatus.DONE, (5, 0, 0))
    assert_each_once(job)


def pause_once(team: Team, job: BulkJob) -> None:
    if job.status == JobStatus.RUNNING:
        actions.pause(job=job, actor=team.actor)


def test_cancel__between_chunks__keeps_what_is_done_and_can_be_undone(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch, 2)
    made = team.organizations(5)
    job = team.queued(team.previewed(OUT))
    job = engine.run(engine.claim(job), on_chunk=lambda done: cancel_once(team, done))
    assert (job.status, counts(job)) == (JobStatus.CANCELLED, (2, 0, 0))
    assert job.finished_at is not None
    for verb in (actions.resume, actions.pause, actions.cancel):
        with refusal(Refused, "status"):
            verb(job=job, actor=team.actor)
    undo = team.done(team.previewed_undo(job))
    assert counts(undo) == (2, 0, 0)
    assert choices_of(made) == ["default"] * 5
    assert_each_once(undo)


def cancel_once(team: Team, job: BulkJob) -> None:
    if job.status == JobStatus.RUNNING:
        actions.cancel(job=job, actor=team.actor)


def test_verbs__by_nobody_of_the_operators__are_forbidden(team: Team, waiting: BulkJob) -> None:
    person = Actor.from_user(UserFactory(email="ada@kvasir.example", name="Ada"), confirmed=True)
    for verb in (actions.approve, actions.pause, actions.resume, actions.cancel):
        with refusal(Forbidden):
            verb(job=waiting, actor=person)
    with refusal(Forbidden):
        actions.submit(job=waiting, actor=person, digest=waiting.digest)
    assert BulkJob.objects.get().status == JobStatus.AWAITING_APPROVAL


# --- Undo ------------------------------------------------------------------------------------------------------------


def test_undo__opt_out__restores_where_nobody_did_anything_since(team: Team) -> None:
    made = team.organizations(7)
    untouched = team.organizations(1)
    team.choose(made[0], IN)
    team.move(made[1], "le_chat_teams")
    team.move(made[1], "le_chat_pro")  # carried over
    before = settings_of(made)
    job = team.done(team.previewed(OUT, made))
    team.choose(made[2], IN)  # chosen since
    owner = UserFactory(email="ada@kvasir.example", name="Ada")
    MemberFactory(organization=made[3], user=owner, role="owner", actor=team.actor)
    team.choose(made[3], OUT, actor=Actor.from_user(owner, confirmed=True), source="console")  # confirmed since
    team.move(made[4], "le_chat_teams")  # moved since
    team.move(made[5], "le_chat_teams")
    team.move(made[5], "le_chat_free")  # moved and came back
    undo = team.previewed_undo(job)
    assert undo.loosens and undo.preview == {"change": 3, "changed_since": 4}
    undo = actions.submit(job=undo, actor=team.actor, digest=undo.digest)
    assert undo.status == JobStatus.AWAITING_APPROVAL
    undo = engine.run(engine.claim(actions.approve(job=undo, actor=team.other)))
    assert (counts(undo), undo.refusals) == ((3, 0, 4), {"changed_since": 4})
    assert choices_of(made) == [IN, "default", IN, OUT, OUT, OUT, "default"]
    after = settings_of(made)
    assert (after[1].carry, after[1].allowed) == (before[1].carry, False) and before[1].carry == "le_chat_teams"
    assert {event.kind for event in events_of(undo)} == {"choice.restored"}
    assert settings_of(untouched)[0].version == 1
    assert_each_once(undo)


def test_undo__lock_placed_or_account_closed_since__restores_behind_it_with_approval(team: Team) -> None:
    made = team.organizations(2)
    job = team.done(team.previewed(OUT))
    locks.place_lock(
        organization=made[0], product="le_chat", reason="law", reference="1", actor=team.actor, source="admin"
    )
    organizations.close_organization(organization=made[1], actor=team.actor, source="admin", reason="over")
    undo = team.previewed_undo(job)
    assert undo.loosens, "what is restored behind a lock is used once that is lifted"
    team.done(undo)
    assert [(s.choice, s.allowed, s.reason_code) for s in settings_of(made)] == [
        ("default", False, "locked"),
        ("default", False, "organization_closed"),
    ]
    assert_each_once(undo)


def test_undo__of_an_opt_in__tightens_and_needs_no_approval(team: Team) -> None:
    made = team.organizations(2, "le_chat_teams")
    job = team.done(team.previewed(IN))
    undo = team.previewed_undo(job)
    assert not undo.loosens
    undo = actions.submit(job=undo, actor=team.actor, digest=undo.digest)
    assert undo.status == JobStatus.QUEUED
    engine.run(engine.claim(undo))
    assert choices_of(made) == ["default"] * 2
    assert_each_once(undo)


def test_undo__of_an_undo__is_as_the_job_left_it(team: Team) -> None:
    made = team.organizations(3)
    team.choose(made[0], IN)
    job = team.done(team.previewed(OUT))
    undo = team.done(team.previewed_undo(job))
    again = team.previewed_undo(undo)
    assert not again.loosens
    again = team.done(again)
    assert choices_of(made) == [OUT] * 3
    assert counts(again) == (3, 0, 0)
    assert_each_once(again)


def test_undo__restored_rows_look_like_those_passed_over__only_these_are_noted(team: Team) -> None:
    made = team.organizations(3)
    for organization in made:
        team.choose(organization, IN)
    job = team.done(team.previewed(OUT, made))
    team.choose(made[0], IN)  # and so is as the undo leaves the others
    undo = team.done(team.previewed_undo(job))
    assert counts(undo) == (2, 0, 1)
    assert list(undo.rows.exclude(refusal="").values_list("organization_id", flat=True)) == [made[0].pk]
    assert_each_once(undo)


def test_undo__twice__finds_everything_changed_since(team: Team) -> None:
    made = team.organizations(2)
    job = team.done(team.previewed(OUT))
    team.done(team.previewed_undo(job))
    second = team.previewed_undo(job)
    assert second.preview == {"changed_since": 2}
    second = team.done(second)
    assert counts(second) == (0, 0, 2)
    assert choices_of(made) == ["default"] * 2
    assert_each_once(second)


def test_undo__job_not_over_or_without_change__is_refused(team: Team) -> None:
    made = team.organizations(2)
    queued = team.queued(team.previewed(OUT))
    with refusal(Refused, "status"):
        team.previewed_undo(queued)
    engine.run(engine.claim(queued))
    nothing = team.done(team.previewed(OUT, made))
    assert counts(nothing) == (0, 2, 0)
    with refusal(Refused, "status"):
        team.previewed_undo(nothing)
    default = team.done(team.previewed_default("le_chat_free", OUT))
    with refusal(Refused, "plan_default"):
        team.previewed_undo(default)


def test_named__selection_of_the_tests__is_the_organizations(team: Team) -> None:
    made = team.organizations(3)
    assert list(named(made[:2]).organizations_for("le_chat")) == made[:2]
