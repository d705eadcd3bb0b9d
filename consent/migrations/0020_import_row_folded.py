from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("consent", "0019_import_row_standing")]

    operations = [
        migrations.AddField(
            "importrow", "folded", models.CharField(blank=True, db_default="", default="", max_length=200)
        ),
    ]
