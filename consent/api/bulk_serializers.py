"""What the API takes and shows of bulk jobs."""

from typing import Any

from rest_framework import serializers

from ..bulk import engine
from ..bulk.reports import ListedRow, SampleRow, numbers
from ..job_models import BulkJob, JobKind, JobStatus
from ..rules import Choice
from ..surfaces import SURFACES
from .fields import Input, Instant, Json, OneOf, Text


class RebindingInput(Input):
    """An external id, and whom it is to mean: an organization, or a member of it."""

    external_id = Text()
    organization = Text()
    member = Text(required=False, allow_null=True)


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
    submitter = serializers.SerializerMethodField()
    approver = serializers.SerializerMethodField()
    created_at = Instant()
    submitted_at = Instant(allow_null=True)
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

    def get_submitter(self, job: BulkJob) -> dict[str, str | None] | None:
        if job.submitter is None:
            return None
        key = str(job.submitter_key_id) if job.submitter_key_id else None
        return {"id": str(job.submitter_id), "label": job.submitter.name or job.submitter.email, "api_key": key}

    def get_approver(self, job: BulkJob) -> dict[str, str] | None:
        if job.approver is None:
            return None
        return {"id": str(job.approver_id), "label": job.approver.name or job.approver.email}

    def get_error(self, job: BulkJob) -> str | None:
        return job.error or None


class SummaryOutput(serializers.Serializer[Any]):
    """Rows that are alike; `used_…`: whether the organization's side lets its data be used."""

    plan = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()
    used_before = serializers.BooleanField(allow_null=True)
    used_after = serializers.BooleanField(allow_null=True)
    outcome = serializers.CharField()
    count = serializers.IntegerField()
    # Of an import alone.
    attested = serializers.BooleanField(required=False)
    loosens = serializers.BooleanField(required=False)


class SampleOutput(serializers.Serializer[Any]):
    """A `reports.SampleRow`."""

    organization = serializers.CharField()
    external_id = serializers.SerializerMethodField()
    name = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()
    used_before = serializers.BooleanField(allow_null=True)
    used_after = serializers.BooleanField(allow_null=True)
    outcome = serializers.CharField()

    def get_external_id(self, row: SampleRow) -> str | None:
        return row.external_id or None


class BulkJobRowOutput(serializers.Serializer[Any]):
    """A `reports.ListedRow`; what it is now and would be is there until the job runs."""

    row = serializers.IntegerField()
    organization = serializers.CharField()
    member = serializers.SerializerMethodField()
    external_id = serializers.SerializerMethodField()
    choice = serializers.SerializerMethodField()
    refusal = serializers.SerializerMethodField()
    name = serializers.CharField()
    plan = serializers.SerializerMethodField()
    before = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField()
    used_before = serializers.BooleanField(allow_null=True)
    used_after = serializers.BooleanField(allow_null=True)
    since = serializers.SerializerMethodField()

    def get_member(self, row: ListedRow) -> str | None:
        return row.member or None

    def get_external_id(self, row: ListedRow) -> str | None:
        return row.external_id or None

    def get_choice(self, row: ListedRow) -> str | None:
        return row.choice or None

    def get_refusal(self, row: ListedRow) -> str | None:
        return row.refusal or None

    def get_plan(self, row: ListedRow) -> str | None:
        return row.plan or None

    def get_before(self, row: ListedRow) -> str | None:
        return row.before or None

    def get_after(self, row: ListedRow) -> str | None:
        return row.after or None

    def get_since(self, row: ListedRow) -> str | None:
        return row.since or None


class BulkJobInput(Input):
    """A dry run, unless it says otherwise; a run names the digest of one."""

    surface = OneOf(choices=list(SURFACES), required=False)
    choice = OneOf(choices=[Choice.OPTED_OUT.value, Choice.OPTED_IN.value], required=False)
    reason = Text(required=False, allow_blank=True)
    select = Json(required=False)
    rebind = RebindingInput(many=True, required=False, allow_empty=False)
    dry_run = serializers.BooleanField(required=False, default=True)
    digest = Text(required=False)
    accept_drift = serializers.BooleanField(required=False)


class BulkJobQuery(Input):
    kind = OneOf(choices=JobKind.values, required=False)
    status = OneOf(choices=JobStatus.values, required=False)


class BulkJobRowQuery(Input):
    refused = serializers.BooleanField(required=False)


class ApproveInput(Input):
    """The digest of the preview that was looked at; where it is given it has to be the job's."""

    digest = Text(required=False)


class NothingInput(Input):
    """A verb that takes nothing."""
