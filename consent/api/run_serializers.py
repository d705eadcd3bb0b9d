"""Shapes of training runs and removals; the help texts are for readers of the OpenAPI description."""

import hashlib
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.catalogue import Product
from accounts.fields import from_micros

from .. import rules
from ..models import RemovalBatch, RemovalState, TrainingRun
from ..services import run_manifests
from ..services.filter_reports import MAX_FILES
from ..services.filter_reports import REASONS as RECORD_REASONS
from ..services.layers import REASON_LENGTH
from ..services.runs import ID_LENGTH, MAX_REPORTS, NAME_LENGTH
from .fields import Input, Instant, Json, ListOf, OneOf, Output, Text, TextOrNull
from .serializers import length_of
from .vocabularies import LEVELS

REASONS = [reason.value for reason in rules.Reason]
_LARGEST = 2**63 - 1
SHA256 = "^[0-9a-f]{64}$"
_MICROS = "in microseconds since 1970 UTC"


def _sha256(help_text: str) -> serializers.RegexField:
    return serializers.RegexField(SHA256, help_text=help_text)


def _number(help_text: str, **named: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0, max_value=_LARGEST, help_text=help_text, **named)


class RunSnapshotOutput(Output):
    about = "A snapshot of consent that data was filtered by."

    position = _number("The position of the ledger that it holds.")
    decided_at = serializers.SerializerMethodField(help_text="The instant that it is about.")
    manifest_sha256 = _sha256("The SHA-256 of its manifest.")

    @extend_schema_field(Instant())
    def get_decided_at(self, snapshot: dict[str, Any]) -> str:
        return Instant().to_representation(from_micros(snapshot["decided_at"]))


class RecordCountOutput(Output):
    about = "How many records got one answer."

    product = TextOrNull(help_text="The product that the records named; null: none.")
    data_kind = TextOrNull(help_text="The kind of data that they named; null: none.")
    reason = OneOf(choices=RECORD_REASONS, allow_null=True, help_text="Why they are not used; null: they are.")
    rows = _number("How many there are.")


class RunFileOutput(Output):
    about = "A file of records that a run may use."

    name = serializers.CharField(help_text="Its name.")
    rows = _number("How many records it has.")
    size = _number("How many bytes it has.")
    sha256 = _sha256("Its SHA-256.")
    position = _number("The position of the snapshot that it was filtered by.")


class RunOutput(Output):
    about = "A training run: what a model was trained on."

    id = serializers.UUIDField(help_text="Its id.")
    name = serializers.CharField(help_text="Its name.")
    external_id = TextOrNull(help_text="Your own id of it; null: none.")
    purpose = serializers.CharField(help_text="What it is for; may be empty.")
    snapshot_position = _number("The lowest position that its data was filtered at: removals begin after it.")
    last_position = _number("The highest position that its data was filtered at.")
    snapshots = RunSnapshotOutput(many=True, help_text="What its data was filtered by.")
    dataset_digest = _sha256("The SHA-256 that names its data: of its files' names, rows, digests and sizes.")
    manifest_sha256 = serializers.SerializerMethodField(help_text="The SHA-256 of its signed manifest.")
    counts = RecordCountOutput(many=True, help_text="How many records are used, and why others are not.")
    allowed = _number("How many records are used.")
    denied = _number("How many records are not.")
    registered_at = Instant(help_text="When it was registered.")
    retired_at = serializers.SerializerMethodField(help_text="When it was retired; null while it is in use.")

    def get_manifest_sha256(self, run: TrainingRun) -> str:
        return hashlib.sha256(run.manifest.encode()).hexdigest()

    @extend_schema_field(Instant(allow_null=True))
    def get_retired_at(self, run: TrainingRun) -> str | None:
        return Instant().to_representation(run.retirement.retired_at) if run.is_retired else None


class RunCheckpointOutput(Output):
    about = "A checkpoint of the log, which covers the position that a run rests on."

    log = serializers.CharField(source="claimed.origin", help_text="The origin of the log.")
    size = serializers.IntegerField(
        source="claimed.size", min_value=1, max_value=_LARGEST, help_text="How many events the log had."
    )
    note = serializers.CharField(help_text="The checkpoint as it was signed.")


class RunWithFiles(RunOutput):
    about = "A training run, with its files and what stands behind it."

    files = RunFileOutput(many=True, help_text="The files of its data.")
    checkpoint = serializers.SerializerMethodField(
        help_text="The checkpoint of the log that its manifest carries; null: no log was kept, or no checkpoint "
        "covered it yet when it was registered."
    )

    @extend_schema_field(RunCheckpointOutput(allow_null=True))
    def get_checkpoint(self, run: TrainingRun) -> Any:
        found = run_manifests.checkpoint_of(run)
        return RunCheckpointOutput(found).data if found and found.claimed else None


class SignatureOutput(Output):
    about = "A signature of a manifest."

    keyid = serializers.CharField(help_text="The first 16 hexadecimal digits of the SHA-256 of the public key.")
    sig = serializers.CharField(help_text="The signature, in Base64.")


class ManifestOutput(Output):
    about = "A DSSE envelope; its payload is an in-toto statement of version 1."

    payload = serializers.CharField(help_text="The statement, in Base64.")
    payloadType = serializers.CharField(help_text="Always `application/vnd.in-toto+json`.")  # noqa: N815
    signatures = SignatureOutput(many=True, help_text="Its signatures.")


# The report of the filter is described by shapes of answers, which leave room for what else is in it.


class ReportSnapshot(Output):
    about = "The snapshot that the filter read."

    position = _number("Its position.")
    decided_at = serializers.IntegerField(
        min_value=0, max_value=_LARGEST, help_text=f"The instant that it is about, {_MICROS}."
    )
    manifest_sha256 = _sha256("The SHA-256 of its manifest.")


class ReportFile(Output):
    about = "A file that the filter read or wrote."

    name = serializers.CharField(max_length=500, help_text="Its name.")
    rows = _number("How many records it has.")
    size = _number("How many bytes it has.")
    sha256 = _sha256("Its SHA-256.")


class ReportOutputs(Output):
    about = "What the filter wrote."

    allowed = ReportFile(many=True, max_length=MAX_FILES, help_text="The files of records that may be used.")  # type: ignore[call-arg]
    denied = ReportFile(many=True, max_length=MAX_FILES, help_text="The files that say which may not, and why.")  # type: ignore[call-arg]


class ReportCount(Output):
    about = "How many records got one answer of the filter."

    product = serializers.CharField(allow_null=True, max_length=500, help_text="The product that the records named.")
    data_kind = serializers.CharField(allow_null=True, max_length=500, help_text="The kind of data that they named.")
    reason = OneOf(choices=RECORD_REASONS, allow_null=True, help_text="Why they may not be used; null: they may.")
    rows = _number("How many there are.")


class FilterReport(Output):
    about = "A report of the filter of records, as it writes it; what else is in it is passed over."

    format = serializers.IntegerField(min_value=1, max_value=1, help_text="The format of the report: 1.")
    snapshot = ReportSnapshot(help_text="The snapshot that the filter read.")
    inputs = ReportFile(many=True, max_length=MAX_FILES, help_text="The files that it read.")  # type: ignore[call-arg]
    outputs = ReportOutputs(help_text="The files that it wrote.")
    counts = ReportCount(many=True, max_length=MAX_FILES, help_text="How many records got which answer.")  # type: ignore[call-arg]
    read = _number("How many records it read.")
    allowed = _number("How many of them may be used.")
    denied = _number("How many of them may not.")


@extend_schema_field(FilterReport)
class ReportField(Json):
    """Any JSON here; `services.filter_reports` validates it. Documented as `FilterReport`."""


class RunInput(Input):
    about = "A run to register."

    name = Text(longest=NAME_LENGTH, help_text="Its name, for people.")
    external_id = Text(
        required=False,
        allow_null=True,
        longest=ID_LENGTH,
        help_text="Your own id of it. Sent again with the same data it answers with the run that there is.",
    )
    purpose = Text(required=False, allow_blank=True, longest=REASON_LENGTH, help_text="What it is for.")
    reports = ListOf(
        child=ReportField(),
        allow_empty=False,
        max_length=MAX_REPORTS,
        help_text="The reports of the filter of records, as it wrote them: the run's data is what they allowed.",
    )


class RetireInput(Input):
    about = "Why a run is retired."

    reason = Text(longest=REASON_LENGTH, help_text="Why its model is no longer in use.")


class EntryOutput(Output):
    about = (
        "What of the records of one key and product may be kept: those collected from `keep_from` on, and before "
        "`keep_until`. Of several entries of a key, that with the highest position holds."
    )

    level = OneOf(
        choices=LEVELS, vocabulary="RemovalLevel", help_text="Whether the key is an organization or a member."
    )
    organization = serializers.UUIDField(help_text="The organization, as in `consent_organization` of the records.")
    member = serializers.UUIDField(
        allow_null=True, help_text="The member, as in `consent_member` of the records; null: all of the organization."
    )
    product = OneOf(choices=Product.values, help_text="The product.")
    keep_from = serializers.IntegerField(
        allow_null=True, help_text=f"Keep what was collected at this instant or later, {_MICROS}; null: keep nothing."
    )
    keep_until = serializers.IntegerField(
        allow_null=True, help_text=f"Of that, keep what was collected before this instant, {_MICROS}; null: all."
    )
    reason = OneOf(choices=REASONS, help_text="Why the rest may not be kept.")
    position = _number("The position of the event that it rests on.")


class EntryCountOutput(Output):
    about = "How many entries of a removal are alike."

    level = OneOf(
        choices=LEVELS, vocabulary="RemovalLevel", help_text="Whether their keys are organizations or members."
    )
    product = OneOf(choices=Product.values, help_text="Their product.")
    reason = OneOf(choices=REASONS, help_text="Their reason.")
    entries = _number("How many there are.")


class AcknowledgementOutput(Output):
    about = "What was said of a removal."

    removed = _number("How many records were removed.")
    verified = serializers.BooleanField(help_text="Whether a report of the filter came with it.")
    evidence = serializers.CharField(help_text="A digest, or another proof; may be empty.")
    note = serializers.CharField(help_text="What was said of it; may be empty.")
    acknowledged_at = Instant(help_text="When it was said.")


class RemovalBatchOutput(Output):
    """The context needs `now`."""

    about = "A removal: what has to go from a run because of the events after one position, up to another."

    id = serializers.UUIDField(help_text="Its id.")
    run = serializers.UUIDField(source="run_id", help_text="The run.")
    number = serializers.IntegerField(min_value=1, help_text="Its number among those of the run.")
    from_position = _number("It is about the events after this position.")
    to_position = _number("It is about the events up to this position.")
    entries = _number("How many entries it has.")
    counts = EntryCountOutput(many=True, help_text="How many entries of each sort it has.")
    digest = _sha256("The SHA-256 of its entries as JSON Lines, as the command `removals` writes them.")
    issued_at = Instant(help_text="When it was issued.")
    due_at = Instant(help_text="When it has to be acknowledged.")
    state = serializers.SerializerMethodField(help_text="How it stands.")
    acknowledgement = serializers.SerializerMethodField(help_text="What was said of it; null: nothing yet.")

    @extend_schema_field(OneOf(choices=RemovalState.values))
    def get_state(self, batch: RemovalBatch) -> RemovalState:
        return batch.state(self.context["now"])

    @extend_schema_field(AcknowledgementOutput(allow_null=True))
    def get_acknowledgement(self, batch: RemovalBatch) -> Any:
        said = getattr(batch, "acknowledgement", None)
        return None if said is None else AcknowledgementOutput(said).data


class IssuedOutput(Output):
    about = "What looking for removals came to."

    batch = RemovalBatchOutput(
        allow_null=True, help_text="The removal that was issued; null: nothing has to go since the last one."
    )


class EntryQuery(Input):
    batch = serializers.UUIDField(required=False, help_text="Only the entries of the removal with this id.")


class Whole(serializers.IntegerField):
    """A whole number; unlike DRF's field it refuses a number as text, and `1.0`."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class AcknowledgeInput(Input):
    about = "What came of a removal."

    removed = Whole(
        min_value=0, max_value=_LARGEST, help_text="How many records were removed; 0 where the data had none of them."
    )
    evidence = Text(
        required=False,
        allow_blank=True,
        longest=200,
        help_text="A digest of what is left, for example.",
    )
    note = Text(required=False, allow_blank=True, longest=length_of(TrainingRun, "purpose"), help_text="A remark.")
    report = ReportField(
        required=False,
        help_text="The report of filtering what is left once more, by a snapshot at or after the removal's end. It has "
        "to deny nothing; then the acknowledgement is verified.",
    )
