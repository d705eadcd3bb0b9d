"""Creates the database for a real server in tests: python -m tests.serving.prepare, with DATABASE_URL."""

import json

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.management import call_command  # noqa: E402

from tests.support import cast as casting  # noqa: E402
from tests.support.keys import issue_key  # noqa: E402


def main() -> None:
    call_command("migrate", verbosity=0)
    people = casting.make()
    session = SessionStore()
    session[SESSION_KEY] = str(people.operator.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = people.operator.get_session_auth_hash()
    session.save()
    _key, text = issue_key(
        "tests",
        ["consent:read", "consent:write", "decisions:read", "events:read", "organizations:read", "organizations:write"],
    )
    print(
        json.dumps(
            {
                "key": text,
                "labs": str(people.labs.pk),
                "brage": str(people.brage.pk),
                "member": str(people.labs_member.pk),
                "session": session.session_key,
            }
        )
    )


if __name__ == "__main__":
    main()
