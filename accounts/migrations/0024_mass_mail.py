"""Mass mail waits for all other mail: a link for a password must not queue behind a million notices."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0023_plan_description")]

    operations = [
        migrations.AddField("outgoingmessage", "mass", models.BooleanField(db_default=False, default=False)),
        migrations.RemoveIndex("outgoingmessage", "message_due"),
        migrations.AddIndex(
            "outgoingmessage", models.Index(fields=["mass", "next_attempt_at", "id"], name="message_turn")
        ),
    ]
