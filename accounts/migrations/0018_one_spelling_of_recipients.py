"""Waiting e-mail is kept by the one spelling of its address, as users are: or erasing a person would leave theirs.

There is no way back to a spelling that was not kept; going back leaves it, and mail goes out by either.
"""

from django.db import migrations

import accounts.fields
from accounts import email_addresses

_PLAIN = r"^[!-@\[-~]*$"  # without capitals, and ASCII: nearly always its own spelling


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
