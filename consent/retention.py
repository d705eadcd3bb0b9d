"""What is no longer needed is deleted, some at a time: previews that nobody ran, and what imports have read.

Rows of imports hold names and addresses. What was run stays, with the rows that it refused and what is wrong with its
file: that is its report.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.leases import free
from accounts.models import Invitation, RateCount

from . import ledger
from .models import (
    BulkJob,
    BulkJobRow,
    IdempotencyKey,
    ImportFile,
    ImportFilePart,
    ImportProblem,
    ImportRow,
    JobStatus,
    RebindRow,
    WebhookAttempt,
)

_PAGE = 5_000  # rows in one transaction
_PARTS = 20  # of files; they are larger
_AT_A_TIME = 20  # transactions, then it is somebody else's turn
_UNRUN = (JobStatus.PREVIEWED, JobStatus.READING)
_OVER = (JobStatus.DONE, JobStatus.CANCELLED)  # failed and paused ones go on some time
# In place of the digest: nobody can run it from now on, and it goes, however often that is interrupted.
_DISCARDED = "discarded"
_FILES_KEPT = dt.timedelta(days=1)


def tidy_up(should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Some of all that is to be deleted; returns whether there may be more."""
    return any(done == _AT_A_TIME or should_stop() for done, _nothing in enumerate(_all(), start=1))


def tidy(job: BulkJob) -> None:
    """Delete what a job that is over has read; what is wrong with its file stays, as its report."""
    if job.status in _OVER:
        for _batch in _delete(ImportRow.objects.filter(job=job)):
            pass


def _all() -> Iterator[None]:
    """A transaction at a time."""
    _give_up_old_previews()
    for job in BulkJob.objects.filter(status=JobStatus.CANCELLED, digest=_DISCARDED):
        for rows in (BulkJobRow.objects, RebindRow.objects, ImportRow.objects, ImportProblem.objects):
            yield from _delete(rows.filter(job=job))
        job.delete()
        yield
    read = Exists(ImportRow.objects.filter(job=OuterRef("pk")))
    for job in BulkJob.objects.filter(read, status__in=_OVER):
        yield from _delete(ImportRow.objects.filter(job=job))
    yield from _old_files()
    attempts = WebhookAttempt.objects.filter(at__lt=ledger.clock() - dt.timedelta(days=settings.ATTEMPT_DAYS))
    yield from _delete(attempts)
    yield from _delete(IdempotencyKey.objects.filter(created_at__lt=ledger.clock() - dt.timedelta(days=1)))
    yield from _delete(RateCount.objects.filter(window__lt=int(ledger.clock().timestamp()) - 3600))
    now = timezone.now()
    yield from _delete(Invitation.objects.filter(expires_at__lt=now - dt.timedelta(days=settings.INVITATION_DAYS)))
    yield from _delete(Session.objects.filter(expire_date__lt=now))


def _delete(
    found: "QuerySet[Any]",
) -> Iterator[None]:
    while keys := list(found.order_by().values_list("pk", flat=True)[:_PAGE]):
        found.filter(pk__in=keys).delete()
        yield


def _give_up_old_previews() -> None:
    now = ledger.clock()
    old = BulkJob.objects.filter(
        free(),
        status__in=_UNRUN,
        created_at__lt=now - dt.timedelta(days=settings.PREVIEW_DAYS),
    )
    why = _("Nobody ran it within %s days.") % settings.PREVIEW_DAYS
    old.update(status=JobStatus.CANCELLED, digest=_DISCARDED, error=why, finished_at=now)


def _old_files() -> Iterator[None]:
    """Uploads that are read by now, or that no job came of."""
    reading = BulkJob.objects.filter(status=JobStatus.READING).values_list("selection__file", flat=True)
    old = ImportFile.objects.filter(created_at__lt=ledger.clock() - _FILES_KEPT)
    for file in old.exclude(pk__in=[pk for pk in reading if pk]):
        parts = ImportFilePart.objects.filter(file=file)
        while keys := list(parts.order_by().values_list("pk", flat=True)[:_PARTS]):
            parts.filter(pk__in=keys).delete()
            yield
        file.delete()
        yield
