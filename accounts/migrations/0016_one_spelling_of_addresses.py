"""Normalize stored addresses that are not plain ASCII, so that one mailbox is one user.

If two users turn out to have one mailbox, the user whose address was in normal form already keeps it, else the older
one. The other gets a `.invalid` address, which receives no mail, and keeps everything else; operators have to find out
who they are. No other address changes. Migrating back leaves the normalized addresses, as the old spelling is lost.
"""

from django.db import IntegrityError, migrations, transaction

import accounts.fields
from accounts import email_addresses
from accounts.characters import Unusable

_PLAIN = r"^[!-~]*$"


def respell(apps, _editor):
    people = apps.get_model("accounts", "User").objects
    _respell(people, lambda row, spelled: f"{row.pk.hex}@{spelled.rpartition('@')[2]}.invalid"[:254])
    for name in ("AddressChange", "Invitation"):
        _respell(apps.get_model("accounts", name).objects, None)


def _respell(rows, of_a_twin):
    for row in rows.exclude(email__regex=_PLAIN).order_by("pk"):
        try:
            spelled = email_addresses.normalize(row.email)
        except Unusable:
            continue  # no look-up can find a user by it
        try:
            with transaction.atomic():
                rows.filter(pk=row.pk).update(email=spelled)
        except IntegrityError:
            if of_a_twin:
                rows.filter(pk=row.pk).update(email=of_a_twin(row, spelled))
            else:
                row.delete()  # another invitation to the same mailbox is there


class Migration(migrations.Migration):
    dependencies = [("accounts", "0015_bindings")]

    operations = [
        migrations.RunPython(respell, migrations.RunPython.noop),
        migrations.AlterField(
            "addresschange", "email", accounts.fields.AddressField(max_length=254, verbose_name="new e-mail")
        ),
        migrations.AlterField(
            "invitation", "email", accounts.fields.AddressField(max_length=254, verbose_name="e-mail")
        ),
        migrations.AlterField(
            "user",
            "email",
            accounts.fields.AddressField(
                help_text="What this person signs in with.", max_length=254, verbose_name="e-mail"
            ),
        ),
    ]
