"""Uploaded files, the rows that an import has read from them, and what is wrong with these.

Retention deletes files and rows once the import is over; the problems stay, as its report.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.fields import InstantField, new_id, one_of
from accounts.models import User

from .jobs import BulkJob


class ImportTable(models.TextChoices):
    ORGANIZATIONS = "organizations", _("Organizations")
    MEMBERS = "members", _("Members")
    SUBSCRIPTIONS = "subscriptions", _("Subscriptions")
    CHOICES = "choices", _("Choices")


class ImportFile(models.Model):
    """An uploaded file, in parts, until a worker has read it. In the database, so the worker may run on any machine."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    table = models.CharField(_("table"), max_length=20, choices=ImportTable.choices)
    name = models.CharField(_("file"), max_length=200)
    size = models.BigIntegerField(_("size"), default=0)
    uploaded_by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("uploaded by"))
    created_at = InstantField(_("uploaded"))

    class Meta:
        ordering = ["-id"]
        constraints = [one_of("table", ImportTable, "import_table_known")]

    def __str__(self) -> str:
        return self.name


class ImportFilePart(models.Model):
    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(ImportFile, models.CASCADE, related_name="parts", db_index=False)
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ["file", "number"]
        constraints = [models.UniqueConstraint(fields=["file", "number"], name="import_part_number")]

    def __str__(self) -> str:
        return f"part {self.number}"


class ImportRow(models.Model):
    """One row as it was read, in order of the file; each kind of table fills the columns that it needs."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(BulkJob, models.CASCADE, related_name="import_rows", db_index=False)
    number = models.PositiveIntegerField()
    line = models.PositiveIntegerField()
    # The id that a new organization will have; in all other tables the organization that the row is about.
    organization = models.UUIDField(null=True)
    member = models.UUIDField(null=True)
    external_id = models.CharField(max_length=200, blank=True, default="")
    kind = models.CharField(max_length=10, blank=True, default="")
    status = models.CharField(max_length=10, blank=True, default="")
    folded = models.CharField(max_length=200, blank=True, default="", db_default="")
    name = models.CharField(max_length=200, blank=True, default="")
    country = models.CharField(max_length=2, blank=True, default="")
    email = models.CharField(max_length=254, blank=True, default="")
    role = models.CharField(max_length=10, blank=True, default="")
    product = models.CharField(max_length=20, blank=True, default="")
    plan = models.CharField(max_length=40, blank=True, default="")
    choice = models.CharField(max_length=10, blank=True, default="")
    since = InstantField(null=True)
    # Whether it would loosen, and the version of its setting when it was previewed (for a member's row the sum of the
    # versions of the organization's settings); 0 without a setting.
    loosens = models.BooleanField(default=False)
    version = models.PositiveBigIntegerField(null=True)
    # '' while the row is to be applied; otherwise the reason why it is not.
    outcome = models.CharField(max_length=30, blank=True, default="")

    class Meta:
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="import_row_number")]

    def __str__(self) -> str:
        return f"row {self.line}"


class ProblemKind(models.TextChoices):
    BAD = "bad", _("Bad row")
    DIFFERING = "differing", _("Left as it is")
    REFUSED = "refused", _("Refused")


class ImportProblem(models.Model):
    """What is wrong with a row: where, which value, and what to do about it."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(BulkJob, models.CASCADE, related_name="problems", db_index=False)
    line = models.PositiveIntegerField(_("row"))
    column = models.CharField(_("column"), max_length=200, blank=True)
    value = models.CharField(_("value"), max_length=100, blank=True)
    remedy = models.CharField(_("what to do"), max_length=500)
    kind = models.CharField(_("kind"), max_length=10, choices=ProblemKind.choices, default=ProblemKind.BAD)

    class Meta:
        ordering = ["job", "line", "id"]
        constraints = [one_of("kind", ProblemKind, "import_problem_kind_known")]
        indexes = [models.Index(fields=["job", "line", "id"], name="import_problem_in_order")]

    def __str__(self) -> str:
        where = f"row {self.line}, column {self.column}" if self.column else f"row {self.line}"
        value = f" “{self.value}”:" if self.value and f"“{self.value}”" not in self.remedy else ""
        return f"{where}:{value} {self.remedy}"
