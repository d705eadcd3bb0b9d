"""Keep messages that could not be sent, so that operators see them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0013_credentials"),
    ]

    operations = [
        migrations.AddField(
            model_name="outgoingmessage",
            name="given_up_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="outgoingmessage",
            name="error",
            field=models.CharField(blank=True, db_default="", default="", max_length=80),
        ),
        migrations.AddIndex(
            model_name="outgoingmessage",
            index=models.Index(
                fields=["-id"], condition=models.Q(("given_up_at__isnull", False)), name="message_given_up"
            ),
        ),
    ]
