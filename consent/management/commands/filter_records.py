"""Split records into those that may be used for training and those that may not."""

from argparse import Namespace
from typing import Any

from django.core.management.base import CommandError, CommandParser

from consent import manifests
from consent.management.base import ConsentCommand
from consent.pipeline import cli, dsse
from consent.pipeline.errors import PipelineError


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
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            key = options["verify_key"] or dsse.public_text(manifests.signing_key())
            report = cli.filter_files(Namespace(**options), key)
        except PipelineError as error:
            raise CommandError(f"{error} {self.done_so_far}", returncode=error.exit_code) from error
        self.result(report.data(), report.text(), options)
        if report.warnings:
            raise CommandError(" ".join(report.warnings), returncode=report.exit_code)
