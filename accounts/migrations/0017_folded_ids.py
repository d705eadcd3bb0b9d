"""Store the folded form of organizations' external ids: an import asks before it creates one with a similar id.

It stays empty for nearly all ids, because they equal their folded form.
"""

from itertools import islice

from django.db import migrations, models

from accounts.external_ids import folded

_BATCH = 2_000
_FOLDED = r"^[a-z1-9][a-z0-9._:-]*$"


def fold(apps, _editor):
    bindings = apps.get_model("accounts", "Binding").objects
    others = bindings.filter(member=None).exclude(value="").exclude(value__regex=_FOLDED).order_by("pk")
    rows = others.only("pk", "value").iterator(_BATCH)
    while page := list(islice(rows, _BATCH)):
        for row in page:
            row.folded = folded(row.value)
        bindings.bulk_update([row for row in page if row.folded], ["folded"], batch_size=500)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0016_one_spelling_of_addresses")]

    operations = [
        migrations.AddField(
            "binding", "folded", models.CharField(blank=True, db_default="", default="", max_length=200)
        ),
        migrations.RunPython(fold, migrations.RunPython.noop),
        migrations.AddIndex(
            "binding",
            models.Index(condition=models.Q(("folded__gt", "")), fields=["folded"], name="binding_folded"),
        ),
    ]
