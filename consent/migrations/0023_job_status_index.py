"""An index for what is open among the jobs: every operators' page counts what waits for approval."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0022_notices"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="bulkjob",
            index=models.Index(fields=["status", "id"], name="job_status"),
        ),
    ]
