"""The words that people see as they choose are kept, each version in each language; `migrate` adds the current ones."""

import accounts.fields
from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError


def refuse_to_lose(apps, _editor):
    """Backwards there is no place for the words that events name."""
    if apps.get_model("consent", "ConsentEvent").objects.exclude(language="").exists():
        raise IrreversibleError("choices name words that are kept, which the version before can't hold")


class Migration(migrations.Migration):
    dependencies = [("consent", "0036_validate_restores")]

    operations = [
        migrations.CreateModel(
            name="Wording",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("wording", models.CharField(max_length=40, verbose_name="wording")),
                (
                    "surface",
                    models.CharField(
                        choices=[
                            ("le_chat_console", "Allow your interactions to be used to train our models"),
                            ("le_chat_mobile", "Enable data sharing"),
                            (
                                "ai_studio_console",
                                "Allow API calls and related data to be used to improve our services",
                            ),
                        ],
                        max_length=40,
                        verbose_name="surface",
                    ),
                ),
                ("language", models.CharField(max_length=16, verbose_name="language")),
                ("content", models.TextField(verbose_name="words")),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
                ("valid_from", accounts.fields.InstantField(verbose_name="valid from")),
            ],
            options={
                "verbose_name": "wording",
                "verbose_name_plural": "wordings",
                "ordering": ["-valid_from", "wording", "language"],
                "constraints": [
                    models.UniqueConstraint(fields=("wording", "language"), name="wording_of_language"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("wording", ""), _negated=True),
                            models.Q(("language", ""), _negated=True),
                            models.Q(("content", ""), _negated=True),
                        ),
                        name="wording_says_something",
                    ),
                ],
            },
        ),
        migrations.RunPython(migrations.RunPython.noop, refuse_to_lose),
    ]
