"""Tests of webhooks are sent by a worker: one at a time for an organization."""

from django.db import migrations, models

import accounts.fields


class Migration(migrations.Migration):
    dependencies = [("consent", "0012_credentials")]
    operations = [
        migrations.AddField(
            model_name="webhookattempt",
            name="waiting_for",
            field=models.UUIDField(editable=False, null=True, unique=True),
        ),
        migrations.AddField(
            model_name="webhookattempt",
            name="leased_until",
            field=accounts.fields.InstantField(null=True),
        ),
    ]
