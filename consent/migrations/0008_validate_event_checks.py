from django.db import migrations

from consent.large_tables import ValidateCheck


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0007_access_trail"),
    ]

    operations = [
        ValidateCheck("consentevent", name)
        for name in ("event_kind_known", "event_source_known", "event_access_of_no_layer")
    ]
