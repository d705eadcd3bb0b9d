"""Which snapshots the portal has made: what a report of the filter names has to be one of them."""

import accounts.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0037_wordings"),
    ]

    operations = [
        migrations.CreateModel(
            name="SnapshotMade",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("position", models.BigIntegerField()),
                ("decided_at", accounts.fields.InstantField()),
                ("manifest_sha256", models.CharField(max_length=64, unique=True)),
                ("made_at", accounts.fields.InstantField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("position__gte", 0)), name="snapshot_made_position")
                ],
            },
        ),
    ]
