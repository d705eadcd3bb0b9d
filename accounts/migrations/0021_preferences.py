"""The language and the time zone that a person chose; '' for nothing."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0020_bindings_of_organizations")]

    operations = [
        migrations.AddField(
            "user",
            "language",
            models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=10, verbose_name="language"
            ),
        ),
        migrations.AddField(
            "user",
            "time_zone",
            models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=64, verbose_name="time zone"
            ),
        ),
    ]
