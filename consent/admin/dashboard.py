"""The operators' dashboard. Its numbers come from daily sums or one indexed query each, never from a full count."""

import dataclasses
from typing import Any

from django.db.models import Exists, Min, OuterRef
from django.urls import reverse
from django.utils import timezone

from accounts.access import Actor
from accounts.models import OutgoingMessage, User
from accounts.operators import second_person

from .. import ledger
from ..jobs import approval
from ..models import Backup, BulkJob, EndpointStatus, JobStatus, OperatorRequest, Verification, WebhookEndpoint
from ..presentation import charts, honour_chart
from ..projections import runner
from ..services import operator_requests, removals
from .jobs import named, title_of

_JOBS = 5
_OPEN = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.READING)


def context(actor: Actor) -> dict[str, Any]:
    today = timezone.now().date()
    standings = charts.standings()
    open_jobs = named(BulkJob.objects.filter(status__in=_OPEN)).select_related("author").order_by("-pk")[:_JOBS]
    return {
        "waiting": _waiting(actor),
        "honour": honour_chart.clock(today),
        "shares": charts.shares(today),
        "changes": charts.changes(today),
        "standings": standings,
        # The same numbers as a table, with a row for each kind of state.
        "kinds": [
            {
                "label": parts[0].label,
                "counts": [(bar.label, part.count) for bar, part in zip(standings, parts, strict=True)],
            }
            for parts in zip(*(bar.segments for bar in standings), strict=True)
        ],
        "behind": runner.lag("rollup"),
        "jobs": [(job, title_of(job)) for job in open_jobs],
        "head": ledger.head(),
        "verification": Verification.objects.order_by("-pk").first(),
        "backup": Backup.objects.order_by("-pk").first(),
        **_removals(),
        **_delivery(),
        **_mail(),
    }


@dataclasses.dataclass(frozen=True)
class Waiting:
    """Something that waits for a second operator; `own`: this one can decide it."""

    title: str
    url: str
    by: User
    reason: str
    own: bool


def _waiting(actor: Actor) -> list[Waiting]:
    """The newest few jobs and requests that wait, first those that wait for this operator."""
    second = second_person(actor)
    jobs = named(BulkJob.objects.filter(status=JobStatus.AWAITING_APPROVAL)).select_related("author")
    own_jobs = approval.to_approve(second) if second else BulkJob.objects.none()
    requests = operator_requests.waiting().select_related("asked_by")
    own_requests = operator_requests.to_confirm(second) if second else OperatorRequest.objects.none()
    found = [_of_job(job) for job in _own_first(jobs, own_jobs)]
    found += [_of_request(asked) for asked in _own_first(requests, own_requests)]
    return sorted(found, key=lambda each: not each.own)


def _own_first(rows: Any, own: Any) -> Any:
    return rows.annotate(own=Exists(own.filter(pk=OuterRef("pk")))).order_by("-own", "-pk")[:_JOBS]


def _of_job(job: Any) -> Waiting:
    url = reverse("admin:consent_bulkjob_change", args=[job.pk])
    return Waiting(title_of(job), url, job.author, job.reason, job.own)


def _of_request(asked: Any) -> Waiting:
    url = reverse("admin:consent_operatorrequest_change", args=[asked.pk])
    return Waiting(str(asked.get_kind_display()), url, asked.asked_by, asked.reason, asked.own)


def _removals() -> dict[str, Any]:
    """How many removals from training runs are overdue, and the first few of them."""
    first = removals.most_overdue(_JOBS)
    return {"overdue": removals.overdue() if first else 0, "overdue_batches": first}


def _mail() -> dict[str, Any]:
    """The number of messages that could not be sent, and the newest few."""
    given_up = OutgoingMessage.objects.filter(given_up_at__isnull=False).defer("body")
    return {"unsent": given_up.count(), "unsent_messages": given_up.order_by("-pk")[:_JOBS]}


def _delivery() -> dict[str, Any]:
    """How many positions the slowest active endpoint is behind (None without any), and the first few paused ones."""
    slowest = WebhookEndpoint.objects.filter(status=EndpointStatus.ACTIVE).aggregate(Min("position"))["position__min"]
    paused = WebhookEndpoint.objects.filter(status=EndpointStatus.PAUSED).select_related("organization")
    return {"delivery_lag": None if slowest is None else ledger.head() - slowest, "paused": paused[:_JOBS]}
