"""Import people from another system as members of existing organizations."""

from consent.management.import_command import ImportCommand
from consent.models import ImportTable


class Command(ImportCommand):
    table = ImportTable.MEMBERS
    made = "joined"
    help = (
        "Let people join organizations: known ones, or new ones who get no password yet. Who is a "
        "member already stays as they are. CSV or JSON Lines, of any size; safe to run again."
    )
    examples = """
  manage.py import_members members.csv --actor operator@demo.example --dry-run
  manage.py import_members members.csv --map organization_external_id=Account --map email=Mail \\
      --actor operator@demo.example --skip-bad --problems problems.csv
"""
