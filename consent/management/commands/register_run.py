"""Register a training run from the reports of the filter that chose its data."""

import contextlib
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Misuse, printable, table
from config import strict_json
from consent.errors import Refused
from consent.files.atomic import BadFile, new_file
from consent.management.base import ConsentCommand
from consent.models import Source
from consent.services import runs


class Command(ConsentCommand):
    help = (
        "Register a training run whose data are the allowed files of one or several reports of the filter, and sign "
        "its manifest. Do it before training: from then on the portal says what has to be removed from the run. With "
        "an external id it can be repeated: the same data changes nothing, other data is refused."
    )
    examples = """
  manage.py register_run --report report.json --name R-77 --actor odin@provider.example --manifest R-77.json
  manage.py register_run --report a.json --report b.json --name R-78 --external-id exp-12 --actor EMAIL
"""
    refusals = (*ConsentCommand.refusals, BadFile)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--report", metavar="FILE", action="append", required=True, help="a report of the filter; may be repeated"
        )
        parser.add_argument("--name", required=True, help="of the run, for people")
        parser.add_argument("--purpose", default="", help="what it is for")
        parser.add_argument("--external-id", help="your own id of the run")
        parser.add_argument("--manifest", metavar="OUT", help="where to write the signed manifest")
        parser.add_argument("--force", action="store_true", help="replace a manifest that is there")
        self.add_actor(parser)
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        actor, reports = self.actor(options["actor"]), [self._read(path) for path in options["report"]]
        with contextlib.ExitStack() as stack:
            # Before anything is registered: where it can't be written, nothing is.
            out = (
                stack.enter_context(new_file(options["manifest"], force=options["force"]))
                if options["manifest"]
                else None
            )
            try:
                registered = runs.register(
                    name=options["name"],
                    purpose=options["purpose"],
                    external_id=options["external_id"],
                    reports=reports,
                    actor=actor,
                    source=Source.COMMAND,
                )
            except Refused as error:
                if error.code == "no_signing_key":
                    raise Misuse(f"{error} {self.done_so_far}") from error
                raise
            run = registered.run
            if registered.new:
                self.done_so_far = f"The run {run.pk} is registered."
            if out is not None:
                out.write(run.manifest.encode())
        if not registered.new:
            self.note("This run was registered before, with the same data: nothing was changed.")
        told = {
            "id": str(run.pk),
            "name": run.name,
            "external_id": run.external_id,
            "position": run.snapshot_position,
            "files": run.files.count(),
            "allowed": run.allowed,
            "denied": run.denied,
            "dataset_digest": run.dataset_digest,
            "new": registered.new,
        }
        text = table([
            ("run", run.pk), ("name", run.name), ("external id", run.external_id),
            ("position", f"{run.snapshot_position:,}"), ("files", f"{told['files']:,}"),
            ("used", f"{run.allowed:,}"), ("not used", f"{run.denied:,}"), ("digest", run.dataset_digest),
        ])  # fmt: skip
        self.result(told, text, options)

    @staticmethod
    def _read(path: str) -> object:
        try:
            found: object = strict_json.loads(Path(path).read_bytes())
        except OSError as error:
            raise Misuse(f"--report: {printable(path)}: {error.strerror}.") from error
        except ValueError as error:
            raise Misuse(f"--report: {printable(path)} is not JSON.") from error
        return found
