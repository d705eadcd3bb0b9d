"""A job as JSON: the commands print the same as the API returns (a test compares the two)."""

import uuid
from typing import Any

from accounts.fields import rfc3339
from accounts.models import User

from ..models import BulkJob
from . import engine, reports
from .states import SHOWS_PREVIEW


def described(job: BulkJob) -> dict[str, Any]:
    """Counts are the preview's until the job runs; `rate` is rows per second of work, `eta` the seconds left."""
    numbers, progress = reports.numbers(job), engine.progress(job)
    return {
        "id": str(job.pk),
        "kind": job.kind,
        "status": job.status,
        "surface": job.surface or None,
        "plan": job.plan or None,
        "table": job.table or None,
        "choice": job.wanted or None,
        "reason": job.reason,
        "select": job.selection,
        "undoes": str(job.undoes_id) if job.undoes_id else None,
        "loosens": job.loosens,
        "digest": job.digest,
        "matched": job.matched,
        "processed": job.cursor,
        "changed": numbers.changed,
        "unchanged": numbers.unchanged,
        "refused": sum(numbers.refused.values()),
        "refused_because": numbers.refused,
        "rate": round(progress.rate, 1),
        "eta": None if progress.eta is None else round(progress.eta, 1),
        "author": _person(job.author, job.author_key_id),
        "submitter": _person(job.submitter, job.submitter_key_id) if job.submitter else None,
        "approver": _person(job.approver) if job.approver else None,
        **{name: rfc3339(getattr(job, name)) for name in ("created_at", "submitted_at", "approved_at")},
        **{name: rfc3339(getattr(job, name)) for name in ("started_at", "finished_at")},
        "error": job.error or None,
    }


def described_with_preview(job: BulkJob) -> dict[str, Any]:
    """The job; while it may not run yet, also the counts of its preview and some of its rows."""
    return described(job) | (preview(job) if job.status in SHOWS_PREVIEW else {})


def preview(job: BulkJob) -> dict[str, Any]:
    sample = []
    for row in reports.sample(job):
        told = row._asdict() | {"external_id": row.external_id or None}
        del told["since"]
        sample.append(told)
    return {"summary": job.summary, "sample": sample}


def _person(person: User, key: uuid.UUID | None = None) -> dict[str, str | None]:
    return {"id": str(person.pk), "label": person.name or person.email, "api_key": str(key) if key else None}
