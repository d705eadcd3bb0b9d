"""Training runs: what a model was trained on, what has to be removed from it since, and what came of that.

Rows are added, and never changed or deleted: triggers refuse it, as they do for the ledger.
"""

import datetime as dt
from typing import Any, NoReturn, Self, TypeVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, Permission, permissions
from accounts.fields import InstantField, new_id
from accounts.models import User

SHA256 = 64  # hexadecimal digits


class RemovalState(models.TextChoices):
    OPEN = "open", _("To be acknowledged")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    OVERDUE = "overdue", _("Overdue")
    RETIRED = "retired", _("Ended: the run is retired")


_Model_co = TypeVar("_Model_co", bound=models.Model, covariant=True)


class _Rows(models.QuerySet[_Model_co]):
    # The triggers refuse these too; this gives an error that says why.
    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("training runs and their removals are only added to")

    update = delete = bulk_update = update_or_create = _refuse


class TrainingRunQuerySet(_Rows["TrainingRun"]):
    def visible_to(self, actor: Actor) -> Self:
        """All runs, for those who may read or register them: operators and their keys. None for anybody else."""
        held = permissions(actor, None)
        return self if held & {Permission.PIPELINE_READ, Permission.RUNS_MANAGE} else self.none()

    def in_use(self) -> Self:
        """The runs that are not retired: only of these anything has to be removed."""
        return self.filter(retirement=None)


class _Added(models.Model):
    """A row that stays as it was added."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("training runs and their removals are only added to")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("training runs and their removals are never deleted")


class SnapshotMade(_Added):
    """A manifest of a snapshot that this portal has signed. What a report was filtered by has to be one of these."""

    id = models.BigAutoField(primary_key=True)
    position = models.BigIntegerField()
    decided_at = InstantField()
    manifest_sha256 = models.CharField(max_length=SHA256, unique=True)
    made_at = InstantField()

    objects = _Rows["SnapshotMade"].as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(position__gte=0), name="snapshot_made_position")]

    def __str__(self) -> str:
        return f"{self.position}: {self.manifest_sha256}"


class TrainingRun(_Added):
    """A training run, registered from the reports of the filter that chose its data."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=120)
    # The id of the run in the provider's own systems. Registering it again with the same data changes nothing.
    external_id = models.CharField(_("external id"), max_length=200, null=True, unique=True)
    purpose = models.CharField(_("purpose"), max_length=500, blank=True, default="")
    # The lowest and the highest of its files' positions.
    snapshot_position = models.BigIntegerField(_("snapshot"))
    last_position = models.BigIntegerField()
    # What the filter read: {position, decided_at (microseconds), manifest_sha256} of each snapshot.
    snapshots = models.JSONField(default=list)
    # Of the allowed files: name, rows, size and SHA-256 of each.
    dataset_digest = models.CharField(_("digest of the data"), max_length=SHA256)
    # Of all that is compared when it is registered again: inputs, files, positions and counts.
    report_digest = models.CharField(max_length=SHA256)
    # How many rows there are by product, kind of data and reason, which is null for those allowed.
    counts = models.JSONField(default=list)
    inputs = models.JSONField(default=list)
    allowed = models.BigIntegerField(_("records used"))
    denied = models.BigIntegerField(_("records not used"))
    # The signed DSSE envelope, byte for byte as it was made when the run was registered.
    manifest = models.TextField()
    registered_at = InstantField(_("registered"))
    registered_by = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="+", verbose_name=_("registered by")
    )

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("training run")
        verbose_name_plural = _("training runs")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="training_run_name_not_empty"),
            models.CheckConstraint(condition=~Q(external_id=""), name="training_run_external_id_not_empty"),
            models.CheckConstraint(
                condition=Q(last_position__gte=F("snapshot_position"), snapshot_position__gte=0),
                name="training_run_positions_in_order",
            ),
            models.CheckConstraint(condition=Q(allowed__gte=0, denied__gte=0), name="training_run_counts"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_retired(self) -> bool:
        return hasattr(self, "retirement")


class RunFile(_Added):
    """A file of allowed records, and the position of the snapshot that it was filtered at."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(TrainingRun, models.PROTECT, db_index=False, related_name="files")
    name = models.CharField(_("name"), max_length=500)
    size = models.BigIntegerField(_("bytes"))
    rows = models.BigIntegerField(_("records"))
    sha256 = models.CharField(_("SHA-256"), max_length=SHA256)
    position = models.BigIntegerField(_("snapshot"))

    objects = _Rows["RunFile"].as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "name"], name="run_file_once"),
            models.CheckConstraint(condition=Q(size__gte=0, rows__gte=0, position__gte=0), name="run_file_numbers"),
        ]

    def __str__(self) -> str:
        return self.name


class RunRetirement(_Added):
    """A run whose model is no longer in use: nothing has to be removed from it any more."""

    run = models.OneToOneField(TrainingRun, models.PROTECT, primary_key=True, related_name="retirement")
    retired_at = InstantField(_("retired"))
    retired_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("retired by"))
    reason = models.CharField(_("reason"), max_length=500)

    objects = _Rows["RunRetirement"].as_manager()

    def __str__(self) -> str:
        return f"{self.run_id} retired"


class RemovalBatch(_Added):
    """What has to be removed from a run because of the events after one position, up to another.

    Its entries are not stored: they follow from the ledger, and `digest` proves which they are. A run's batches are
    numbered, and each begins where the one before it ends.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(TrainingRun, models.PROTECT, db_index=False, related_name="batches")
    number = models.PositiveIntegerField(_("number"))
    from_position = models.BigIntegerField(_("after position"))
    to_position = models.BigIntegerField(_("up to position"))
    entries = models.BigIntegerField(_("entries"))
    # How many entries there are by level, product and reason.
    counts = models.JSONField(default=list)
    digest = models.CharField(_("digest of the entries"), max_length=SHA256)
    issued_at = InstantField(_("issued"))
    due_at = InstantField(_("due"))

    objects = _Rows["RemovalBatch"].as_manager()

    class Meta:
        verbose_name = _("removal")
        verbose_name_plural = _("removals")
        ordering = ["-issued_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="removal_batch_numbered"),
            models.UniqueConstraint(fields=["run", "from_position"], name="removal_batch_begins_once"),
            models.CheckConstraint(
                condition=Q(to_position__gt=F("from_position"), entries__gt=0, number__gt=0),
                name="removal_batch_holds_something",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.number}"

    def state(self, now: dt.datetime) -> "RemovalState":
        """How it stands; reads the acknowledgement and the run's retirement, which lists should select with it."""
        if hasattr(self, "acknowledgement"):
            return RemovalState.ACKNOWLEDGED
        if self.run.is_retired:
            return RemovalState.RETIRED
        return RemovalState.OVERDUE if self.due_at <= now else RemovalState.OPEN


class RemovalAcknowledgement(_Added):
    """The word of whoever trains that the entries of a batch were applied."""

    batch = models.OneToOneField(RemovalBatch, models.PROTECT, primary_key=True, related_name="acknowledgement")
    removed = models.BigIntegerField(_("records removed"))
    # A report of filtering what is left again, at or after the batch's end, denied nothing.
    verified = models.BooleanField(_("verified"), default=False)
    # A digest: of the new dataset, or of the report of filtering it again.
    evidence = models.CharField(_("evidence"), max_length=200, blank=True, default="")
    note = models.CharField(_("note"), max_length=500, blank=True, default="")
    acknowledged_at = InstantField(_("acknowledged"))
    acknowledged_by = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="+", verbose_name=_("acknowledged by")
    )

    objects = _Rows["RemovalAcknowledgement"].as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(removed__gte=0), name="removal_acknowledgement_counts")]

    def __str__(self) -> str:
        return f"{self.batch_id} acknowledged"


class OpenRemoval(models.Model):
    """A batch that waits to be acknowledged: what is due, and overdue, without a look at all that ever was.

    It goes with the acknowledgement, or when the run is retired. `told_at`: when operators were mailed that it is late.
    """

    batch = models.OneToOneField(RemovalBatch, models.PROTECT, primary_key=True, related_name="open")
    due_at = InstantField(_("due"))
    told_at = InstantField(null=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="open_removal_due")]

    def __str__(self) -> str:
        return f"{self.batch_id} due {self.due_at}"


class RemovalCursor(models.Model):
    """How far a run in use has been looked at for removals, and when; the next batch is made from there on."""

    run = models.OneToOneField(TrainingRun, models.PROTECT, primary_key=True, related_name="cursor")
    position = models.BigIntegerField()
    looked_at = InstantField()

    class Meta:
        indexes = [models.Index(fields=["looked_at"], name="removal_cursor_age")]

    def __str__(self) -> str:
        return f"{self.run_id} at {self.position}"
