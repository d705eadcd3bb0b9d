"""E-mail about jobs: to those who may approve one that waits, and to those whose job failed."""

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.operators import second_people

from ..models import BulkJob, JobKind
from ..notices.catalogue import Notice
from ..notices.sending import portal_url, send
from .approval import involved_in


def tell_approvers(job: BulkJob) -> None:
    """Mail every other operator who may approve the job; call it in the transaction that submits it."""
    others = second_people(asked_at=job.submitted_at, involved=involved_in(job))
    send(
        Notice.WAITING,
        [person.email for person in others],
        _("A job waits for a second operator"),
        what=JobKind(job.kind).label,
        rows=job.matched,
        by=job.submitter,
        reason=job.reason,
        url=_page_of(job),
    )


def tell_failed(job: BulkJob) -> None:
    """Mail those who wrote and submitted the job; with an API key, the person responsible for it."""
    involved = [pk for pk in (job.author_id, job.submitter_id) if pk]
    people = User.objects.filter(pk__in=involved, is_active=True)
    send(
        Notice.JOB_FAILED,
        people.order_by("pk").values_list("email", flat=True),
        _("A job failed"),
        what=JobKind(job.kind).label,
        done=job.cursor,
        rows=job.matched,
        url=_page_of(job),
    )


def _page_of(job: BulkJob) -> str:
    return portal_url("admin:consent_bulkjob_change", job.pk)
