"""Metrics for Prometheus: decisions by this process, and the state of the ledger, bulk jobs and webhooks.

Counters belong to one process; the gauges are queried from the database at each scrape.
"""

import functools
import ipaddress
from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from accounts.authentication import InvalidKey, key_actor
from config.problems import Problem

from .. import honour_clock, ledger
from ..log import checkpoints
from ..models import Backup, BulkJob, CoolingOff, EndpointStatus, Installation, WebhookEndpoint
from ..services import removals
from ..witness import guard
from .base import invalid_key, unauthorized

registry = CollectorRegistry()
_FRESH = {"Cache-Control": "no-store"}
# Prefixes of headers that proxies add: a request with any of them was forwarded.
_PASSED_ON = (
    "HTTP_FORWARDED", "HTTP_X_FORWARDED", "HTTP_X_ORIGINAL", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP", "HTTP_X_CLUSTER",
    "HTTP_TRUE_CLIENT_IP", "HTTP_CLIENT_IP", "HTTP_CF_", "HTTP_FASTLY_", "HTTP_X_ENVOY_", "HTTP_VIA",
)  # fmt: skip
_DECISIONS = Counter(
    "consent_decisions", "Questions answered, by answer and reason.", ["allowed", "reason"], registry=registry
)


def count_decision(allowed: bool, reason: str, number: int = 1) -> None:
    _decided(allowed, reason).inc(number)


@functools.cache  # there are few, and `labels` takes longer than to count
def _decided(allowed: bool, reason: str) -> Counter:
    return _DECISIONS.labels("true" if allowed else "false", reason)


class _Standing(Collector):
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("consent_ledger_head", "The last position of the ledger.", ledger.head())
        yield GaugeMetricFamily("consent_ledger_pending", "Events without a position yet.", ledger.pending())
        jobs = GaugeMetricFamily("consent_jobs", "Bulk jobs, by status.", labels=["status"])
        for status, count in BulkJob.objects.order_by().values_list("status").annotate(Count("pk")):
            jobs.add_metric([status], count)
        yield jobs
        endpoints = GaugeMetricFamily("consent_webhooks", "Webhooks, by status.", labels=["status"])
        for status, count in WebhookEndpoint.objects.order_by().values_list("status").annotate(Count("pk")):
            endpoints.add_metric([status], count)
        yield endpoints
        days = GaugeMetricFamily(
            "consent_cooling_off_days", "How many days old data has to be before it is used.", labels=["product"]
        )
        for product, number in CoolingOff.objects.in_force().items():
            days.add_metric([product], number)
        yield days
        # A paused endpoint falls behind on purpose, so it does not count as lag.
        active = WebhookEndpoint.objects.filter(status=EndpointStatus.ACTIVE)
        furthest = active.aggregate(first=Min("position"))["first"]
        lag = 0 if furthest is None else ledger.head() - furthest
        yield from _of_log()
        yield from _of_consumers()
        yield GaugeMetricFamily("consent_webhook_lag", "Events that the webhook furthest behind has to get.", lag)
        yield from _of_backups()
        yield from _of_witness()
        late = "Removals from training runs that nobody acknowledged in time."
        yield GaugeMetricFamily("consent_removal_batches_overdue", late, removals.overdue())


def _of_log() -> Iterator[Metric]:
    found = checkpoints.standing()
    states = GaugeMetricFamily("consent_log_state", "How the log stands: 1 for its state.", labels=["state"])
    for state in checkpoints.State:
        states.add_metric([state], float(state is found.state))
    yield states
    if found.origin:
        text = "Number of the origin under which the log is signed; a restore that is adopted begins the next."
        yield GaugeMetricFamily("consent_log_origin", text, found.origin)
    yield GaugeMetricFamily("consent_log_size", "Events in the log.", found.size)
    yield GaugeMetricFamily("consent_log_unsigned", "Events that no checkpoint has yet.", found.waiting)


def _of_consumers() -> Iterator[Metric]:
    standings, now = honour_clock.waiting(), ledger.clock()
    yield GaugeMetricFamily("consent_consumers", "Consumers.", len({each.dataset.consumer_id for each in standings}))
    overdue = {each.dataset.consumer_id for each in standings if each.is_overdue(now)}
    yield GaugeMetricFamily("consent_consumers_overdue", "Consumers that miss the service level.", len(overdue))
    oldest = max(((now - each.since).total_seconds() for each in standings if each.since), default=0)
    text = "Age of the oldest event that a consumer has not said to have applied."
    yield GaugeMetricFamily("consent_honour_oldest_seconds", text, oldest)


def _of_backups() -> Iterator[Metric]:
    """Nothing while no backup is known, so that an alert can tell that from a fresh one."""
    last = Backup.objects.order_by("-pk").values_list("at", flat=True).first()
    if last is not None:
        age = max(0.0, (ledger.clock() - last).total_seconds())
        yield GaugeMetricFamily("consent_backup_age_seconds", "Age of the last backup that was noted.", age)


def _of_witness() -> Iterator[Metric]:
    text = "Whether this database may be older than what was witnessed, so that nothing is allowed: 1 or 0."
    yield GaugeMetricFamily("portal_quarantine", text, int(guard.quarantined()))
    installation = Installation.objects.current()
    if installation.witness_kept:  # nothing without a witness, so that an alert can tell
        behind = ledger.head() > installation.witnessed_position or ledger.pending() > 0
        since = installation.witnessed_at
        lag = max(0.0, (ledger.clock() - since).total_seconds()) if behind and since else 0
        yield GaugeMetricFamily("portal_witness_lag_seconds", "For how long events have not been witnessed.", lag)


registry.register(_Standing())


@csrf_exempt  # so that a POST gets its 405, not a CSRF error
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics, for an operator's API key, or without one for a client on this machine."""
    if request.method not in ("GET", "HEAD"):
        return Problem(405, "method_not_allowed", _("This is read-only."), headers={"Allow": "GET, HEAD"}).response()
    if problem := _refused(request):
        return problem.response()
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST, headers=_FRESH)


def _refused(request: HttpRequest) -> Problem | None:
    try:
        actor = key_actor(request)
    except InvalidKey:
        return invalid_key()
    if actor is not None:
        return None if actor.is_operator else Problem(403, "forbidden", _("You may not do this here."))
    if is_local(request):
        return None
    return unauthorized("not_authenticated", _("Say who is asking: an operator's API key."))


def is_local(request: HttpRequest) -> bool:
    """Whether the client runs on this machine and the request was not forwarded; in doubt False.

    Behind a proxy every request comes from the proxy's address, so none counts as local, whatever its headers say. A
    request with a proxy's header was forwarded, even if the settings name no proxy.
    """
    if settings.BEHIND_PROXY or any(name.startswith(_PASSED_ON) for name in request.META):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:  # a Unix socket has no IP address
        return False
