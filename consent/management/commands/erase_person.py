"""Erase a person: remove what identifies them, and keep their opt-out and its events."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import counted
from accounts.models import Member
from consent.management.base import ConsentCommand
from consent.services import erasure


class Command(ConsentCommand):
    help = (
        "Opt a person out everywhere, let them leave, and remove name, address, sessions, second factors and whatever "
        "else names them, for good. Their events stay, by ids that name nobody. Without --yes: says what would go."
    )
    examples = """
  manage.py erase_person ada@example.com --actor operator@demo.example
  manage.py erase_person ada@example.com --actor operator@demo.example --yes
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="the address that the person signs in with")
        parser.add_argument("--actor", metavar="EMAIL", required=True, help="the operator who answers for it")
        parser.add_argument("--yes", action="store_true", help="do it; it can't be taken back")
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        actor = self.actor(options["actor"])
        person = erasure.find_person(options["email"])
        if not options["yes"]:
            memberships = Member.objects.filter(user=person).count()
            text = (
                f"Would erase this person, with {counted(memberships, 'membership')}. Nothing was changed; add --yes."
            )
            self.result({"memberships": memberships, "erased": False}, text, options)
            return
        done = erasure.erase_person(person=person, actor=actor)
        text = (
            f"Erased: {counted(done.memberships, 'membership')} opted out and ended, "
            f"{counted(done.sessions, 'session')} and {counted(done.keys, 'key')} ended."
        )
        if done.left:
            text += (
                f"\n{counted(done.left, 'event')} of the ledger name the person in a reason or reference that somebody "
                "typed; the ledger can't be changed."
            )
        self.result(
            {"erased": True, "memberships": done.memberships, "sessions": done.sessions, "keys": done.keys,
             "events_that_name_them": done.left}, text, options,
        )  # fmt: skip
