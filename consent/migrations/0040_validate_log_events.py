from django.db import migrations

from consent.large_tables import ValidateCheck


class Migration(migrations.Migration):
    dependencies = [("consent", "0039_log")]

    operations = [ValidateCheck("consentevent", name) for name in ("event_kind_known", "event_of_no_layer")]
