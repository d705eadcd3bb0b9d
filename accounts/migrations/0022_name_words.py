"""The words of organizations' names. The worker fills them from the ledger, so that no upgrade waits for a million."""

import django.db.models.deletion
from django.db import migrations, models

import accounts.fields


class Migration(migrations.Migration):
    dependencies = [("accounts", "0021_preferences")]

    operations = [
        migrations.CreateModel(
            "NameWord",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="name_words",
                        to="accounts.organization",
                    ),
                ),
                ("word", accounts.fields.ByteOrderField(max_length=40)),
                ("words", accounts.fields.ByteOrderField(max_length=402)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["word", "-organization", "words"], name="name_word_found"),
                    models.Index(fields=["organization"], name="name_word_of_organization"),
                ],
            },
        ),
    ]
