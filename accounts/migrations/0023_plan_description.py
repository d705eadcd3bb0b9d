"""Plans get a description, in the provider's words."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0022_name_words"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="plan",
            options={"ordering": ["position", "key"], "verbose_name": "plan", "verbose_name_plural": "plans"},
        ),
        migrations.AddField(
            model_name="plan",
            name="description",
            field=models.CharField(blank=True, db_default="", default="", max_length=300, verbose_name="description"),
        ),
    ]
