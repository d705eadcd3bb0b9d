"""An index of addresses in byte order on PostgreSQL, which serves both the search by their start and the order.

It is built while others go on writing, so outside a transaction; what an interrupted attempt left is dropped first.
"""

from django.db import migrations

NAME = "user_email_bytes"


def build(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}")
        schema_editor.execute(f'CREATE INDEX CONCURRENTLY {NAME} ON accounts_user ((email COLLATE "C"))')


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0024_mass_mail")]
    operations = [migrations.RunPython(build, drop)]
