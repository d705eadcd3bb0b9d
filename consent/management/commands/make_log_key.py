"""Make the key that signs the log."""

from typing import Any

from django.conf import settings

from accounts.management.base import Misuse
from consent.management.base import ConsentCommand
from consent.proofs.errors import ProofError
from consent.proofs.note import Signer


class Command(ConsentCommand):
    help = (
        "Make a key for the log, and print two lines: the key, which is a secret, and the verifier key, which is for "
        "everybody. It is stored nowhere. Its name is LOG_ORIGIN, by default the first of ALLOWED_HOSTS and /log."
    )
    examples = """
  manage.py make_log_key
  manage.py make_log_key >> .env
"""
    done_so_far = "No key was made."

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            made = Signer.generate(settings.LOG_ORIGIN)
        except ProofError as error:
            raise Misuse(f"LOG_ORIGIN can't be the name of a log: {error}") from error
        self.answered = True
        self.stdout.write(f"LOG_SIGNING_KEY={made.private_text()}\nLOG_VERIFIER_KEY={made.verifier}")
