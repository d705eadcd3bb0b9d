"""Import the provider's organizations from a file, with the opt-outs that they made elsewhere."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Misuse
from accounts.models import Organization
from consent.imports.fields import ImportPlan
from consent.imports.judging import OPT_OUT
from consent.imports.staging import counts
from consent.management.import_command import ImportCommand
from consent.models import BulkJob, ImportTable
from consent.rules import Choice


class Command(ImportCommand):
    table = ImportTable.ORGANIZATIONS
    made = "created"
    help = (
        "Create organizations from a file: CSV (any separator and encoding) or JSON Lines, "
        "of any size. Of organizations that are there already only opt-outs apply; other differences are reported. "
        "Safe to run again. Opt-ins, and starts that are attested, wait for a second operator."
    )
    examples = """
  manage.py import_organizations accounts.csv --map name=Company --map external_id="Account no" \\
      --map country=Country --plan le_chat_free --actor operator@demo.example --dry-run
  manage.py import_organizations refusals.csv --map name=Name --map external_id=Id --map choice=Training \\
      --plan le_chat_pro ai_studio_experiment --actor operator@demo.example --skip-bad
"""

    def add_table_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--plan", nargs="+", action="extend", required=True, metavar="KEY", help="what they subscribe to"
        )
        parser.add_argument(
            "--kind", choices=Organization.Kind.values, default="team", help="personal needs --map owner_email=COLUMN"
        )
        parser.add_argument(
            "--default-choice", choices=[Choice.OPTED_OUT.value, Choice.OPTED_IN.value],
            help="what all of them chose for the products of the plans",
        )  # fmt: skip
        parser.add_argument(
            "--allow-similar", action="store_true",
            help="create those, too, whose ids differ from known ones by case, width, hyphens, quotes or leading zeros"
            " alone",
        )  # fmt: skip

    def import_plan(self, columns: dict[str, str], options: dict[str, Any]) -> ImportPlan:
        plans = tuple(self.plan(key).key for key in dict.fromkeys(options["plan"]))
        choice, similar = options["default_choice"] or "", options["allow_similar"]
        plan = ImportPlan(self.table, columns, plans, options["kind"], choice, similar)
        # A personal organization is one person's, so each row needs the address of its owner.
        if not plan.has_owners():
            raise Misuse("--map owner_email=COLUMN goes with --kind personal, and is needed there.")
        return plan

    def outcome(self, job: BulkJob) -> dict[str, int]:
        """As the base class, but existing organizations that get opted out are not counted as created."""
        found = super().outcome(job)
        opted_out = min(counts(job).get(OPT_OUT, 0), found["created"])
        return {"created": found["created"] - opted_out, "opted_out": opted_out} | {
            name: count for name, count in found.items() if name != "created"
        }
