"""Make a choice for many organizations at once, for example by the list of a contract or a campaign."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.access import Actor, Permission
from accounts.management.base import Failed, Misuse, counted, parse_instant, table
from accounts.models import OrganizationKind, OrganizationStatus
from consent.files.atomic import BadFile
from consent.files.tables import MissingColumn
from consent.jobs import actions
from consent.jobs.list_errors import NAMED, BadList
from consent.jobs.selection import ListFile, Selection, unknown_idents
from consent.management import files
from consent.management.job_command import JobCommand
from consent.models import BulkJob, Choice, JobKind, JobStatus, PrivacySetting, ReasonCode, Source
from consent.services import choices
from consent.surfaces import SURFACES, Scope, Surface

# Option → part of a selection. --choice and --reason set the job's own choice and reason, so the parts with these names
# have other options (--state, --reason-code).
_PARTS = {
    "plan": "plan", "kind": "kind", "country": "country", "status": "status", "state": "choice",
    "reason_code": "reason", "organization": "organizations", "created_from": "created_from",
    "created_until": "created_until", "all": "everything",
}  # fmt: skip
_CHOSEN = [Choice.OPTED_OUT.value, Choice.OPTED_IN.value]


class Command(JobCommand):
    help = (
        "Make a choice for organizations on one surface: see first what would change (--dry-run), then run it here or "
        "leave it to a worker. Options of the selection must all hold, and of each any value. Opting in needs a reason "
        "and, for more than one organization, a second operator's approval; it passes over everyone who opted out."
    )
    examples = """
  manage.py set_consent --surface le_chat_console --choice opted_out --plan le_chat_free \\
      --reason "Contract 4711" --actor operator@demo.example --dry-run
  manage.py set_consent --digest DIGEST --actor operator@demo.example --yes
  manage.py set_consent --surface ai_studio_console --choice opted_out --from-file ids.csv \\
      --actor operator@demo.example --yes --background
  manage.py set_consent --surface le_chat_console --choice opted_in --organization external:acme \\
      --reason "Signed agreement of 2026-05-04" --actor operator@demo.example
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--surface", choices=SURFACES, help="where the choice is made")
        parser.add_argument("--choice", choices=_CHOSEN, help="left out where the file has a column choice")
        parser.add_argument("--reason", default="", help="kept in the ledger; needed for opting in")
        self._add_selection(parser)
        parser.add_argument("--digest", metavar="D", help="run the preview that a --dry-run kept, exactly as it was")
        parser.add_argument("--accept-drift", action="store_true", help="though its organizations have changed since")
        self.add_run(parser)

    def _add_selection(self, parser: CommandParser) -> None:
        of = parser.add_argument_group("which organizations")
        several: dict[str, Any] = {"nargs": "+", "action": "extend"}
        of.add_argument("--plan", **several, metavar="KEY", help="that subscribe to it now")
        of.add_argument("--kind", **several, choices=OrganizationKind.values)
        of.add_argument("--country", **several, metavar="CODE", help="two letters")
        of.add_argument("--status", **several, choices=OrganizationStatus.values)
        of.add_argument("--state", **several, choices=Choice.values, help="what they have chosen so far")
        of.add_argument(
            "--reason-code", **several, choices=ReasonCode.values, metavar="CODE", help="why their answer is as it is"
        )
        of.add_argument("--created-from", metavar="INSTANT", help="at this instant or later")
        of.add_argument("--created-until", metavar="INSTANT", help="before this instant")
        of.add_argument("--organization", **several, metavar="ID", help="by id or external:ID")
        of.add_argument(
            "--from-file", metavar="CSV",
            help="a file, or - for stdin, with a column organization (ids, external:ID too) or external_id, or with "
            "one column of ids; a column choice gives each row its own",
        )  # fmt: skip
        files.add_reading(of)
        of.add_argument("--all", action="store_true", help="every organization there is")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["digest"]:
            job = self._kept(options)
            self.carry_out(job, _question(job), self.actor(options["actor"]), options)
            return
        surface = self._surface(options)
        selection = self._selection(surface, options)
        actor = self.actor(options["actor"])
        self._check_organizations(options)
        # Opting in one organization needs no second operator, so it needs no job either.
        if options["choice"] == Choice.OPTED_IN and self._is_one(options):
            self._opt_in(surface, actor, options)
            return
        job = self._previewed(surface, selection, actor, options)
        self.carry_out(job, _question(job), actor, options)

    # --- What is asked for ---

    def _kept(self, options: dict[str, Any]) -> BulkJob:
        # The digest identifies a complete preview: refuse options that could contradict it.
        others = ("surface", "choice", "reason", "from_file", "encoding", "separator", "dry_run", *_PARTS)
        if given := [name for name in others if options[name]]:
            raise Misuse(f"--{given[0].replace('_', '-')} goes not with --digest: the preview has all of it.")
        kept = BulkJob.objects.filter(digest=options["digest"], kind=JobKind.CHOICE, status=JobStatus.PREVIEWED)
        job = kept.select_related("author", "approver").order_by("-pk").first()
        if job is None:
            raise Failed("--digest: there is no preview with this digest that waits to be run. Nothing was changed.")
        return job

    def _surface(self, options: dict[str, Any]) -> Surface:
        if options["accept_drift"]:
            raise Misuse("--accept-drift goes with --digest.")
        if not options["surface"]:
            raise Misuse("Say --surface, or --digest of a preview.")
        surface = SURFACES[options["surface"]]
        if surface.scope is Scope.MEMBER:
            raise Misuse(f"{surface.key} is each member's own; this command chooses for organizations.")
        if not options["choice"] and not options["from_file"]:
            raise Misuse("--choice: say opted_out or opted_in, or give a file with a column choice.")
        for name in ("encoding", "separator"):
            if options[name] and not options["from_file"]:
                raise Misuse(f"--{name} goes with --from-file.")
        if options["choice"] == Choice.OPTED_IN and not options["reason"].strip():
            raise Misuse("--reason: opting in needs the customer's documented instruction.")
        return surface

    def _selection(self, surface: Surface, options: dict[str, Any]) -> Selection | None:
        """The selection that the options describe; None if only a file says which organizations. Raises Misuse."""
        for key in options["plan"] or ():
            if (plan := self.plan(key)).product != surface.product:
                raise Misuse(f"--plan: {plan.name} is not a plan of the product that {surface.key} chooses for.")
        for name in ("created_from", "created_until"):
            if options[name] is not None:
                options[name] = parse_instant(f"--{name.replace('_', '-')}", options[name]).isoformat()
        parts = {part: options[name] for name, part in _PARTS.items() if options[name]}
        if options["all"] and (len(parts) > 1 or options["from_file"]):
            raise Misuse("--all goes with no other option that says which organizations.")
        if not parts and not options["from_file"]:
            raise Misuse("Say which organizations: --plan, --organization, --from-file, --all, … (see --help).")
        return Selection.from_json(parts) if parts else None

    def _is_one(self, options: dict[str, Any]) -> bool:
        others = [name for name in _PARTS if name != "organization" and options[name]]
        return len(set(options["organization"] or ())) == 1 and not others and not options["from_file"]

    def _check_organizations(self, options: dict[str, Any]) -> None:
        if unknown := list(unknown_idents(dict.fromkeys(options["organization"] or ()))):
            self._name_unknown(unknown)
            raise Failed(f"{counted(len(unknown), 'unknown organization')}, so nothing was changed.")

    def _previewed(
        self, surface: Surface, selection: Selection | None, actor: Actor, options: dict[str, Any]
    ) -> BulkJob:
        wish = {
            "surface": surface, "actor": actor, "source": Source.COMMAND, "choice": options["choice"] or "",
            "reason": options["reason"], "selection": selection,
        }  # fmt: skip
        if not options["from_file"]:
            return actions.preview_choice(**wish)
        try:
            with files.as_file(options["from_file"]) as path:
                file = ListFile(path, files.reading(options))
                files.tell_encoding(self, file.table)
                # Exactly one of the two may say the choice.
                if file.has_choices == bool(options["choice"]):
                    raise Misuse("--choice, or a column choice in the file: one of the two.")
                job = actions.preview_choice(wishes=file, **wish)
        except MissingColumn as error:
            raise Misuse(f"--from-file: {error}") from error
        except BadFile as error:
            raise Failed(f"--from-file: {error} Nothing was changed.") from error
        except BadList as error:
            raise self._refusal(error) from None
        if file.left_out:
            self.note(f"{counted(file.left_out, 'row')} of the file left out by the other options.")
        return job

    def _refusal(self, error: BadList) -> Failed:
        for problem in error.problems:
            self.note_problem(problem)
        self._name_unknown(error.unknown)
        counts = [(error.bad, "bad row"), (error.missing, "unknown organization")]
        what = " and ".join(counted(count, word) for count, word in counts if count)
        return Failed(f"--from-file: {what}, so nothing was changed.")

    def _name_unknown(self, unknown: list[str]) -> None:
        for ident in unknown[:NAMED]:
            self.note_problem(f"There is no organization “{ident}”.")

    # --- One organization: no job, no second operator ---

    def _opt_in(self, surface: Surface, actor: Actor, options: dict[str, Any]) -> None:
        organization = self.organization(options["organization"][0], actor, Permission.CONSENT_CHOOSE)
        of_this = PrivacySetting.objects.of_organizations().filter(organization=organization, product=surface.product)
        before = of_this.first()
        changed = before is None or before.choice != Choice.OPTED_IN
        if not options["dry_run"]:
            what = f"Opt 1 organization in on {surface.key}, so that what comes in from now on may be used for training"
            self.confirm(what, options, "Nothing was changed.")
            setting = choices.choose(
                surface=surface,
                organization=organization,
                choice=Choice.OPTED_IN,
                actor=actor,
                source=Source.COMMAND,
                reason=options["reason"],
                version_required=False,
            )
            changed = setting.version != (before.version if before else 0)
        data = {"changed": int(changed), "unchanged": int(not changed), "dry_run": options["dry_run"]}
        words = ("would change", "would stay") if options["dry_run"] else ("changed", "unchanged")
        text = table([(words[0], int(changed)), (words[1], int(not changed))])
        self.result({"surface": surface.key, "choice": Choice.OPTED_IN.value, **data}, text, options)


def _question(job: BulkJob) -> str:
    organizations, counts = counted(job.matched, "organization"), actions.outcome_counts(job)
    change = counts["change"]
    if job.wanted == Choice.OPTED_OUT:
        return f"Opt {organizations} out on {job.surface}, of which {change:,} not yet out"
    if job.wanted == Choice.OPTED_IN:
        return f"Ask a second operator to opt {organizations} in on {job.surface}, of which {change:,} would change"
    return f"Make the choices of {organizations} on {job.surface}, of which {change:,} would change"
