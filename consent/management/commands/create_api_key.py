"""Issue an API key on the server's command line, for example the first one of an installation."""

import datetime as dt
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.access import Actor, Permission
from accounts.fields import rfc3339
from accounts.management.base import Misuse, parse_instant, printable
from accounts.models import ApiKey

from ...errors import Invalid
from ...models import Source
from ...services.credentials import issue_key
from ..base import ConsentCommand

_NAME_LENGTH = ApiKey._meta.get_field("name").max_length or 0


class Command(ConsentCommand):
    help = (
        "Issue an API key and print it, once and alone, on stdout. It can't be shown again. "
        "It is the installation's own: it works until it is revoked, whoever leaves."
    )
    examples = """
  manage.py create_api_key pipeline --scope decisions:read
  manage.py create_api_key "mobile backend" --scope consent:read consent:member --expires 2027-01-01
  KEY=$(manage.py create_api_key sync --scope organizations:read --organization external:acme)
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what the key is for; need not be unique")
        parser.add_argument(
            "--scope", nargs="+", action="extend", required=True, metavar="SCOPE", choices=ApiKey.Scope.values,
            help="what it may do: " + ", ".join(ApiKey.Scope.values),
        )  # fmt: skip
        parser.add_argument(
            "--organization", metavar="ID", help="good for this one only, by id or external:ID; without it for all"
        )
        parser.add_argument(
            "--actor", metavar="EMAIL", help="the operator in whose name it starts bulk jobs; without one it can't"
        )
        parser.add_argument("--expires", metavar="DATE", help="a day (its first moment in UTC) or an RFC 3339 instant")
        self.add_format(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        name = _clean_name(options["name"])
        expires_at = _parse_expiry(options["expires"])
        organization = None
        if options["organization"] is not None:
            organization = self.organization(options["organization"], Actor.system(), Permission.ORGANIZATION_VIEW)
        actor = self.actor(options["actor"]) if options["actor"] else Actor.on_machine()
        try:
            issued = issue_key(
                name=name,
                scopes=options["scope"],
                organization=organization,
                expires_at=expires_at,
                actor=actor,
                source=Source.COMMAND,
            )
        except Invalid as error:
            raise Misuse(str(error)) from error
        # The key alone goes to stdout, so that a script can capture it; the rest goes to stderr.
        key = issued.key
        data = {"id": str(key.pk), "key": issued.text, "prefix": key.prefix, "name": key.name, "scopes": key.scopes}
        data |= {"organization": str(organization.pk) if organization else None, "expires_at": rfc3339(expires_at)}
        self.result(data, issued.text or "", options)
        reach = f"for {organization}" if organization else "for all organizations"
        until = f"until {expires_at.isoformat()}" if expires_at else "until it is revoked"
        self.note(
            f"Key {key.prefix}… “{key.name}”, {reach}, {', '.join(key.scopes)}, {until}. Keep it: it is shown once."
        )


def _clean_name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > _NAME_LENGTH or printable(name) != name:
        raise Misuse(f"The name has 1 to {_NAME_LENGTH} characters, none of them a control character.")
    return name


def _parse_expiry(text: str | None) -> dt.datetime | None:
    """The instant of --expires; a date means its start in UTC. Raises Misuse without a time zone, or for the past."""
    if text is None:
        return None
    try:
        instant = dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
    except ValueError:
        instant = parse_instant("--expires", text)
    if instant <= timezone.now():
        raise Misuse(f"--expires: {printable(text)} is not in the future.")
    return instant
