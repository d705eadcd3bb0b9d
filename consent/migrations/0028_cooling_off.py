"""How old data of each product has to be before it is used: a dated history, whose changes may need two operators."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError

import accounts.fields


def refuse_to_lose(apps, _editor):
    """Backwards there is no place for these rows, and without them past instants would be answered otherwise."""
    changed = apps.get_model("consent", "CoolingOff").objects.exists()
    if changed or apps.get_model("consent", "OperatorRequest").objects.filter(kind="cooling_off").exists():
        raise IrreversibleError("cooling-off periods have been changed since, which the version before can't hold")


class Migration(migrations.Migration):
    dependencies = [("consent", "0027_validate_pipeline_events")]

    operations = [
        migrations.CreateModel(
            name="CoolingOff",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "product",
                    models.CharField(
                        choices=[("le_chat", "Le Chat"), ("ai_studio", "AI Studio and API")],
                        max_length=20,
                        verbose_name="product",
                    ),
                ),
                ("since", accounts.fields.InstantField(verbose_name="since")),
                ("days", models.PositiveSmallIntegerField(verbose_name="days")),
                (
                    "event",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="consent.consentevent",
                    ),
                ),
            ],
            options={
                "verbose_name": "cooling-off",
                "verbose_name_plural": "cooling-off",
                "ordering": ["product", "since"],
                "constraints": [
                    models.UniqueConstraint(fields=("product", "since"), name="cooling_off_instant_of_product"),
                    models.CheckConstraint(
                        condition=models.Q(("product__in", ["le_chat", "ai_studio"])),
                        name="cooling_off_product_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("days__lte", 3650)), name="cooling_off_days_within_reason"
                    ),
                ],
            },
        ),
        migrations.RemoveConstraint(
            model_name="operatorrequest",
            name="operator_request_kind_known",
        ),
        migrations.AlterField(
            model_name="operatorrequest",
            name="kind",
            field=models.CharField(
                choices=[
                    ("operator", "Make an operator"),
                    ("link", "Mail an operator a link to set a password"),
                    ("second_factors", "Remove an operator's second factors"),
                    ("address", "Give a person another address"),
                    ("cooling_off", "Shorten a cooling-off period"),
                ],
                max_length=20,
                verbose_name="what",
            ),
        ),
        migrations.AddConstraint(
            model_name="operatorrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["operator", "link", "second_factors", "address", "cooling_off"])),
                name="operator_request_kind_known",
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, refuse_to_lose),
    ]
