"""The seven plans of the provider, with their defaults."""

from django.db import migrations

PLANS = [
    ("le_chat_free", "le_chat", "Le Chat Free", "opted_in"),
    ("le_chat_pro", "le_chat", "Le Chat Pro", "opted_in"),
    ("le_chat_student", "le_chat", "Le Chat Student", "opted_in"),
    ("le_chat_teams", "le_chat", "Le Chat Teams", "opted_out"),
    ("le_chat_enterprise", "le_chat", "Le Chat Enterprise", "opted_out"),
    ("ai_studio_experiment", "ai_studio", "AI Studio Experiment", "opted_in"),
    ("ai_studio_scale", "ai_studio", "AI Studio Scale", "opted_out"),
]


def create_plans(apps, schema_editor):
    plan_model = apps.get_model("accounts", "Plan")
    for position, (key, product, name, default) in enumerate(PLANS, start=1):
        plan_model.objects.get_or_create(
            key=key, defaults={"product": product, "name": name, "training_default": default, "position": position}
        )


def delete_plans(apps, schema_editor):
    apps.get_model("accounts", "Plan").objects.filter(key__in=[key for key, *_ in PLANS]).delete()


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(create_plans, delete_plans)]
