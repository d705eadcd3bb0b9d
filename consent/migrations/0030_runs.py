"""Training runs, and what has to be removed from them."""

import accounts.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError


def refuse_to_lose(apps, _editor):
    """Backwards there is no place for runs, and what has to be removed from them would be forgotten."""
    if apps.get_model("consent", "TrainingRun").objects.exists():
        raise IrreversibleError("training runs have been registered since, which the version before can't hold")


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0029_consumers"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="TrainingRun",
            fields=[
                (
                    "id",
                    models.UUIDField(default=accounts.fields.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                ("external_id", models.CharField(max_length=200, null=True, unique=True, verbose_name="external id")),
                ("purpose", models.CharField(blank=True, default="", max_length=500, verbose_name="purpose")),
                ("snapshot_position", models.BigIntegerField(verbose_name="snapshot")),
                ("last_position", models.BigIntegerField()),
                ("snapshots", models.JSONField(default=list)),
                ("dataset_digest", models.CharField(max_length=64, verbose_name="digest of the data")),
                ("report_digest", models.CharField(max_length=64)),
                ("counts", models.JSONField(default=list)),
                ("inputs", models.JSONField(default=list)),
                ("allowed", models.BigIntegerField(verbose_name="records used")),
                ("denied", models.BigIntegerField(verbose_name="records not used")),
                ("manifest", models.TextField()),
                ("registered_at", accounts.fields.InstantField(verbose_name="registered")),
                (
                    "registered_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="registered by",
                    ),
                ),
            ],
            options={
                "verbose_name": "training run",
                "verbose_name_plural": "training runs",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="RemovalBatch",
            fields=[
                (
                    "id",
                    models.UUIDField(default=accounts.fields.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("number", models.PositiveIntegerField(verbose_name="number")),
                ("from_position", models.BigIntegerField(verbose_name="after position")),
                ("to_position", models.BigIntegerField(verbose_name="up to position")),
                ("entries", models.BigIntegerField(verbose_name="entries")),
                ("counts", models.JSONField(default=list)),
                ("digest", models.CharField(max_length=64, verbose_name="digest of the entries")),
                ("issued_at", accounts.fields.InstantField(verbose_name="issued")),
                ("due_at", accounts.fields.InstantField(verbose_name="due")),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="batches",
                        to="consent.trainingrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "removal",
                "verbose_name_plural": "removals",
                "ordering": ["-issued_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="RunFile",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=500, verbose_name="name")),
                ("size", models.BigIntegerField(verbose_name="bytes")),
                ("rows", models.BigIntegerField(verbose_name="records")),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
                ("position", models.BigIntegerField(verbose_name="snapshot")),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="files",
                        to="consent.trainingrun",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="OpenRemoval",
            fields=[
                (
                    "batch",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="open",
                        serialize=False,
                        to="consent.removalbatch",
                    ),
                ),
                ("due_at", accounts.fields.InstantField(verbose_name="due")),
                ("told_at", accounts.fields.InstantField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="open_removal_due")],
            },
        ),
        migrations.CreateModel(
            name="RemovalAcknowledgement",
            fields=[
                (
                    "batch",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="acknowledgement",
                        serialize=False,
                        to="consent.removalbatch",
                    ),
                ),
                ("removed", models.BigIntegerField(verbose_name="records removed")),
                ("verified", models.BooleanField(default=False, verbose_name="verified")),
                ("evidence", models.CharField(blank=True, default="", max_length=200, verbose_name="evidence")),
                ("note", models.CharField(blank=True, default="", max_length=500, verbose_name="note")),
                ("acknowledged_at", accounts.fields.InstantField(verbose_name="acknowledged")),
                (
                    "acknowledged_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="acknowledged by",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RemovalCursor",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="cursor",
                        serialize=False,
                        to="consent.trainingrun",
                    ),
                ),
                ("position", models.BigIntegerField()),
                ("looked_at", accounts.fields.InstantField()),
            ],
            options={
                "indexes": [models.Index(fields=["looked_at"], name="removal_cursor_age")],
            },
        ),
        migrations.CreateModel(
            name="RunRetirement",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="retirement",
                        serialize=False,
                        to="consent.trainingrun",
                    ),
                ),
                ("retired_at", accounts.fields.InstantField(verbose_name="retired")),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                (
                    "retired_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="retired by",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.CheckConstraint(
                condition=models.Q(("name", ""), _negated=True), name="training_run_name_not_empty"
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.CheckConstraint(
                condition=models.Q(("external_id", ""), _negated=True), name="training_run_external_id_not_empty"
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("last_position__gte", models.F("snapshot_position")), ("snapshot_position__gte", 0)
                ),
                name="training_run_positions_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.CheckConstraint(
                condition=models.Q(("allowed__gte", 0), ("denied__gte", 0)), name="training_run_counts"
            ),
        ),
        migrations.AddConstraint(
            model_name="removalbatch",
            constraint=models.UniqueConstraint(fields=("run", "number"), name="removal_batch_numbered"),
        ),
        migrations.AddConstraint(
            model_name="removalbatch",
            constraint=models.UniqueConstraint(fields=("run", "from_position"), name="removal_batch_begins_once"),
        ),
        migrations.AddConstraint(
            model_name="removalbatch",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("entries__gt", 0), ("number__gt", 0), ("to_position__gt", models.F("from_position"))
                ),
                name="removal_batch_holds_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="runfile",
            constraint=models.UniqueConstraint(fields=("run", "name"), name="run_file_once"),
        ),
        migrations.AddConstraint(
            model_name="runfile",
            constraint=models.CheckConstraint(
                condition=models.Q(("position__gte", 0), ("rows__gte", 0), ("size__gte", 0)), name="run_file_numbers"
            ),
        ),
        migrations.AddConstraint(
            model_name="removalacknowledgement",
            constraint=models.CheckConstraint(
                condition=models.Q(("removed__gte", 0)), name="removal_acknowledgement_counts"
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, refuse_to_lose),
    ]
