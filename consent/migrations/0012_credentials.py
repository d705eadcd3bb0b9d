"""Webhooks whose person may no longer have them are suspended, at their position (R18)."""

from importlib import import_module

from django.db import migrations, models

may_answer = import_module("accounts.migrations.0013_credentials").may_answer


def suspend_webhooks(apps, schema_editor):
    hooks = apps.get_model("consent", "WebhookEndpoint").objects
    for hook in hooks.exclude(created_by=None).iterator():
        if not may_answer(apps, hook.created_by_id, hook.organization_id):
            # Whoever delivers to it just now loses the lease.
            hooks.filter(pk=hook.pk).update(
                status="paused", paused_because="suspended", leased_until=None, fence=hook.fence + 1
            )


def pause_suspended(apps, schema_editor):
    """Back: they stay paused, for the only reason of the four that is left."""
    hooks = apps.get_model("consent", "WebhookEndpoint").objects
    hooks.filter(paused_because="suspended").update(paused_because="somebody")


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0011_longer_event_values"),
        ("accounts", "0013_credentials"),
    ]

    operations = [
        migrations.AlterField(
            model_name="webhookendpoint",
            name="paused_because",
            field=models.CharField(
                blank=True,
                choices=[
                    ("somebody", "Somebody paused it"),
                    ("failing", "It kept failing"),
                    ("gone", "It answered that it is gone (410)"),
                    ("suspended", "The person responsible for it may no longer have it"),
                ],
                default="",
                max_length=10,
                verbose_name="paused because",
            ),
        ),
        migrations.RunPython(suspend_webhooks, pause_suspended),
    ]
