"""Nonsense sent to every page, in every field of every form, is refused or ignored, and never causes an error 500."""

import random

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from consent.console.urls import urlpatterns
from tests.support.cast import Cast

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

VALUES = (
    "", "\x00", "x" * 3_000, "-1", "9" * 20, "😀", "external:", "external:\x00", "2026-13-45", "9999-12-31",
    "0000-00-00", "[]", "{}", "null", "<script>", "%00", "' OR 1=1", "2026-01-01T00:00",
    "01a20df3-26b3-762c-ade4-2a49993931b5",
    "\u202e", "csv", "le_chat", "opted_in", "remove", "role", "create", "https://127.1/", "owner",
)  # fmt: skip
FIELDS = (
    "do", "choice", "version", "confirmed", "reason", "email", "role", "member", "invitation", "key", "name", "scopes",
    "expires_on", "url", "description", "webhook", "product", "kind", "since", "until", "after", "login", "password",
    "next", "language", "code", "credential", "q", "o", "p", "organization", "surface", "plan", "digest", "data_kind",
    "collected_at", "at", "e", "all", "country", "select", "file",
)  # fmt: skip
ACCOUNT = (
    "/sign-in/", "/account/reset/", "/account/confirm/", "/account/password/", "/account/sessions/", "/language/",
    "/account/second-factor/", "/account/second-factor/totp/activate/", "/account/second-factor/webauthn/add/",
    "/account/second-factor/webauthn/login/", "/account/second-factor/authenticate/", "/invitations/x/",
)  # fmt: skip


def paths(cast: Cast) -> list[str]:
    found = ["/", "/organizations/", *ACCOUNT]
    values = {
        "org": cast.labs.pk, "form": "csv", "member": cast.labs_member.pk, "number": 1, "surface": "le_chat_console",
    }  # fmt: skip
    for each in urlpatterns:
        wanted = {name: values[name] for name in each.pattern.regex.groupindex}
        found.append(reverse(f"console:{each.name}", kwargs=wanted))
    found += [reverse(f"admin:{name}") for name in ("index", "why", "bulk", "import", "wordings")]
    found.append(reverse("admin:wording", args=["le_chat_console", 3]))
    return found + [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in admin.site._registry
    ]


@pytest.mark.parametrize("person", ["owner", "operator", "member"])
def test_nonsense__anywhere__never_a_server_error(person: str, cast: Cast) -> None:
    chance, failed = random.Random(1789), set()  # noqa: S311  drawn alike each time
    client = Client(raise_request_exception=False)
    for path in paths(cast):
        client.force_login(getattr(cast, person))
        for _time in range(3):
            sent = {chance.choice(FIELDS): chance.choice(VALUES) for _field in range(chance.randint(1, 5))}
            answers = [send(path, sent).status_code for send in (client.get, client.post)]
            if max(answers) >= 500:
                failed.add((path, str(sent)))
    assert failed == set()
