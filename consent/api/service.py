"""Liveness and readiness probes, for load balancers and monitors; public."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from config.problems import Problem

from .. import triggers, wordings
from ..log import checkpoints
from ..models import Installation
from ..witness import guard

logger = logging.getLogger(__name__)


def _plain(view: Callable[[], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    @csrf_exempt  # so that a POST gets its 405, not a CSRF error
    def wrapped(request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            allow = {"Allow": "GET, HEAD"}
            return Problem(405, "method_not_allowed", _("This is read-only."), headers=allow).response()
        response = view()
        response.headers["Cache-Control"] = "no-store"
        return response

    return wrapped


@_plain
def healthz() -> HttpResponse:
    """Liveness: the process answers. Checks nothing else."""
    return JsonResponse({"status": "ok"})


@_plain
def readyz() -> HttpResponse:
    """Readiness: 200 if all checks pass, else 503. Details are only logged, because the answer is public.

    A read-only database, such as a standby, is 503 with a code of its own, `read_only`: a load balancer must not send
    requests there although nothing is broken. A database in quarantine is 200: whoever asks has to hear its “no”, and
    whoever opts out has to be heard. `log` says how the log that proves the ledger stands: nothing waits for it.
    """
    # Everything counts as failed until its check has passed: an exception leaves the rest failed.
    shown = dict.fromkeys(("database", "migrations", "triggers", "witness"), "failed")
    log = "unknown"
    try:
        shown["database"] = "read_only" if connection.is_read_only() else "ok"  # type: ignore[attr-defined]  # ours
        shown["migrations"] = _passes("unapplied migrations: %s", _unapplied() or wordings.missing())
        shown["triggers"] = _passes("the ledger's triggers: %s", triggers.problems(connection))
        shown["witness"] = _witness()
        log = str(checkpoints.standing().state)
    except Exception:  # whatever it is, the portal is not ready
        logger.exception("not ready")
    checks = shown | {"log": log}
    if "failed" in shown.values():
        return Problem(503, "not_ready", _("Not ready. See the log for the reason."), checks=checks).response()
    if shown["database"] != "ok":
        return Problem(503, "read_only", _("The database is read-only here."), checks=checks).response()
    return JsonResponse({"status": "ok", "checks": checks})


def _witness() -> str:
    """Judged anew at each call: `off` without a witness, `ok`, or `quarantine`."""
    if why := guard.check():
        logger.error("the database is in quarantine: %s", why)
        return "quarantine"
    return "ok" if settings.WITNESS or Installation.objects.current().witness_kept else "off"


def _passes(message: str, problems: list[str]) -> str:
    if problems:
        logger.error(message, "; ".join(problems))
    return "failed" if problems else "ok"


def _unapplied() -> list[str]:
    executor = MigrationExecutor(connection)
    return [str(migration) for migration, _back in executor.migration_plan(executor.loader.graph.leaf_nodes())]
