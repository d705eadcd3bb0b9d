"""Checkpoints say under which origin they were signed: there may be several, one for each epoch of the ledger."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError


def refuse_to_lose(apps, _editor):
    """Backwards nothing would say which checkpoints are of which origin."""
    if apps.get_model("consent", "LogOrigin").objects.filter(number__gt=1).exists():
        raise IrreversibleError("the log has begun another origin since, which the version before can't hold")


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0040_validate_log_events"),
    ]

    operations = [
        migrations.AddField(
            model_name="logcheckpoint",
            name="origin",
            # Whatever was signed until now was signed as the first.
            field=models.ForeignKey(
                default=1,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="checkpoints",
                to="consent.logorigin",
            ),
            preserve_default=False,
        ),
        migrations.RemoveField(
            model_name="logorigin",
            name="last_note",
        ),
        migrations.RunPython(migrations.RunPython.noop, refuse_to_lose),
    ]
