"""An index in byte order on PostgreSQL, which serves both the search by prefix and the order by name."""

from django.db import migrations

OLD, NEW = "organization_name_pattern", "organization_name_bytes"


def by_bytes(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f'CREATE INDEX {NEW} ON accounts_organization ((LOWER(name) COLLATE "C"), id)')
        schema_editor.execute(f"DROP INDEX IF EXISTS {OLD}")


def by_pattern(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"CREATE INDEX {OLD} ON accounts_organization (LOWER(name) text_pattern_ops, id)")
        schema_editor.execute(f"DROP INDEX {NEW}")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_cache_table")]
    operations = [migrations.RunPython(by_bytes, by_pattern)]
