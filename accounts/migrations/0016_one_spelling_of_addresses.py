"""One mailbox is one user: addresses whose domain is not plain ASCII get their one spelling.

Where two users turn out to have one mailbox, it stays with the one whose address was spelled so, else the older one.
The other keeps all else, and an address that nobody can receive mail by, made of theirs: who they are has to be settled
by operators. Nobody else's address changes. There is no way back to a spelling that was not kept; going back leaves it.
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
            continue  # nobody can be looked for by it
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
