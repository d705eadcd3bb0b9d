"""API keys for tests: the installation's own, or those of a responsible person."""

import datetime as dt
from collections.abc import Iterable

from accounts.access import Actor
from accounts.models import INSTALLATION_SCOPES, ApiKey, Organization, User
from consent.services import credentials


def issue_key(
    name: str,
    scopes: Iterable[str],
    *,
    organization: Organization | None = None,
    expires_at: dt.datetime | None = None,
    issued_by: User | None = None,
) -> tuple[ApiKey, str]:
    """The key and its text. With `issued_by` that person makes it, having just reauthenticated.

    A key that would wait for a second operator is made as if by a command.
    """
    scopes = list(scopes)
    actor = Actor.on_machine() if issued_by is None else Actor.from_user(issued_by, confirmed=True)
    if issued_by is not None and INSTALLATION_SCOPES & set(scopes):
        actor = Actor.from_command(issued_by)
    made = credentials.issue_key(
        name=name, scopes=scopes, organization=organization, expires_at=expires_at, actor=actor, source="command"
    )
    return made.key, made.text or ""
