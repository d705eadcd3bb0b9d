"""Replaces Django's command, which would make an operator without an event and without notice to other operators."""

from typing import Any, NoReturn

from django.core.management.base import CommandParser

from accounts.management.base import Misuse, PortalCommand


class Command(PortalCommand):
    help = "Not here: operators are made with create_operator, which is noted and told to all of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", help="ignored")
        parser.add_argument("--noinput", "--no-input", action="store_true", help="ignored")

    def handle(self, *_args: Any, **_options: Any) -> NoReturn:
        raise Misuse("Make an operator with: manage.py create_operator EMAIL. Nothing was changed.")
