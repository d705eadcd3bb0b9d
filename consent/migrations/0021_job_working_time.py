"""For how long a job was worked at, so that its rate leaves pauses out; of jobs of before it is not known."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0020_import_row_folded"),
    ]

    operations = [
        migrations.AddField(
            model_name="bulkjob",
            name="worked_ms",
            field=models.PositiveBigIntegerField(default=0),
        ),
    ]
