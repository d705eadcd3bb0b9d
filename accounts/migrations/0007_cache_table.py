"""The cache's table, in which sign-in attempts are counted across processes."""

from typing import Any

from django.core.management import call_command
from django.db import migrations

TABLE = "portal_cache"


def create(_apps: Any, editor: Any) -> None:
    call_command("createcachetable", TABLE, database=editor.connection.alias, verbosity=0)


def drop(_apps: Any, editor: Any) -> None:
    editor.execute(f"DROP TABLE {editor.quote_name(TABLE)}")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_sign_in")]
    operations = [migrations.RunPython(create, drop)]
