"""A key may do only what its responsible person may do now (R18): check the existing keys once."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.utils import timezone

# Copies of the rules as they are at this migration: the roles that manage keys, and the installation's scope.
MANAGING = ("owner", "admin")
INSTALLATION_SCOPE = "consent:member"


def may_answer(apps, user_id, organization_id):
    """Whether this user may be responsible for a key of this organization, or for an operator key (None)."""
    user = apps.get_model("accounts", "User").objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return False
    roles = apps.get_model("accounts", "Member").objects.filter(
        user_id=user_id, organization_id=organization_id, status="active", role__in=MANAGING
    )
    return user.is_staff or (organization_id is not None and roles.exists())


def judge_keys(apps, schema_editor):
    """Keys without a person, or with the scope for members, become the installation's; others may get suspended."""
    keys = apps.get_model("accounts", "ApiKey").objects
    keys.filter(issued_by=None).update(installation=True)
    for key in keys.filter(installation=False).iterator():
        if INSTALLATION_SCOPE in key.scopes:
            keys.filter(pk=key.pk).update(installation=True)
        elif key.revoked_at is None and not may_answer(apps, key.issued_by_id, key.organization_id):
            keys.filter(pk=key.pk).update(suspended_at=timezone.now())


def end_suspended_keys(apps, schema_editor):
    """Reverse: revoke suspended keys, which must not work again, and delete invitations without a person."""
    keys = apps.get_model("accounts", "ApiKey").objects.filter(suspended_at__isnull=False, revoked_at=None)
    keys.update(revoked_at=timezone.now())
    apps.get_model("accounts", "Invitation").objects.filter(invited_by=None).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_known_devices"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="installation",
            field=models.BooleanField(
                default=False,
                editable=False,
                help_text="Made by a command, or for the mobile app's backend: it keeps working when a person leaves.",
                verbose_name="the installation's own",
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="suspended_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="suspended"),
        ),
        migrations.AddField(
            model_name="invitation",
            name="invited_by_key",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.apikey",
            ),
        ),
        migrations.AlterField(
            model_name="apikey",
            name="issued_by",
            field=models.ForeignKey(
                blank=True,
                help_text="Who answers for what is done with it: it may do no more than they may now.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="issued by",
            ),
        ),
        migrations.AlterField(
            model_name="invitation",
            name="invited_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="invited by",
            ),
        ),
        migrations.RunPython(judge_keys, end_suspended_keys),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("installation", True), ("issued_by__isnull", False), _connector="OR"),
                name="api_key_has_somebody_responsible",
            ),
        ),
        migrations.AddConstraint(
            model_name="invitation",
            constraint=models.CheckConstraint(
                condition=models.Q(("invited_by__isnull", False), ("invited_by_key__isnull", False), _connector="OR"),
                name="invitation_has_somebody_responsible",
            ),
        ),
    ]
