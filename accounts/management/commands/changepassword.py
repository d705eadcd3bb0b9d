"""Replaces Django's command, because nobody may set another person's password, not even on the server (R19)."""

from typing import Any, NoReturn

from django.core.management.base import CommandParser

from accounts.management.base import Misuse, PortalCommand


class Command(PortalCommand):
    help = "Not here: people set their own passwords, by a link. For an operator create_operator prints one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", nargs="?", help="ignored")

    def handle(self, *_args: Any, **_options: Any) -> NoReturn:
        raise Misuse(
            "People set their own passwords: “Forgot your password?” mails them a link. An operator who has lost all "
            "ways in gets one from: manage.py create_operator EMAIL. Nothing was changed."
        )
