"""Which words somebody saw as they chose: their language, and the version of the app that showed them."""

from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError


def refuse_to_lose(apps, _editor):
    """Backwards there is no place for what events say, and no event is ever changed."""
    events = apps.get_model("consent", "ConsentEvent").objects
    if events.exclude(language="", app_version="").exists():
        raise IrreversibleError("choices since name the words that were seen, which the version before can't hold")


class Migration(migrations.Migration):
    dependencies = [("consent", "0033_installation")]

    operations = [
        migrations.AddField(
            model_name="consentevent",
            name="language",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=16, verbose_name="language of the wording"
            ),
        ),
        migrations.AddField(
            model_name="consentevent",
            name="app_version",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=40, verbose_name="version of the app"
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, refuse_to_lose),
    ]
