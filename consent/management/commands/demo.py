"""Fill an empty installation with demo data: organizations, people and two years of history made by the services."""

import secrets
from collections.abc import Collection
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.management.base import CommandParser
from django.db import transaction
from django.utils import timezone

from accounts.management.base import Failed, table
from accounts.models import Organization, OutgoingMessage, User
from consent import ledger
from consent.demo import scenario
from consent.management.base import ConsentCommand
from consent.projections import runner
from consent.projections.honour import count_honoured


class Command(ConsentCommand):
    help = (
        "Fill an installation that has no organizations with a demo, and print who can sign in and the password, "
        "which is made anew each time. With --new-password: a fresh password for the people of the demo that is here."
    )
    examples = """
  manage.py demo
  manage.py demo --new-password
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--new-password", action="store_true", help="only make a new password for the demo's people"
        )
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(12)
        if options["new_password"]:
            people = self._set_password(password, scenario.PEOPLE)
            self.note("Jobs and requests that wait were sent before: the operators can't approve those any more.")
        else:
            self._fill(password)
            operators = (scenario.OPERATOR[0], scenario.REVIEWER[0])
            people = self._set_password(password, [each for each in scenario.PEOPLE if each not in operators])
        lines = table([*people.items(), ("password", password)])
        intro = "Sign in as one of these; the password is the same for all:"
        self.result({"password": password, "people": people}, f"{intro}\n\n{lines}", options)

    def _fill(self, password: str) -> None:
        if Organization.objects.exists():
            raise Failed("There are organizations here; the demo is for an empty installation. Nothing was changed.")
        address = scenario.OPERATOR[0]
        if User.objects.filter(email=address).exists():
            raise Failed(f"There is a user {address} here already. Nothing was changed.")
        last = OutgoingMessage.objects.order_by("pk").values_list("pk", flat=True).last() or 0
        try:
            with ledger.history_clock() as travel, transaction.atomic():
                scenario.Story(travel, timezone.now(), password).tell()
        except RuntimeError as error:
            raise Failed(f"{str(error).capitalize()}. Nothing was changed.") from error
        self.done_so_far = "The demo is there; --new-password makes its password."
        # Do the worker's part now, so that the demo's pages are complete at once.
        ledger.sequence()
        # No e-mail about the demo to its people, who have no mailboxes; mail that waited before is left alone.
        runner.skip_to_head("notices")
        OutgoingMessage.objects.filter(pk__gt=last, recipient__endswith=".example").delete()
        for name in ("rollup", "wordings", "words", "honour"):
            runner.catch_up(name)
        while count_honoured():
            pass
        self.note(f"Made {Organization.objects.count()} organizations with {ledger.head()} events.")

    def _set_password(self, password: str, addresses: Collection[str]) -> dict[str, str]:
        """Set the password, hashed once, for these addresses. Returns address → role for all demo users that exist."""
        there = set(User.objects.filter(email__in=scenario.PEOPLE, is_active=True).values_list("email", flat=True))
        if scenario.OPERATOR[0] not in there:
            raise Failed("There is no demo here. Nothing was changed.")
        User.objects.filter(email__in=addresses, is_active=True).update(password=make_password(password))
        return {address: what for address, what in scenario.PEOPLE.items() if address in there}
