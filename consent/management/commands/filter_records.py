"""Split records into those that may be used for training and those that may not."""

import logging
from argparse import Namespace
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.access import Actor
from accounts.management.base import printable
from consent import manifests
from consent.management.base import ConsentCommand
from consent.pipeline import cli, dsse
from consent.pipeline.errors import Left, PipelineError
from consent.pipeline.report import INCOMPLETE
from consent.services import runs

# Whom records belonged to when they were filtered: what an id means may have changed since.
_OF_A_RUN = "organization=consent_organization,member=consent_member"
_NAMED = 5


class Command(ConsentCommand):
    help = (
        "Split records into those that may be used for training and those that may not, by a snapshot of consent: "
        "`python -m consent.pipeline filter`, which runs without the portal, with the portal's own key. Exit code 3: "
        "all was written, but look at it first. Needs the packages of requirements/pipeline.txt."
    )
    examples = cli.EXAMPLES.format(program="manage.py filter_records").replace("--verify-key key.pem ", "")

    done_so_far = "Nothing has its final name."

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_filter(parser, key_needed=False)
        parser.add_argument(
            "--run",
            help="filter the data of this training run again, by whom it belonged to then: the run's id, or external: "
            "and its external id. What may not be used any more has to be removed",
        )
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        for library in ("aiobotocore", "botocore"):  # they log where credentials come from, and at DEBUG what is signed
            logging.getLogger(library).setLevel(logging.WARNING)
        run = runs.get_run(Actor.system(), options["run"]) if options["run"] else None
        try:
            key = options["verify_key"] or dsse.public_text(manifests.signing_key())
            if run is not None:
                options["columns"] = [_OF_A_RUN, *(options["columns"] or ())]
                runs.require_later(run, cli.position_of(options["snapshot"], key))
            report = cli.filter_files(Namespace(**options), key)
        except KeyboardInterrupt:
            if options["filesystem"]:  # perhaps while objects were made
                self.done_so_far = "What is on the store without a report is not whole."
            raise
        except Left as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        except PipelineError as error:
            raise CommandError(f"{error} {self.done_so_far}", returncode=error.exit_code) from error
        self.result(report.data(), report.text(), options)
        warnings = list(report.warnings)
        if run is not None and (others := runs.others(run, report.inputs)):
            warnings.append(
                f"{', '.join(others[:_NAMED])}: not the data of {printable(run.name)} as it was registered."
            )
        if warnings:
            raise CommandError(" ".join(warnings), returncode=INCOMPLETE)
