"""Retention: deletes what is no longer needed, in small transactions.

That is previews that nobody ran, rows and files of imports (they hold names and addresses), and old webhook attempts,
idempotency keys, rate counts, invitations and sessions. A job that ran stays, with the rows that it refused and the
problems of its file: that is its report.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import BigIntegerField, Exists, Func, OuterRef, QuerySet, Subquery
from django.db.models.lookups import Exact
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.leases import free
from accounts.models import Invitation, RateCount

from . import ledger
from .models import (
    ENDED,
    AskedCount,
    BulkJob,
    BulkJobRow,
    IdempotencyKey,
    ImportFile,
    ImportFilePart,
    ImportProblem,
    ImportRow,
    JobStatus,
    PositionAdvance,
    RebindRow,
    WebhookAttempt,
)

_PAGE = 5_000  # rows in one transaction
_PARTS = 20  # of files in one transaction; they are larger than rows
_AT_A_TIME = 20  # transactions in one call, then the worker looks for other work
_UNRUN = (JobStatus.PREVIEWED, JobStatus.READING)
# Replaces a job's digest. It marks the job for deletion, so that an interrupted deletion is continued.
_DISCARDED = "discarded"
_FILES_KEPT = dt.timedelta(days=1)


def tidy_up(should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Delete some of what is due, at most _AT_A_TIME transactions; returns whether there may be more."""
    return any(done == _AT_A_TIME or should_stop() for done, _nothing in enumerate(_all(), start=1))


def tidy(job: BulkJob) -> None:
    """Delete the rows that an import has read, if it is over; the problems of its file stay, as its report."""
    if job.status in ENDED:
        for _batch in _delete(ImportRow.objects.filter(job=job)):
            pass


def _all() -> Iterator[None]:
    """Everything that is due; yields after each transaction."""
    _give_up_old_previews()
    # The job's own row goes last, so that an interrupted deletion is found again.
    for job in BulkJob.objects.filter(status=JobStatus.CANCELLED, digest=_DISCARDED):
        for rows in (BulkJobRow.objects, RebindRow.objects, ImportRow.objects, ImportProblem.objects):
            yield from _delete(rows.filter(job=job))
        job.delete()
        yield
    # An import by command deletes its rows itself when it ends; those of jobs that workers ran are left to this.
    read = Exists(ImportRow.objects.filter(job=OuterRef("pk")))
    for job in BulkJob.objects.filter(read, status__in=ENDED):
        yield from _delete(ImportRow.objects.filter(job=job))
    yield from _old_files()
    attempts = WebhookAttempt.objects.filter(at__lt=ledger.clock() - dt.timedelta(days=settings.ATTEMPT_DAYS))
    yield from _delete(attempts)
    for advances in _old_advances():
        yield from _delete(advances)
    asked = AskedCount.objects.filter(day__lt=ledger.clock().date() - dt.timedelta(days=settings.ASKED_DAYS))
    yield from _delete(asked)
    yield from _delete(IdempotencyKey.objects.filter(created_at__lt=ledger.clock() - dt.timedelta(days=1)))
    yield from _delete(RateCount.objects.filter(window__lt=int(ledger.clock().timestamp()) - 3600))
    now = timezone.now()
    yield from _delete(Invitation.objects.filter(expires_at__lt=now - dt.timedelta(days=settings.INVITATION_DAYS)))
    yield from _delete(Session.objects.filter(expire_date__lt=now))
    # The address and the browser of a session go with it; not those of one that is being made at this moment.
    live = Exists(Session.objects.filter(session_key=OuterRef("session_key")))
    yield from _delete(UserSession.objects.filter(~live, created_at__lt=now - dt.timedelta(days=1)))


class _Day(Func):
    """The day of an instant, as a number; both databases divide integers to integers."""

    template = "(%(expressions)s / 86400000000)"
    output_field = BigIntegerField()


def _old_advances() -> Iterator["QuerySet[PositionAdvance]"]:
    """Old advances that were followed by another one on the same day; the last of each day stays.

    So what was applied long ago is still known to have been, by the end of a day at the latest.
    """
    old = PositionAdvance.objects.filter(at__lt=ledger.clock() - dt.timedelta(days=settings.POSITION_DAYS))
    beyond = PositionAdvance.objects.filter(position__gt=OuterRef("position")).order_by("position").values("at")
    said, delivered = beyond.filter(dataset=OuterRef("dataset")), beyond.filter(dataset=None)
    for rows, following in (
        (old.exclude(dataset=None), said),
        (old.filter(dataset=None), delivered.filter(consumer=OuterRef("consumer"))),
    ):
        # A subject's instants rise with its positions: so it is enough to look at the next one.
        yield rows.alias(following=Subquery(following[:1])).filter(Exact(_Day("following"), _Day("at")))


def _delete(
    found: "QuerySet[Any]",
) -> Iterator[None]:
    while keys := list(found.order_by().values_list("pk", flat=True)[:_PAGE]):
        found.filter(pk__in=keys).delete()
        yield


def _give_up_old_previews() -> None:
    # Not those that a worker is reading at the moment: `free`.
    now = ledger.clock()
    old = BulkJob.objects.filter(
        free(),
        status__in=_UNRUN,
        created_at__lt=now - dt.timedelta(days=settings.PREVIEW_DAYS),
    )
    why = _("Nobody ran it within %s days.") % settings.PREVIEW_DAYS
    old.update(status=JobStatus.CANCELLED, digest=_DISCARDED, error=why, finished_at=now)


def _old_files() -> Iterator[None]:
    """Delete uploads older than a day, unless a job is still to read them."""
    reading = BulkJob.objects.filter(status=JobStatus.READING).values_list("selection__file", flat=True)
    old = ImportFile.objects.filter(created_at__lt=ledger.clock() - _FILES_KEPT)
    for file in old.exclude(pk__in=[pk for pk in reading if pk]):
        parts = ImportFilePart.objects.filter(file=file)
        while keys := list(parts.order_by().values_list("pk", flat=True)[:_PARTS]):
            parts.filter(pk__in=keys).delete()
            yield
        file.delete()
        yield
