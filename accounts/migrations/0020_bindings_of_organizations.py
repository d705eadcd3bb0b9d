"""An index of all bindings by organization, in place of one of some.

An import writes external ids before their organizations. SQLite then looks for what refers to each new organization, and
an index with a condition is of no use for that: it read all bindings there were, for each.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0019_what_changed_since")]

    operations = [
        migrations.RemoveIndex("binding", "binding_of_organization"),
        migrations.AddIndex("binding", models.Index(fields=["organization", "member"], name="binding_of_organization")),
    ]
