"""Migration operations for large tables on PostgreSQL: none reads the table under a lock that blocks other work."""

from typing import Any

from django.db import migrations
from django.db.migrations.operations.base import Operation


class AddCheckNotValid(migrations.AddConstraint):
    """Adds a check for rows written from now on; `ValidateCheck`, in a later migration, checks the existing rows.

    On SQLite it checks all rows at once.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor == "postgresql":
            if self.allow_migrate_model(schema_editor.connection.alias, model):
                # params=None: the values are in the text already, and a `%` in it must not be read as a placeholder.
                schema_editor.execute(f"{self.constraint.create_sql(model, schema_editor)} NOT VALID", params=None)
        else:
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class ValidateCheck(Operation):
    """Checks the existing rows under a lock that doesn't block reads or writes of rows. Does nothing on SQLite."""

    def __init__(self, model_name: str, name: str) -> None:
        self.model_name, self.name = model_name, name

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, _to_state: Any) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if connection.vendor == "postgresql" and self.allow_migrate_model(connection.alias, model):
            table, name = (schema_editor.quote_name(each) for each in (model._meta.db_table, self.name))
            schema_editor.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")

    def database_backwards(self, _app_label: str, _schema_editor: Any, _from_state: Any, _to_state: Any) -> None:
        pass

    def describe(self) -> str:
        return f"Validate constraint {self.name} of {self.model_name}"


class MakeNullable(migrations.AlterField):
    """Makes a column nullable. The reverse fails if there are NULLs: the ledger refuses the UPDATE that fills them."""

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor == "postgresql":
            if self.allow_migrate_model(schema_editor.connection.alias, model):
                column = model._meta.get_field(self.name).column
                table, column = (schema_editor.quote_name(each) for each in (model._meta.db_table, column))
                # Reads the table, and fails if there is a NULL; it writes no row.
                schema_editor.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
        else:
            super().database_backwards(app_label, schema_editor, from_state, to_state)
