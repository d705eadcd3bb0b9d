"""Add `had_others`: whether a second person ever was a member. Such personal organizations become teams."""

from django.db import migrations, models
from django.db.models import Count


def look_back(apps, schema_editor):
    """Member rows are never deleted, so two rows mean a second person. Consent 0006 writes the events of new teams."""
    organizations = apps.get_model("accounts", "Organization").objects
    several = organizations.annotate(people=Count("members")).filter(people__gt=1)
    organizations.filter(pk__in=several.values("pk")).update(had_others=True)
    organizations.filter(kind="personal", had_others=True).update(kind="team")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_name_order"),
    ]

    operations = [
        migrations.AddField(
            model_name="organization",
            name="had_others",
            field=models.BooleanField(
                db_default=False, default=False, editable=False, verbose_name="others were members"
            ),
        ),
        # On the way back such an organization stays a team, which takes no privacy from anybody.
        migrations.RunPython(look_back, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="organization",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind", "personal"), _negated=True) | models.Q(("had_others", False)),
                name="organization_personal_has_one_person",
                violation_error_message="Others were members: this organization stays a team.",
            ),
        ),
    ]
