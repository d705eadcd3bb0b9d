"""Import the subscriptions of organizations from the billing system; training defaults depend on them."""

from consent.management.import_command import ImportCommand
from consent.models import ImportTable


class Command(ImportCommand):
    table = ImportTable.SUBSCRIPTIONS
    made = "started"
    help = (
        "Start subscriptions, or move them to other plans; what that does to a choice is for the "
        "rules to say. CSV or JSON Lines, of any size; safe to run again."
    )
    examples = """
  manage.py import_subscriptions subscriptions.csv --actor operator@demo.example --dry-run
  manage.py import_subscriptions subscriptions.csv --map organization_external_id=Account --map plan=Plan \\
      --actor operator@demo.example --skip-bad --problems problems.csv
"""
