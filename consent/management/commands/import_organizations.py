"""Bring the provider's organizations in from a CSV file: the accounts exist elsewhere, and with them their opt-outs."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Failed, Misuse, counted, table
from accounts.models import Organization
from consent.bulk import imports
from consent.bulk.csv_files import BadFile, CsvFile, MissingColumn
from consent.bulk.imports import Outcome, Parsed
from consent.management.base import ConsentCommand
from consent.rules import Choice

_NEEDS_APPROVAL = "Opting in by import needs a second operator's approval, which this command can't ask for."


class Command(ConsentCommand):
    help = (
        "Create organizations from a CSV file (comma, semicolon or tab; UTF-8, UTF-16 or Windows-1252), in one "
        "transaction. Of organizations that are there already only opt-outs apply; other differences are reported. "
        "Safe to run again."
    )
    examples = """
  manage.py import_organizations accounts.csv --map name=Company --map external_id="Account no" \\
      --map country=Country --plan le_chat_free --actor operator@demo.example --dry-run
  manage.py import_organizations refusals.csv --map name=Name --map external_id=Id --map choice=Training \\
      --plan le_chat_pro ai_studio_experiment --actor operator@demo.example --skip-bad
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the CSV file; its first line names the columns")
        parser.add_argument(
            "--map", action="append", required=True, metavar="FIELD=COLUMN",
            help=f"which column holds what; fields: {', '.join(imports.FIELDS)} (name and external_id are needed)",
        )  # fmt: skip
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
        parser.add_argument("--encoding", help="of the file, where it can't be told from its bytes")
        parser.add_argument("--skip-bad", action="store_true", help="import the good rows, though there are bad ones")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and change nothing")
        self.add_actor(parser)
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        plan = self._import_plan(options)
        actor = self.actor(options["actor"])
        parsed = self._read(options, plan)
        for problem in parsed.problems:
            self.note(str(problem))
        stopped = bool(parsed.problems) and not options["skip_bad"]
        outcome = Outcome()
        if not stopped:
            with self.progress(len(parsed.good), "organizations") as progress:
                outcome = imports.apply(parsed, plan, actor=actor, dry_run=options["dry_run"], on_chunk=progress.reach)
            for line in outcome.differing:
                self.note(f"{line}. Left as it is.")
        self._print(parsed, outcome, options, written=not stopped and not options["dry_run"])
        if stopped:
            raise Failed(
                f"{counted(len(parsed.problems), 'bad row')}, so nothing was written. Mend them, or use --skip-bad."
            )

    def _import_plan(self, options: dict[str, Any]) -> imports.ImportPlan:
        columns = _columns(options["map"])
        if ("owner_email" in columns) != (options["kind"] == Organization.Kind.PERSONAL):
            raise Misuse("--map owner_email=COLUMN goes with --kind personal, and is needed there.")
        if "choice" in columns and options["default_choice"]:
            raise Misuse("--map choice=COLUMN or --default-choice, not both.")
        if options["default_choice"] == Choice.OPTED_IN:
            raise Misuse(f"{_NEEDS_APPROVAL} Nothing was written.")
        plans = [self.plan(key) for key in dict.fromkeys(options["plan"])]
        if len({plan.product for plan in plans}) != len(plans):
            raise Misuse("--plan: one plan per product.")
        return imports.ImportPlan(columns, plans, options["kind"], options["default_choice"] or "")

    def _read(self, options: dict[str, Any], plan: imports.ImportPlan) -> Parsed:
        try:
            file = CsvFile(options["file"], wanted=plan.columns.values(), encoding=options["encoding"])
            if file.encoding == "cp1252":
                self.note("The file is not UTF-8; it is read as Windows-1252 (--encoding names another).")
            file.require(*plan.columns.values())
        except MissingColumn as error:
            raise Misuse(f"--map: {error}") from error
        except BadFile as error:
            raise Failed(f"{error} Nothing was written.") from error
        try:
            return imports.read(file, plan)
        except imports.OptInRefused as error:
            raise Misuse(f"Row {error.row}: {_NEEDS_APPROVAL} Nothing was written.") from error
        except BadFile as error:
            raise Failed(f"{error} Nothing was written.") from error

    def _print(self, parsed: Parsed, outcome: Outcome, options: dict[str, Any], *, written: bool) -> None:
        counts = {
            "created": outcome.created,
            "opted_out": outcome.opted_out,
            "unchanged": outcome.unchanged,
            "differing": len(outcome.differing),
            "duplicates": parsed.duplicates,
            "bad": len(parsed.problems),
        }
        lists = {"differing_rows": outcome.differing, "bad_rows": [str(problem) for problem in parsed.problems]}
        lines = [(name.replace("_", " "), f"{count:,}") for name, count in counts.items()]
        text = table([*lines, ("written", "yes" if written else "no")])
        self.result({**counts, "written": written, **lists}, text, options)


def _columns(pairs: list[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for pair in pairs:
        field, equals, column = (part.strip() for part in pair.partition("="))
        if not (equals and column) or field not in imports.FIELDS:
            raise Misuse(f"--map: “{pair}” is not FIELD=COLUMN; the fields are {', '.join(imports.FIELDS)}.")
        if field in columns:
            raise Misuse(f"--map: {field} is given twice.")
        columns[field] = column
    for field in imports.REQUIRED:
        if field not in columns:
            raise Misuse(f"--map: say which column holds the {field}: --map {field}=COLUMN.")
    return columns
