"""Check the manifest of a training run, and the checkpoint that it carries, by this portal's keys or others."""

from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.base import Failed, Misuse
from consent import manifests
from consent.log import covering, keys, origins
from consent.management.base import ConsentCommand
from consent.pipeline import cli, run_manifest, verifying
from consent.pipeline.errors import PipelineError
from consent.proofs.note import Checkpoint, Verifier


class Command(ConsentCommand):
    help = (
        "Check that the manifest of a training run is signed, and that the checkpoint of the log that it carries is "
        "signed and covers the position that the run rests on. `python -m consent.pipeline verify-manifest` does so "
        "without settings and a database. Without --verify-key by the key of this portal. Without --vkey by that of "
        "its own log, and then the checkpoint has to be one that is kept here; with --vkey a manifest that carries no "
        "checkpoint does not hold. Exit code 1: it does not hold; 2: it can't be read."
    )
    examples = """
  manage.py verify_manifest R-77.json
  manage.py verify_manifest R-77.json --verify-key key.pem --vkey "portal.example/log+46e6c65c+AQOhB7…" --format json
"""
    requires_system_checks = ()
    done_so_far = "Nothing was proven."

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_verify_manifest(parser, key_needed=False)

    def handle(self, *_args: Any, **options: Any) -> None:
        given = bool(options["vkey"])
        try:
            key = options["verify_key"] or manifests.signing_key().public_key()
            of_log = run_manifest.log_keys(options["vkey"]) if given else _own_keys()
            verdict = verifying.verify(options["manifest"], key, of_log, demanded=given)
        except PipelineError as error:
            raise CommandError(f"{error} {self.done_so_far}", returncode=error.exit_code) from error
        if not given:
            verdict = verdict.and_also("the checkpoint is one that this portal keeps", _require_ours)
        self.answered = True
        self.stdout.write(verdict.shown(options["format"]))
        if not verdict.holds:
            raise Failed("The manifest does not hold.")


def _own_keys() -> Sequence[Verifier]:
    """The keys of this portal's log, under each of its names; none where it keeps no log. Raises Misuse."""
    try:
        return origins.verifiers()
    except keys.BadKey as error:
        raise Misuse(f"{error} {Command.done_so_far}") from error


def _require_ours(found: Checkpoint) -> None:
    """Raises PipelineError for a checkpoint that is not kept here, as it is where the log was made anew."""
    if covering.find(found) is None:
        raise PipelineError(f"This portal keeps no checkpoint of {found.size} events with that root.")
