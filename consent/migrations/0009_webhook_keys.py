"""Signing secrets come from WEBHOOK_KEYS; those that receivers have stay as they are until they are rotated."""

from django.db import migrations, models

from accounts.fields import from_micros, to_micros


def remember_previous(apps, _schema_editor):
    endpoints = apps.get_model("consent", "WebhookEndpoint").objects
    for endpoint in endpoints.exclude(previous_until=None):
        previous = [["", endpoint.generation - 1, to_micros(endpoint.previous_until)]]
        endpoints.filter(pk=endpoint.pk).update(previous=previous)


def forget_previous(apps, _schema_editor):
    """One earlier secret, of the generation before, is all that can be said; and all are of SECRET_KEY again."""
    endpoints = apps.get_model("consent", "WebhookEndpoint").objects
    for endpoint in endpoints.exclude(previous=[]):
        endpoints.filter(pk=endpoint.pk).update(previous_until=from_micros(endpoint.previous[0][2]))


class Migration(migrations.Migration):
    dependencies = [("consent", "0008_validate_event_checks")]
    operations = [
        migrations.AddField(
            model_name="webhookendpoint",
            name="key_id",
            field=models.CharField(blank=True, default="", max_length=8),
        ),
        migrations.AddField(
            model_name="webhookendpoint",
            name="previous",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.RunPython(remember_previous, forget_previous),
        migrations.RemoveField(model_name="webhookendpoint", name="previous_until"),
    ]
