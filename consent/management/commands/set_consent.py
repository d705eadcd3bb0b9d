"""Opt many organizations out at once, or one in: contracts and campaigns are settled by the list, not by the click."""

import sys
from itertools import chain
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from accounts.access import Actor
from accounts.management.base import Failed, Misuse, NotConfirmed, counted, table
from accounts.models import Organization
from consent.bulk import selections
from consent.bulk.csv_files import BadFile, MissingColumn
from consent.bulk.selections import Idents, Pages
from consent.management.base import ConsentCommand
from consent.models import PrivacySetting, Source
from consent.rules import Choice
from consent.services import choices
from consent.services.choices import Counts
from consent.surfaces import SURFACES, Scope, Surface

_NAMED = 20  # unknown ids that are spelled out


class Command(ConsentCommand):
    help = (
        "Make a choice for organizations on one surface. Opting out: any number of them, a thousand per transaction; "
        "a run that was stopped can be repeated. Opting in: one organization, with a reason."
    )
    examples = """
  manage.py set_consent --surface le_chat_console --choice opted_out --plan le_chat_free \\
      --reason "Contract 4711" --actor operator@demo.example --dry-run
  manage.py set_consent --surface ai_studio_console --choice opted_out --from-file ids.csv \\
      --actor operator@demo.example --yes
  manage.py set_consent --surface le_chat_console --choice opted_in --organization external:acme \\
      --reason "Signed agreement of 2026-05-04" --actor operator@demo.example
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--surface", required=True, choices=SURFACES, help="where the choice is made")
        parser.add_argument("--choice", required=True, choices=[Choice.OPTED_OUT.value, Choice.OPTED_IN.value])
        parser.add_argument("--reason", default="", help="kept in the ledger; needed for opting in")
        scope = parser.add_mutually_exclusive_group(required=True)
        scope.add_argument("--plan", metavar="KEY", help="all organizations that subscribe to this plan now")
        scope.add_argument("--organization", nargs="+", action="extend", metavar="ID", help="by id or external:ID")
        scope.add_argument(
            "--from-file", metavar="CSV",
            help="a file with a column organization (ids, external:ID too) or external_id, or with one column of ids",
        )  # fmt: skip
        scope.add_argument("--all", action="store_true", help="every organization there is")
        parser.add_argument("--dry-run", action="store_true", help="count what would change and change nothing")
        parser.add_argument("--yes", action="store_true", help="don't ask")
        self.add_actor(parser)
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        surface = SURFACES[options["surface"]]
        self._check(surface, options)
        actor = self.actor(options["actor"])
        pages = self._pages(options, actor)
        counts = self._count(pages, surface, options["choice"])
        total = counts.changed + counts.unchanged
        if not options["dry_run"]:
            self._confirm(surface, options, total, counts.changed)
            if options["choice"] == Choice.OPTED_OUT:
                counts = self._opt_out(pages, surface, actor, options["reason"], total)
            else:
                counts = self._opt_in(next(pages())[0], surface, actor, options["reason"])
        data = {"changed": counts.changed, "unchanged": counts.unchanged, "dry_run": options["dry_run"]}
        words = ("would change", "would stay") if options["dry_run"] else ("changed", "unchanged")
        text = table([(words[0], f"{counts.changed:,}"), (words[1], f"{counts.unchanged:,}")])
        self.result({"surface": surface.key, "choice": options["choice"], **data}, text, options)

    def _check(self, surface: Surface, options: dict[str, Any]) -> None:
        if surface.scope is Scope.MEMBER:
            raise Misuse(f"{surface.key} is each member's own; this command chooses for organizations.")
        if options["choice"] == Choice.OPTED_IN:
            if not options["reason"].strip():
                raise Misuse("--reason: opting in needs the customer's documented instruction.")
            if len(set(options["organization"] or ())) != 1:
                raise Misuse(
                    "Opting in is for one organization at a time (--organization ID). For more it needs a second "
                    "operator's approval, which this command can't ask for."
                )
        if options["plan"] is not None and (plan := self.plan(options["plan"])).product != surface.product:
            raise Misuse(f"--plan: {plan.name} is not a plan of the product that {surface.key} chooses for.")

    def _pages(self, options: dict[str, Any], actor: Actor) -> Pages:
        organizations = Organization.objects.visible_to(actor)
        if options["all"]:
            return lambda: selections.by_key(organizations)
        if options["plan"] is not None:
            live = organizations.filter(subscriptions__plan=options["plan"], subscriptions__ended_at=None)
            return lambda: selections.by_key(live)
        try:
            idents = self._idents(options)
            self._check_known(idents, organizations)
        except BadFile as error:
            raise Failed(f"--from-file: {error} Nothing was changed.") from error
        return lambda: selections.by_ident(idents(), organizations)

    def _idents(self, options: dict[str, Any]) -> Idents:
        if options["from_file"] is None:
            return lambda: dict.fromkeys(options["organization"])
        try:
            return selections.idents_of_file(options["from_file"])
        except MissingColumn as error:
            raise Misuse(f"--from-file: {error}") from error

    def _check_known(self, idents: Idents, organizations: QuerySet[Organization]) -> None:
        """Name what is unknown before anything is written."""
        unknown = 0
        for ident in selections.unknown(idents(), organizations):
            unknown += 1
            if unknown <= _NAMED:
                self.note(f"There is no organization “{ident}”.")
        if unknown:
            raise Failed(f"{counted(unknown, 'unknown organization')}, so nothing was changed.")

    def _count(self, pages: Pages, surface: Surface, choice: str) -> Counts:
        """How many would change, and how many are so already."""
        counts = Counts()
        chosen = PrivacySetting.objects.of_organizations().filter(product=surface.product, choice=choice)
        for page in pages():
            already = chosen.filter(organization__in=page).count()
            counts.unchanged += already
            counts.changed += len(page) - already
        return counts

    def _confirm(self, surface: Surface, options: dict[str, Any], total: int, changing: int) -> None:
        if options["yes"] or not total:
            return
        if options["choice"] == Choice.OPTED_OUT:
            what = f"Opt {counted(total, 'organization')} out on {surface.key}, of which {changing:,} not yet out"
        else:
            what = f"Opt 1 organization in on {surface.key}, so that what comes in from now on may be used for training"
        if not sys.stdin.isatty():
            raise NotConfirmed(f"{what}? Say so with --yes. Nothing was changed.")
        self.stderr.write(f"{what}? [y/N] ", str, ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise NotConfirmed("Nothing was changed.")

    def _opt_out(self, pages: Pages, surface: Surface, actor: Actor, reason: str, total: int) -> Counts:
        with self.progress(total, "organizations") as progress:

            def reach(counts: Counts) -> None:
                done = counts.changed + counts.unchanged
                self.done_so_far = f"{done:,} of {total:,} are done and stay so; run it again for the rest."
                progress.reach(done)

            return choices.opt_out_organizations(
                surface=surface,
                organizations=chain.from_iterable(pages()),
                actor=actor,
                source=Source.COMMAND,
                reason=reason,
                on_chunk=reach,
                chunk_size=selections.PAGE,
            )

    def _opt_in(self, organization: Organization, surface: Surface, actor: Actor, reason: str) -> Counts:
        of_this = PrivacySetting.objects.of_organizations().filter(organization=organization, product=surface.product)
        before = of_this.values_list("version", flat=True).first() or 0
        setting = choices.choose(
            surface=surface,
            organization=organization,
            choice=Choice.OPTED_IN,
            actor=actor,
            source=Source.COMMAND,
            reason=reason,
        )
        return Counts(changed=1) if setting.version != before else Counts(unchanged=1)
