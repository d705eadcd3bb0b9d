"""An index on PostgreSQL to search names by prefix: with most collations only a pattern index serves LIKE."""

from django.db import migrations

NAME = "organization_name_pattern"


def create_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"CREATE INDEX {NAME} ON accounts_organization (LOWER(name) text_pattern_ops, id)")


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX {NAME}")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_plans")]
    operations = [migrations.RunPython(create_index, drop_index)]
