"""Encrypt the secrets of second factors, and the e-mail that waits to be sent (ENCRYPTION_KEYS)."""

from django.db import migrations

import accounts.fields
from accounts import keys


def _mapped(data, change):
    changed = dict(data)
    for name in ("secret", "seed"):
        if name in data:
            changed[name] = change(data[name])
    if data.get("migrated_codes"):
        changed["migrated_codes"] = [change(code) for code in data["migrated_codes"]]
    return changed


def _change_all(apps, change):
    authenticators = apps.get_model("mfa", "Authenticator").objects
    for pk, data in authenticators.values_list("pk", "data").iterator(500):
        if (changed := _mapped(data, change)) != data:
            authenticators.filter(pk=pk).update(data=changed)
    messages = apps.get_model("accounts", "OutgoingMessage").objects
    for pk, body in messages.values_list("pk", "body").iterator(500):
        messages.filter(pk=pk).update(body=change(body))


def encrypt(apps, _schema_editor):
    _change_all(apps, lambda text: text if keys.is_encrypted(text) else keys.encrypt(text))


def decrypt(apps, _schema_editor):
    _change_all(apps, lambda text: keys.decrypt(text) if keys.is_encrypted(text) else text)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_had_others"), ("mfa", "0003_authenticator_type_uniq")]
    operations = [
        # Before the column becomes an EncryptedTextField, so that the data migration reads and writes the raw text.
        migrations.RunPython(encrypt, decrypt),
        migrations.AlterField(model_name="outgoingmessage", name="body", field=accounts.fields.EncryptedTextField()),
    ]
