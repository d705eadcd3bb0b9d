"""Import choices that organizations and members made elsewhere, before the portal existed."""

from consent.management.import_command import ImportCommand
from consent.models import ImportTable


class Command(ImportCommand):
    table = ImportTable.CHOICES
    made = "chosen"
    help = (
        "Make choices, one a row: of organizations, and opt-outs of members. Opt-ins pass over "
        "everybody who opted out, and wait for a second operator. CSV or JSON Lines, of any size; safe to run again."
    )
    examples = """
  manage.py import_choices choices.csv --actor operator@demo.example --dry-run
  manage.py import_choices choices.csv --reason "Migrated agreements, ticket 4711" \\
      --actor operator@demo.example --skip-bad --problems problems.csv
"""
