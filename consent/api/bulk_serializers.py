"""Input and output of bulk jobs; the help texts are for readers of the OpenAPI description."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.external_ids import LENGTH
from accounts.models import Organization, User

from ..jobs import engine
from ..jobs.reports import numbers
from ..models import BulkJob, Choice, ImportTable, JobKind, JobStatus, ReasonCode
from ..surfaces import SURFACES
from .fields import IDENT, Input, Instant, Json, OneOf, OneOfOrNull, Output, Text, TextOrNull
from .serializers import PLAN_KEY, OptionalReason
from .vocabularies import CONSENT

DIGEST = "^[0-9a-f]{64}$"
# Bounds the arrays in the description; a body of one megabyte can't hold as many items.
MOST = 100_000
_USED = "Whether the organization's side {} its data be used; null where it has none."


class PersonOutput(Output):
    about = "Somebody who answers for a step of a job."

    id = serializers.UUIDField(help_text="The person's id.")
    label = serializers.CharField(help_text="A name to show.")  # type: ignore[assignment]
    api_key = serializers.UUIDField(allow_null=True, help_text="The id of their key by which it came; null: in person.")


def _person(user: User, key: Any = None) -> dict[str, str | None]:
    return {"id": str(user.pk), "label": user.name or user.email, "api_key": str(key) if key else None}


class Selection(Input):
    about = (
        "Which organizations: all given parts must hold, of each part any value. A single text counts as a list of one."
    )

    everything = serializers.BooleanField(required=False, help_text="`true`, alone: all organizations.")
    plan = serializers.ListField(
        child=Text(longest=PLAN_KEY),
        max_length=100,
        required=False,
        help_text="With one of these plans of the surface's product.",
    )
    kind = serializers.ListField(
        child=OneOf(choices=Organization.Kind.values), max_length=10, required=False, help_text="Of these kinds."
    )
    country = serializers.ListField(
        child=Text(longest=2),
        max_length=300,
        required=False,
        help_text="In these countries, by two letters of ISO 3166-1.",
    )
    status = serializers.ListField(
        child=OneOf(choices=Organization.Status.values),
        max_length=10,
        required=False,
        help_text="With an account of this status.",
    )
    choice = serializers.ListField(
        child=OneOf(choices=Choice.values), max_length=10, required=False, help_text="That chose so."
    )
    reason = serializers.ListField(
        child=OneOf(choices=ReasonCode.values),
        max_length=50,
        required=False,
        help_text="Whose setting is in effect for this reason.",
    )
    organizations = serializers.ListField(
        child=Text(longest=IDENT), max_length=MOST, required=False, help_text="These, by id or `external:` id."
    )
    created_from = Instant(required=False, help_text="Made at this instant or later.")
    created_until = Instant(required=False, help_text="Made before this instant.")


@extend_schema_field(Selection)
class SelectionField(Json):
    """Any JSON here; `jobs.selection.Selection.from_json` validates it. Documented as `Selection`."""


class RebindingInput(Input):
    about = "An external id, and whom it is to mean: an organization, or a member of it."

    external_id = Text(longest=LENGTH, help_text="The external id, as it is.")
    organization = Text(longest=IDENT, help_text="The organization, by id or `external:` id.")
    member = Text(
        required=False,
        allow_null=True,
        longest=IDENT,
        help_text="The member of it, by id or `external:` id; null: the organization itself.",
    )


class BulkJobOutput(Output):
    """A `BulkJob`; until the job runs, its counts are those of the preview."""

    about = "A change of many organizations at once: previewed, perhaps approved, run by a worker."

    id = serializers.UUIDField(help_text="Its id.")
    kind = OneOf(choices=JobKind.values, help_text="What it changes.")
    status = OneOf(choices=JobStatus.values, help_text="How far it is.")
    surface = OneOfOrNull(choices=list(SURFACES), help_text="Where it chooses; null for other kinds of jobs.")
    plan = TextOrNull(help_text="The plan whose default it changes; null for other kinds of jobs.")
    table = OneOfOrNull(choices=ImportTable.values, help_text="What an import fills; null for other kinds of jobs.")
    choice = OneOfOrNull(choices=CONSENT, source="wanted", help_text="What is to be; null where each row has its own.")
    reason = serializers.CharField(help_text="The reason that was given; empty where none was.")
    select = SelectionField(source="selection", help_text="Which organizations it was made for.")
    undoes = serializers.UUIDField(
        source="undoes_id", allow_null=True, help_text="The job that it takes back; null where it takes none back."
    )
    loosens = serializers.BooleanField(
        help_text="Whether it lets any data be used that is not used now; then it waits for a second operator."
    )
    digest = serializers.CharField(help_text="What names exactly this preview: run and approve the job by it.")
    matched = serializers.IntegerField(help_text="Its rows.")
    processed = serializers.IntegerField(help_text="Rows that are done.")
    changed = serializers.SerializerMethodField(help_text="Rows that were changed; until it runs: that would be.")
    unchanged = serializers.SerializerMethodField(help_text="Rows that are so already.")
    refused = serializers.SerializerMethodField(help_text="Rows that are passed over.")
    refused_because = serializers.SerializerMethodField(help_text="The same, counted by reason.")
    rate = serializers.SerializerMethodField(help_text="Rows a second.")
    eta = serializers.SerializerMethodField(help_text="Seconds to go; null where that is not known.")
    author = serializers.SerializerMethodField(help_text="Who made it.")
    submitter = serializers.SerializerMethodField(help_text="Who had it run; null until somebody has.")
    approver = serializers.SerializerMethodField(help_text="The second operator; null until one has approved it.")
    created_at = Instant(help_text="When it was previewed.")
    submitted_at = Instant(allow_null=True, help_text="When somebody had it run; null until then.")
    approved_at = Instant(allow_null=True, help_text="When it was approved; null until then.")
    started_at = Instant(allow_null=True, help_text="When a worker began; null until then.")
    finished_at = Instant(allow_null=True, help_text="When it was over; null until then.")
    error = TextOrNull(help_text="Why it failed; null where it has not.")

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

    @extend_schema_field(PersonOutput)
    def get_author(self, job: BulkJob) -> dict[str, str | None]:
        return _person(job.author, job.author_key_id)

    @extend_schema_field(PersonOutput(allow_null=True))
    def get_submitter(self, job: BulkJob) -> dict[str, str | None] | None:
        return _person(job.submitter, job.submitter_key_id) if job.submitter else None

    @extend_schema_field(PersonOutput(allow_null=True))
    def get_approver(self, job: BulkJob) -> dict[str, str | None] | None:
        return _person(job.approver) if job.approver else None


class SummaryOutput(Output):
    about = "Rows of a preview that are alike, counted."

    plan = serializers.CharField(help_text="Their plan, by its key; empty: none.")
    before = serializers.CharField(help_text="What they are now.")
    after = serializers.CharField(help_text="What they would be.")
    used_before = serializers.BooleanField(allow_null=True, help_text=_USED.format("lets"))
    used_after = serializers.BooleanField(allow_null=True, help_text=_USED.format("would let"))
    outcome = serializers.CharField(help_text="`change`, `same`, or why they are passed over.")
    count = serializers.IntegerField(help_text="How many rows are so.")
    attested = serializers.BooleanField(
        required=False, help_text="Of an import: whether they say since when it has been so."
    )
    loosens = serializers.BooleanField(
        required=False, help_text="Of an import: whether they let data be used that is not used now."
    )


class SampleOutput(Output):
    """A `reports.SampleRow`."""

    about = "A row of a preview, as an example."

    organization = serializers.CharField(help_text="The organization's id; of one to be made, empty.")
    external_id = TextOrNull(help_text="Your own id of it; null where there is none.")
    name = serializers.CharField(help_text="Its name.")
    before = serializers.CharField(help_text="What it is now.")
    after = serializers.CharField(help_text="What it would be.")
    used_before = serializers.BooleanField(allow_null=True, help_text=_USED.format("lets"))
    used_after = serializers.BooleanField(allow_null=True, help_text=_USED.format("would let"))
    outcome = serializers.CharField(help_text="`change`, `same`, or why it is passed over.")


class BulkJobPreview(BulkJobOutput):
    about = "A bulk job; until it runs, with what it would do."

    summary = SummaryOutput(
        many=True,
        required=False,
        help_text="Until it runs: its rows, counted by plan and by what they are and would be.",
    )
    sample = SampleOutput(many=True, required=False, help_text="Until it runs: some of its rows.")


class BulkJobRowOutput(Output):
    """A `reports.ListedRow`; `before` and `after` are only there until the job runs."""

    about = "A row of a bulk job."

    row = serializers.IntegerField(help_text="Its number, from 1.")
    organization = serializers.CharField(help_text="The organization's id; of one to be made, empty.")
    member = TextOrNull(help_text="The member whom an external id is to mean; null for other kinds of jobs.")
    external_id = TextOrNull(help_text="Your own id; null where there is none.")
    choice = TextOrNull(help_text="What it is to be; null where the row says nothing of it.")
    refusal = TextOrNull(help_text="Why it is passed over; null where it is not.")
    name = serializers.CharField(help_text="The organization's name.")
    plan = TextOrNull(help_text="Its plan; null once the job runs.")
    before = TextOrNull(help_text="What it is now; null once the job runs.")
    after = TextOrNull(help_text="What it would be; null once the job runs.")
    used_before = serializers.BooleanField(allow_null=True, help_text=_USED.format("lets"))
    used_after = serializers.BooleanField(allow_null=True, help_text=_USED.format("would let"))
    since = TextOrNull(help_text="Of an import: since when the row says it has been so; null where it says nothing.")


class BulkJobInput(Input):
    about = "A change to preview; or, with `dry_run` false and a digest, a preview to run."

    surface = OneOf(choices=list(SURFACES), required=False, help_text="Where to choose; needed for a preview.")
    choice = OneOf(choices=CONSENT, required=False, help_text="What to choose; needed for a preview.")
    reason = OptionalReason(help_text="Why; needed to opt in, and to give external ids to others.")
    select = SelectionField(required=False, help_text="Which organizations; needed for a preview.")
    rebind = RebindingInput(  # type: ignore[call-arg]  # of the list
        many=True,
        required=False,
        allow_empty=False,
        max_length=MOST,
        help_text="In place of surface, choice and selection: external ids to give to others than they ever meant.",
    )
    dry_run = serializers.BooleanField(
        required=False, default=True, help_text="Whether to preview only; false: run the preview that `digest` names."
    )
    digest = Text(required=False, pattern=DIGEST, longest=64, help_text="Of the preview to run.")
    accept_drift = serializers.BooleanField(
        required=False, help_text="Run the rows as previewed even where what is selected has changed since."
    )


class BulkJobQuery(Input):
    kind = OneOf(choices=JobKind.values, required=False, help_text="Only jobs of this kind.")
    status = OneOf(choices=JobStatus.values, required=False, help_text="Only jobs that are so far.")


class BulkJobRowQuery(Input):
    refused = serializers.BooleanField(required=False, help_text="True: only the rows that are passed over.")


class ApproveInput(Input):
    """`digest` is optional; where given it must equal the job's."""

    about = "Which preview is approved."

    digest = Text(
        required=False,
        pattern=DIGEST,
        longest=64,
        help_text="Of the preview that was looked at: another one is refused.",
    )


class NothingInput(Input):
    """The body of an action without input: an empty object."""

    about = "Nothing: send `{}`."
