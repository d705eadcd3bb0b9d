"""The operators' dashboard. Its numbers come from daily sums or one indexed query each, never from a full count."""

from typing import Any

from django.db.models import Min
from django.utils import timezone

from accounts.models import OutgoingMessage

from .. import ledger
from ..models import BulkJob, EndpointStatus, JobStatus, Verification, WebhookEndpoint
from ..presentation import charts
from ..projections import runner
from ..services import operator_requests
from .jobs import named, title_of

_JOBS = 5
_OPEN = (JobStatus.AWAITING_APPROVAL, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.READING)


def context() -> dict[str, Any]:
    today = timezone.now().date()
    bars, sources = charts.changes(today)
    standings = charts.standings()
    open_jobs = named(BulkJob.objects.filter(status__in=_OPEN)).select_related("author").order_by("-pk")[:_JOBS]
    return {
        "shares": charts.shares(today),
        "changes": bars,
        "sources": sources,
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
        "requests": operator_requests.waiting().count(),
        "head": ledger.head(),
        "verification": Verification.objects.order_by("-pk").first(),
        **_delivery(),
        **_mail(),
    }


def _mail() -> dict[str, Any]:
    """The number of messages that could not be sent, and the newest few."""
    given_up = OutgoingMessage.objects.filter(given_up_at__isnull=False).defer("body")
    return {"unsent": given_up.count(), "unsent_messages": given_up.order_by("-pk")[:_JOBS]}


def _delivery() -> dict[str, Any]:
    """How many positions the slowest active endpoint is behind (None without any), and the first few paused ones."""
    slowest = WebhookEndpoint.objects.filter(status=EndpointStatus.ACTIVE).aggregate(Min("position"))["position__min"]
    paused = WebhookEndpoint.objects.filter(status=EndpointStatus.PAUSED).select_related("organization")
    return {"delivery_lag": None if slowest is None else ledger.head() - slowest, "paused": paused[:_JOBS]}
