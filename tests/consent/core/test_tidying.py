"""Retention: what a worker deletes when it has nothing else to do, and what it keeps."""

import datetime as dt
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import override_settings
from django.utils import timezone

from accounts.models import Invitation
from consent import ledger, retention
from consent.errors import Refused
from consent.jobs import actions, engine
from consent.models import BulkJob, BulkJobRow, ImportFile, ImportFilePart, ImportProblem, ImportRow, JobStatus
from tests.support.commands import run
from tests.support.factories import (
    BulkJobFactory,
    ImportFileFactory,
    ImportProblemFactory,
    ImportRowFactory,
    InvitationFactory,
)
from tests.support.jobs import OUT, Team, assert_each_once
from tests.support.ledger_guards import refusal

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAGE", 2)
    monkeypatch.setattr(retention, "_PARTS", 2)


def ago(**time: float) -> dt.datetime:
    return ledger.clock() - dt.timedelta(**time)


def aged(job: BulkJob, **time: float) -> BulkJob:
    BulkJob.objects.filter(pk=job.pk).update(created_at=ago(**time))
    return BulkJob.objects.get(pk=job.pk)


def imported(team: Team, status: str, **fields: Any) -> BulkJob:
    job = BulkJobFactory(loads=True, status=status, author=team.author, **fields)
    ImportRowFactory.create_batch(5, job=job)
    ImportProblemFactory(job=job)
    return job


def uploaded(team: Team, **time: float) -> ImportFile:
    file = ImportFileFactory(uploaded_by=team.author, created_at=ago(**time))
    ImportFilePart.objects.bulk_create(ImportFilePart(file=file, number=n, data=b"x") for n in range(5))
    return file


def test_tidy_up__previews_too_old__gone_with_their_rows_and_the_rest_stays(team: Team) -> None:
    team.organizations(5)
    old, young, waiting = (team.previewed(OUT) for _ in range(3))
    aged(old, days=7, seconds=1)
    aged(young, days=6, hours=23)
    actions.submit(job=aged(waiting, days=30), actor=team.actor, digest=waiting.digest)
    reading = imported(team, JobStatus.READING)
    aged(reading, days=8)
    assert not retention.tidy_up()
    assert set(BulkJob.objects.values_list("pk", flat=True)) == {young.pk, waiting.pk}
    assert set(BulkJobRow.objects.values_list("job", flat=True)) == {young.pk, waiting.pk}
    assert not ImportRow.objects.exists() and not ImportProblem.objects.exists()
    assert engine.run(engine.claim(waiting)).changed == 5
    assert_each_once(waiting)


def test_tidy_up__preview_days__are_a_setting(team: Team) -> None:
    aged(team.previewed(OUT), days=8)
    with override_settings(PREVIEW_DAYS=9):
        retention.tidy_up()
    assert BulkJob.objects.count() == 1
    with override_settings(PREVIEW_DAYS=7):
        retention.tidy_up()
    assert BulkJob.objects.count() == 0


def test_tidy_up__file_that_somebody_reads_still__is_left_to_them(team: Team) -> None:
    reading = imported(team, JobStatus.READING, leased_until=ledger.clock() + dt.timedelta(minutes=1))
    aged(reading, days=8)
    retention.tidy_up()
    assert (BulkJob.objects.get().status, ImportRow.objects.count()) == (JobStatus.READING, 5)


def test_tidy_up__interrupted_within_a_preview__nobody_runs_the_rest_and_the_next_goes_on(team: Team) -> None:
    team.organizations(5)
    old = aged(team.previewed(OUT), days=8)
    assert retention.tidy_up(lambda: True)
    assert BulkJobRow.objects.count() == 3
    with refusal(Refused, "status"):
        actions.submit(job=old, actor=team.actor, digest=old.digest)
    assert not retention.tidy_up()
    assert (BulkJob.objects.count(), BulkJobRow.objects.count()) == (0, 0)


def test_tidy_up__more_than_a_turn__says_so(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_AT_A_TIME", 2)
    imported(team, JobStatus.DONE)
    assert retention.tidy_up()
    assert ImportRow.objects.count() == 1
    assert not retention.tidy_up()
    assert ImportRow.objects.count() == 0


@pytest.mark.parametrize("status", JobStatus.values)
def test_tidy_up__rows_of_an_import__go_once_it_is_over_for_good(team: Team, status: str) -> None:
    job = imported(team, status)
    retention.tidy_up()
    left = 0 if status in ("done", "cancelled") else 5
    assert (ImportRow.objects.filter(job=job).count(), ImportProblem.objects.count()) == (left, 1)
    assert BulkJob.objects.get().status == status


@pytest.mark.parametrize("status", JobStatus.values)
def test_tidy__one_import__rows_go_where_it_is_over_for_good(team: Team, status: str) -> None:
    job, other = imported(team, status), imported(team, JobStatus.DONE)
    retention.tidy(job)
    assert ImportRow.objects.filter(job=job).count() == (0 if status in ("done", "cancelled") else 5)
    assert ImportRow.objects.filter(job=other).count() == 5


def test_tidy_up__job_that_was_run__keeps_its_refused_rows_however_old(team: Team) -> None:
    made = team.organizations(3, "le_chat_teams")
    team.choose(made[0], OUT)
    job = aged(team.done(team.previewed("opted_in")), days=400)
    retention.tidy_up()
    assert [row.refusal for row in job.rows.order_by("number")] == ["organization_opted_out", "", ""]


def test_tidy_up__uploaded_files__go_after_a_day_unless_still_to_be_read(team: Team) -> None:
    old, young, needed = uploaded(team, hours=25), uploaded(team, hours=23), uploaded(team, hours=25)
    imported(team, JobStatus.READING, selection={"file": str(needed.pk)})
    imported(team, JobStatus.READING, selection={"name": "read by a command"})
    imported(team, JobStatus.PREVIEWED, selection={"file": str(old.pk)})
    retention.tidy_up()
    assert set(ImportFile.objects.values_list("pk", flat=True)) == {young.pk, needed.pk}
    assert set(ImportFilePart.objects.values_list("file", flat=True)) == {young.pk, needed.pk}


def test_worker__once__tidies_up_when_the_jobs_are_done(team: Team) -> None:
    team.organizations(2)
    job = team.queued(team.previewed(OUT))
    old = aged(team.previewed(OUT), days=8)
    assert run("worker", "--once").code == 0
    assert list(BulkJob.objects.values_list("pk", "status")) == [(job.pk, JobStatus.DONE)]
    assert not BulkJobRow.objects.filter(job_id=old.pk).exists()


def test_tidy_up__address_and_browser_of_a_session__go_with_it(team: Team) -> None:
    now = timezone.now()
    for key, days in (("over", 15), ("live", 15), ("being made", 0)):
        UserSession.objects.create(
            user=team.author, session_key=key, ip="192.0.2.7", user_agent="x", created_at=now - dt.timedelta(days=days)
        )
    Session.objects.create(session_key="live", session_data="", expire_date=now + dt.timedelta(days=1))
    retention.tidy_up()
    assert set(UserSession.objects.values_list("session_key", flat=True)) == {"live", "being made"}


def test_tidy_up__sessions_and_invitations__go_when_they_are_long_over(team: Team) -> None:
    now = timezone.now()
    for key, days in (("over", -1), ("live", 1)):
        Session.objects.create(session_key=key, session_data="", expire_date=now + dt.timedelta(days=days))
    (organization,) = team.organizations(1)
    for name, days in (("over", -8), ("ended", -1), ("live", 1)):
        until = now + dt.timedelta(days=days)
        InvitationFactory(organization=organization, hash=name, invited_by=team.author, expires_at=until)
    retention.tidy_up()
    assert list(Session.objects.values_list("session_key", flat=True)) == ["live"]
    assert set(Invitation.objects.values_list("hash", flat=True)) == {"ended", "live"}
