"""Of a new organization's row its kind and status, as the file has them: none is created closed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0018_tell_what_stopped"),
    ]

    operations = [
        migrations.AddField(
            model_name="importrow",
            name="kind",
            field=models.CharField(blank=True, default="", max_length=10),
        ),
        migrations.AddField(
            model_name="importrow",
            name="status",
            field=models.CharField(blank=True, default="", max_length=10),
        ),
    ]
