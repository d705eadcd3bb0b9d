"""Normalize the recipients of waiting e-mail, as users' addresses are; else erasing a person would miss theirs.

Migrating back leaves the normalized addresses, by which mail is delivered as well.
"""

from django.db import migrations

import accounts.fields
from accounts import email_addresses

_PLAIN = r"^[!-@\[-~]*$"  # ASCII without capitals: nearly always in normal form already


def respell(apps, _editor):
    messages = apps.get_model("accounts", "OutgoingMessage").objects
    for pk, recipient in messages.exclude(recipient__regex=_PLAIN).values_list("pk", "recipient"):
        messages.filter(pk=pk).update(recipient=email_addresses.asked(recipient))


class Migration(migrations.Migration):
    dependencies = [("accounts", "0017_folded_ids")]

    operations = [
        migrations.RunPython(respell, migrations.RunPython.noop),
        migrations.AlterField("outgoingmessage", "recipient", accounts.fields.AddressField(max_length=254)),
    ]
