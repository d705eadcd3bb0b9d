"""Make an operator on the server's command line: the first one, or when no operator is left to approve another."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.base import Misuse
from accounts.password_links import password_path
from consent.management.base import ConsentCommand
from consent.services import people


class Command(ConsentCommand):
    help = (
        "Make an operator, or let one in again who has lost all ways in, and print a link to set a password. It is "
        "noted in the ledger and told to every operator by mail. They can't approve what was submitted before."
    )
    examples = """
  manage.py create_operator odin@provider.example --name "Odin Eriksen" --url https://consent.provider.example
  manage.py create_operator odin@provider.example --remove-second-factors
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--name", default="", help="of somebody new")
        parser.add_argument("--url", default="http://localhost:8000", help="where the portal is, for the link")
        parser.add_argument(
            "--remove-second-factors",
            action="store_true",
            help="for an operator who has lost theirs, recovery codes too",
        )
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        base = options["url"].rstrip("/")
        if not base.startswith(("http://", "https://")):
            raise Misuse("--url: give the portal's address, like https://consent.provider.example.")
        person = people.create_operator(
            email=options["email"], name=options["name"], remove_factors=options["remove_second_factors"]
        )
        link = base + password_path(person)
        self.result({"operator": person.email, "id": str(person.pk), "link": link}, link, options)
        self.note(f"{person.email} is an operator. The link sets a password, once; every operator is told by mail.")
