"""Daily totals of choices by the words that people saw. The worker fills them from the whole ledger."""

from django.db import migrations, models


def forget(apps, _editor):
    """Backwards the totals go; with their cursor, or they would begin in the middle when they come again."""
    apps.get_model("consent", "FollowerCursor").objects.filter(name="wordings").delete()


class Migration(migrations.Migration):
    dependencies = [("consent", "0041_log_origins")]

    operations = [
        migrations.CreateModel(
            name="DailyWording",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("surface", models.CharField(max_length=40)),
                ("wording", models.CharField(max_length=40)),
                ("language", models.CharField(blank=True, default="", max_length=16)),
                ("choice", models.CharField(max_length=20)),
                ("choices", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "surface", "wording", "language", "choice"), name="daily_wording_once"
                    )
                ],
            },
        ),
        migrations.RunPython(migrations.RunPython.noop, forget),
    ]
