"""Check the receipt of an event, by the key of this log or another."""

from io import StringIO
from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Failed, Misuse
from consent.log import keys, origins
from consent.management.base import ConsentCommand
from consent.proofs import cli
from consent.proofs.errors import ProofError


class Command(ConsentCommand):
    help = (
        "Check that an event is in the log, by its receipt: `python -m consent.proofs verify-receipt`, which needs no "
        "settings and no database, with the keys of this portal's own log where no --vkey is given. Exit code 1: it "
        "proves nothing; 2: it can't be read."
    )
    examples = """
  manage.py verify_receipt receipt-42.tlog-proof
  manage.py verify_receipt receipt-42.json --vkey "portal.example/log+46e6c65c+AQOhB7…" --format json
"""
    requires_system_checks = ()
    done_so_far = "Nothing was proven."

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_verify_receipt(parser, key_needed=False)

    def handle(self, *_args: Any, **options: Any) -> None:
        out = StringIO()
        try:
            verifiers = cli.verifiers(options["vkey"]) if options["vkey"] else _own_keys()
            code = cli.verify_receipt(options["file"], verifiers, options["format"], out)
        except (ProofError, OSError, UnicodeDecodeError) as error:
            raise Misuse(f"{error} {self.done_so_far}") from error
        self.answered = True
        self.stdout.write(out.getvalue())
        if code:
            raise Failed("The receipt does not hold.")


def _own_keys() -> list[Any]:
    """The keys of this portal's log, under each of its names. Raises Misuse."""
    try:
        found = list(origins.verifiers())
    except keys.BadKey as error:
        raise Misuse(str(error)) from error
    if not found:
        raise Misuse("This portal keeps no log: give the public key of the log by --vkey.")
    return found
