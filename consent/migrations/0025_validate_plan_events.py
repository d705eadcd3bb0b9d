from django.db import migrations

from consent.large_tables import ValidateCheck


class Migration(migrations.Migration):
    dependencies = [("consent", "0024_plan_events")]

    operations = [ValidateCheck("consentevent", "event_kind_known")]
