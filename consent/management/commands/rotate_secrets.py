"""After a key rotation: re-encrypt data with the first key, and report what still needs an older key."""

from typing import Any

from django.core.management.base import CommandParser

from accounts import encrypted, keys
from accounts.fields import rfc3339
from accounts.management.base import Failed, counted, table
from consent.management.base import ConsentCommand
from consent.models import WebhookEndpoint
from consent.services import webhooks
from consent.webhooks.secrets import current_key, previous_until


class Command(ConsentCommand):
    help = (
        "Encrypt with the first of ENCRYPTION_KEYS whatever an older key encrypted: nobody notices. With --webhooks "
        "also give every webhook a secret of the first of WEBHOOK_KEYS: for 24 hours the old one signs too. By then "
        "its receiver needs the new one; the owners are told by e-mail. Safe to run again. An older key can go once "
        "this says that nothing needs it."
    )
    examples = """
  manage.py rotate_secrets                 # after a key was put first in ENCRYPTION_KEYS
  manage.py rotate_secrets --webhooks      # after a key was put first in WEBHOOK_KEYS
  manage.py rotate_secrets --dry-run       # what would be done
"""
    done_so_far = "What was encrypted until then stays so; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--webhooks", action="store_true", help="the signing secrets of webhooks too")
        parser.add_argument("--dry-run", action="store_true", help="change nothing")
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        # Each step may be repeated: rows that already use the first key are only counted.
        found = encrypted.survey() if dry_run else encrypted.rewrite()
        rotated = [] if dry_run or not options["webhooks"] else webhooks.rotate_keys()
        behind = WebhookEndpoint.objects.exclude(key_id=current_key()).count()
        data = {
            "key": keys.ring(keys.ENCRYPTION)[0].id,
            "encrypted": [
                {"what": each.noun, "rewritten": each.rewritten, "current": each.current, "unreadable": each.unreadable}
                for each in found
            ],
            "webhook_key": current_key(),
            "webhooks_rotated": [str(endpoint.pk) for endpoint in rotated],
            "webhooks_of_older_keys": behind,
            "dry_run": dry_run,
        }
        rows = [[f"{each.noun}s", each.rewritten, each.current, each.unreadable.total()] for each in found]
        rows.append(["webhooks", len(rotated), WebhookEndpoint.objects.count() - behind - len(rotated), "–"])
        verb = "to rewrite" if dry_run else "rewritten"
        self.result(data, table(rows, ["", verb, "already", "unreadable"]), options)
        for endpoint in rotated:
            until = rfc3339(previous_until(endpoint))
            whose = endpoint.organization or "everybody's"
            self.note(f"{endpoint.pk} ({whose}, {endpoint.url}): the old secret signs too until {until}.")
        self._say_what_is_left(found, behind)

    def _say_what_is_left(self, found: list[encrypted.Done], behind: int) -> None:
        if behind:
            self.note(f"{counted(behind, 'webhook')} still signed with an older key; keep it, or use --webhooks.")
        missing = sorted({key for each in found for key in each.unreadable})
        # A failure, so that nobody removes the old key before these rows can be read.
        if missing:
            raise Failed(f"Some rows can't be read. Missing from {keys.ENCRYPTION}: {', '.join(missing)}. They stay.")
