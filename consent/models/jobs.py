"""Jobs: changes of many organizations at once, with a preview; they can be resumed, and undone as a whole."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.external_ids import LENGTH
from accounts.fields import InstantField, new_id, one_of
from accounts.models import ApiKey, Binding, Member, Organization, User

from ..surfaces import ORGANIZATION_SURFACES


class JobKind(models.TextChoices):
    CHOICE = "choice", _("Choice")
    PLAN_DEFAULT = "plan_default", _("Default of a plan")
    UNDO = "undo", _("Undo")
    IMPORT = "import", _("Import")
    REBIND = "rebind", _("External ids moved to others")


class JobStatus(models.TextChoices):
    READING = "reading", _("Its file is being read, nothing changed yet")
    PREVIEWED = "previewed", _("Previewed, nothing changed yet")
    AWAITING_APPROVAL = "awaiting_approval", _("Waiting for a second operator")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Stopped")


UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)
# OVER: nothing runs any more, but a failed job can be resumed. ENDED: it can't be.
OVER = (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)
ENDED = (JobStatus.DONE, JobStatus.CANCELLED)


class BulkJob(models.Model):
    """One change of many organizations: its rows are fixed by the preview, its counts updated after each chunk."""

    Kind = JobKind
    Status = JobStatus

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=JobKind.choices)
    status = models.CharField(_("status"), max_length=20, choices=JobStatus.choices, default=JobStatus.PREVIEWED)
    # Which table an import fills.
    table = models.CharField(_("table"), max_length=20, blank=True, default="")
    product = models.CharField(_("product"), max_length=20, blank=True, default="")
    surface = models.CharField(
        _("surface"), max_length=40, blank=True, choices=[(s.key, s.label) for s in ORGANIZATION_SURFACES]
    )
    plan = models.CharField(_("plan"), max_length=40, blank=True, default="")
    # The new value: a choice, or a plan's default; '' if each row has its own.
    wanted = models.CharField(_("to be"), max_length=10, blank=True, default="")
    undoes = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="undone_by")
    selection = models.JSONField(_("selection"), default=dict)
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="")
    reference = models.CharField(_("reference"), max_length=200, blank=True, default="")
    source = models.CharField(_("where"), max_length=20)
    loosens = models.BooleanField(_("loosens"), default=False)
    digest = models.CharField(_("digest"), max_length=64, blank=True, default="")
    author = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("author"))
    # The API key that made the request, if any; the author is then the person responsible for that key.
    author_key = models.ForeignKey(
        ApiKey, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("API key")
    )
    # Who submitted the preview, and when: whoever approves it must have been an operator by that instant (R13).
    submitter = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("submitted by")
    )
    submitter_key = models.ForeignKey(ApiKey, models.PROTECT, null=True, blank=True, related_name="+")
    submitted_at = InstantField(_("submitted"), null=True)
    approver = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("approver")
    )
    created_at = InstantField(_("created"))
    approved_at = InstantField(_("approved"), null=True)
    started_at = InstantField(_("started"), null=True)
    finished_at = InstantField(_("finished"), null=True)
    # The last row done; the same transaction moves it and changes the rows.
    cursor = models.PositiveIntegerField(default=0)
    matched = models.PositiveIntegerField(_("matched"), default=0)
    changed = models.PositiveIntegerField(_("changed"), default=0)
    unchanged = models.PositiveIntegerField(_("already so"), default=0)
    refused = models.PositiveIntegerField(_("refused"), default=0)
    # How long workers spent on it, in milliseconds, without the time when it was paused or nobody ran it.
    worked_ms = models.PositiveBigIntegerField(default=0)
    # Reason → number of rows: in the preview, and refused in the run.
    preview = models.JSONField(_("preview"), default=dict)
    refusals = models.JSONField(_("refused because"), default=dict)
    # Lines of the preview, counted, for whoever approves it: see `rows.preview`.
    summary = models.JSONField(_("summary"), default=list)
    # The events that it wrote lie between these ids, with events of other writers among them.
    first_event = models.BigIntegerField(null=True)
    last_event = models.BigIntegerField(null=True)
    # Lease and fence: until when no other worker may run it, and a number that grows with each runner.
    leased_until = InstantField(null=True)
    fence = models.PositiveIntegerField(default=0)
    error = models.CharField(_("error"), max_length=500, blank=True, default="")

    class Meta:
        verbose_name = _("bulk job")
        verbose_name_plural = _("bulk jobs")
        ordering = ["-id"]
        constraints = [
            one_of("kind", JobKind, "job_kind_known"),
            one_of("status", JobStatus, "job_status_known"),
            # A job that loosens runs only after another person has approved it (R13), whatever code writes the row.
            models.CheckConstraint(condition=~Q(approver=F("author")), name="job_approver_is_not_author"),
            models.CheckConstraint(condition=~Q(approver=F("submitter")), name="job_approver_is_not_submitter"),
            models.CheckConstraint(
                condition=Q(loosens=False)
                | Q(approver__isnull=False)
                | Q(
                    status__in=[
                        JobStatus.READING,
                        JobStatus.PREVIEWED,
                        JobStatus.AWAITING_APPROVAL,
                        JobStatus.CANCELLED,
                    ]
                ),
                name="job_that_loosens_is_approved",
            ),
            models.CheckConstraint(
                condition=Q(loosens=False)
                | Q(submitter__isnull=False, submitted_at__isnull=False)
                | Q(status__in=[JobStatus.READING, JobStatus.PREVIEWED, JobStatus.CANCELLED]),
                name="job_that_loosens_is_submitted",
            ),
        ]
        # For what is open, and what waits for approval, among many that are over.
        indexes = [models.Index(fields=["status", "id"], name="job_status")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def processed(self) -> int:
        return self.cursor

    @property
    def is_over(self) -> bool:
        return self.status in OVER


class BulkJobRow(models.Model):
    """One organization of a job; `number` is the order of work, `wanted` is filled only if each row has its own."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(BulkJob, models.CASCADE, related_name="rows", db_index=False)
    number = models.PositiveIntegerField()
    organization = models.ForeignKey(
        Organization, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    wanted = models.CharField(max_length=10, blank=True, default="")
    # For an undo: the carry to go back to, and the event that is undone.
    carry = models.CharField(max_length=40, blank=True, default="")
    event = models.ForeignKey(
        "ConsentEvent", models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    # The setting's version when the row was previewed, 0 without a setting; None unless it opts in or undoes.
    version = models.PositiveIntegerField(null=True)
    refusal = models.CharField(max_length=30, blank=True, default="")

    class Meta:
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="job_row_number")]
        indexes = [models.Index(fields=["job", "refusal"], condition=~Q(refusal=""), name="job_row_refused")]

    def __str__(self) -> str:
        return f"row {self.number}"


class RebindRow(models.Model):
    """An external id and its new subject: an organization, a member of one, or nobody (it is withdrawn)."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(BulkJob, models.CASCADE, related_name="rebind_rows", db_index=False)
    number = models.PositiveIntegerField()
    external_id = models.CharField(_("external id"), max_length=LENGTH, blank=True)
    # The organization that the id is to mean, or whose member; a member's id is unique within it.
    organization = models.ForeignKey(
        Organization, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    member = models.ForeignKey(
        Member, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    of_member = models.BooleanField(default=False)
    withdraws = models.BooleanField(default=False)
    # The last binding of the id at the preview, and the binding that the job made.
    seen = models.ForeignKey(
        Binding, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    made = models.ForeignKey(
        Binding, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    # '' until the row is worked on; then what came of it.
    outcome = models.CharField(max_length=30, blank=True, default="")

    class Meta:
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="rebind_row_number")]

    def __str__(self) -> str:
        return f"row {self.number}"
