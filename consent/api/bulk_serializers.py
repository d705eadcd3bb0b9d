"""What the API takes and shows of bulk jobs."""

from typing import Any

from rest_framework import serializers

from ..bulk import engine
from ..bulk.reports import numbers
from ..job_models import BulkJob, BulkJobRow, JobKind, JobStatus
from ..rules import Choice
from ..surfaces import SURFACES
from .fields import Input, Instant, OneOf, Text


class BulkJobOutput(serializers.Serializer[Any]):
    """Counts are the preview's until the job runs; `rate` is rows a second, `eta` seconds to go."""

    id = serializers.CharField()
    kind = serializers.CharField()
    status = serializers.CharField()
    surface = serializers.SerializerMethodField()
    plan = serializers.SerializerMethodField()
    table = serializers.SerializerMethodField()
    choice = serializers.SerializerMethodField()
    reason = serializers.CharField()
    select = serializers.JSONField(source="selection")
    undoes = serializers.SerializerMethodField()
    loosens = serializers.BooleanField()
    digest = serializers.CharField()
    matched = serializers.IntegerField()
    processed = serializers.IntegerField()
    changed = serializers.SerializerMethodField()
    unchanged = serializers.SerializerMethodField()
    refused = serializers.SerializerMethodField()
    refused_because = serializers.SerializerMethodField()
    rate = serializers.SerializerMethodField()
    eta = serializers.SerializerMethodField()
    author = serializers.SerializerMethodField()
    approver = serializers.SerializerMethodField()
    created_at = Instant()
    approved_at = Instant(allow_null=True)
    started_at = Instant(allow_null=True)
    finished_at = Instant(allow_null=True)
    error = serializers.SerializerMethodField()

    def get_surface(self, job: BulkJob) -> str | None:
        return job.surface or None

    def get_plan(self, job: BulkJob) -> str | None:
        return job.plan or None

    def get_table(self, job: BulkJob) -> str | None:
        return job.table or None

    def get_choice(self, job: BulkJob) -> str | None:
        return job.wanted or None

    def get_undoes(self, job: BulkJob) -> str | None:
        return str(job.undoes_id) if job.undoes_id else None

    def get_changed(self, job: BulkJob) -> int:
        return numbers(job).changed

    def get_unchanged(self, job: BulkJob) -> int:
        return numbers(job).unchanged

    def get_refused(self, job: BulkJob) -> int:
        return sum(numbers(job).refused.values())

    def get_refused_because(self, job: BulkJob) -> dict[str, int]:
        return numbers(job).refused

    def get_rate(self, job: BulkJob) -> float:
        return round(engine.progress(job).rate, 1)

    def get_eta(self, job: BulkJob) -> float | None:
        eta = engine.progress(job).eta
        return None if eta is None else round(eta, 1)

    def get_author(self, job: BulkJob) -> dict[str, str | None]:
        """Who answers for it; `api_key` where it came by a key of theirs."""
        key = str(job.author_key_id) if job.author_key_id else None
        return {"id": str(job.author_id), "label": job.author.name or job.author.email, "api_key": key}

    def get_approver(self, job: BulkJob) -> dict[str, str] | None:
        if job.approver is None:
            return None
        return {"id": str(job.approver_id), "label": job.approver.name or job.approver.email}

    def get_error(self, job: BulkJob) -> str | None:
        return job.error or None


class SampleOutput(serializers.Serializer[Any]):
    """A `rows.Sample`."""

    organization = serializers.CharField(source="organization.pk")
    external_id = serializers.CharField(source="organization.external_id", allow_null=True)
    name = serializers.CharField(source="organization.name")
    before = serializers.CharField()
    after = serializers.CharField()
    outcome = serializers.CharField()


class BulkJobRowOutput(serializers.Serializer[Any]):
    """The context's `choice` is what the job makes of all its rows, where each has none of its own."""

    row = serializers.IntegerField(source="number")
    organization = serializers.CharField(source="organization_id")
    external_id = serializers.CharField(source="organization.external_id", allow_null=True)
    choice = serializers.SerializerMethodField()
    refusal = serializers.SerializerMethodField()

    def get_choice(self, row: BulkJobRow) -> str | None:
        return row.wanted or self.context["choice"] or None

    def get_refusal(self, row: BulkJobRow) -> str | None:
        return row.refusal or None


class BulkJobInput(Input):
    """A dry run, unless it says otherwise; a run names the digest of one."""

    surface = OneOf(choices=list(SURFACES), required=False)
    choice = OneOf(choices=[Choice.OPTED_OUT.value, Choice.OPTED_IN.value], required=False)
    reason = Text(required=False, allow_blank=True)
    select = serializers.JSONField(required=False)
    dry_run = serializers.BooleanField(required=False, default=True)
    digest = Text(required=False)
    accept_drift = serializers.BooleanField(required=False)


class BulkJobQuery(Input):
    kind = OneOf(choices=JobKind.values, required=False)
    status = OneOf(choices=JobStatus.values, required=False)


class BulkJobRowQuery(Input):
    refused = serializers.BooleanField(required=False)


class NothingInput(Input):
    """A verb that takes nothing."""
