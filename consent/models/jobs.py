"""Jobs: changes of many organizations at once, seen before they happen, resumable, and undone as a whole."""

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


class BulkJob(models.Model):
    """One change of many organizations: rows frozen when it is previewed, counts kept chunk by chunk."""

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
    # What is to be: a choice, or a plan's default; '' where each row has its own.
    wanted = models.CharField(_("to be"), max_length=10, blank=True, default="")
    undoes = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="undone_by")
    selection = models.JSONField(_("selection"), default=dict)
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="")
    reference = models.CharField(_("reference"), max_length=200, blank=True, default="")
    source = models.CharField(_("where"), max_length=20)
    loosens = models.BooleanField(_("loosens"), default=False)
    digest = models.CharField(_("digest"), max_length=64, blank=True, default="")
    author = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("author"))
    # The key that it came by; its author is whoever answers for that key.
    author_key = models.ForeignKey(
        ApiKey, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("API key")
    )
    # Who let the preview run, and when: what follows is about that instant (R13).
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
    # For how long it was worked at, in milliseconds: neither while it was paused nor while nobody ran it.
    worked_ms = models.PositiveBigIntegerField(default=0)
    # reason → number, as previewed and as it came.
    preview = models.JSONField(_("preview"), default=dict)
    refusals = models.JSONField(_("refused because"), default=dict)
    # What the preview found, for whoever approves it: see `reports.Summary`.
    summary = models.JSONField(_("summary"), default=list)
    # The events it wrote lie between these ids, among others'.
    first_event = models.BigIntegerField(null=True)
    last_event = models.BigIntegerField(null=True)
    # Who runs it: until when nobody else may, and a number that grows with each runner.
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
            # Four eyes (R13), whoever writes: what loosens runs only once somebody else has approved it.
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

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def processed(self) -> int:
        return self.cursor

    @property
    def is_over(self) -> bool:
        return self.status in (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)


class BulkJobRow(models.Model):
    """One organization of a job, in the order they are worked through; `wanted` only where each row has its own."""

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
    # The setting's version when the row was previewed, 0 without a setting; kept where the job may loosen.
    version = models.PositiveIntegerField(null=True)
    refusal = models.CharField(max_length=30, blank=True, default="")

    class Meta:
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="job_row_number")]
        indexes = [models.Index(fields=["job", "refusal"], condition=~Q(refusal=""), name="job_row_refused")]

    def __str__(self) -> str:
        return f"row {self.number}"


class RebindRow(models.Model):
    """An external id, and whom it is to mean: an organization, a member of one, or nobody (it is withdrawn)."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(BulkJob, models.CASCADE, related_name="rebind_rows", db_index=False)
    number = models.PositiveIntegerField()
    external_id = models.CharField(_("external id"), max_length=LENGTH, blank=True)
    # Of a member's id the organization within which it is unique; None withdraws an organization's.
    organization = models.ForeignKey(
        Organization, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    member = models.ForeignKey(
        Member, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    of_member = models.BooleanField(default=False)
    withdraws = models.BooleanField(default=False)
    # The last binding of the id as it was previewed, and the one that the job made.
    seen = models.ForeignKey(
        Binding, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    made = models.ForeignKey(
        Binding, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    # '' as long as it is to be done, or done; else why not.
    outcome = models.CharField(max_length=30, blank=True, default="")

    class Meta:
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="rebind_row_number")]

    def __str__(self) -> str:
        return f"row {self.number}"
