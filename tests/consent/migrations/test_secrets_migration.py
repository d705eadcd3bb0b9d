"""The migrations to encrypted secrets and webhook keys: everything keeps working, forwards and backwards."""

import datetime as dt
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from accounts import keys
from accounts.models import OutgoingMessage
from consent.models import WebhookEndpoint
from consent.services import webhooks
from consent.webhooks.secrets import secret_of
from tests.support.secrets import stored
from tests.support.cast import Cast
from tests.support.secrets import old_secret, verifies

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = [("accounts", "0009_had_others"), ("consent", "0008_validate_event_checks")]
MFA = ("mfa", "0003_authenticator_type_uniq")
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
DATA = [
    ("totp", {"secret": SECRET}),
    ("recovery_codes", {"used_mask": 1, "seed": "f" * 80, "migrated_codes": ["11111111", "22222222"]}),
    ("webauthn", {"name": "Key", "credential": {"rawId": "AA"}}),
]
CLEAR = (SECRET, "f" * 80, "11111111", "22222222", "a link that opens an account")


def back() -> Any:
    """Unmigrate; returns the models of then."""
    MigrationExecutor(connection).migrate(BEFORE)
    return MigrationExecutor(connection).loader.project_state([*BEFORE, MFA]).apps


def test_migrate__clear_secrets_and_a_rotated_webhook__encrypted_and_going_on(cast: Cast) -> None:
    endpoint = webhooks.create_endpoint(source="admin",
        organization=cast.labs, url="https://example.com/hook", actor=cast.provider
    )  # fmt: skip
    until = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=3)
    try:
        old = back()
        for kind, data in DATA:
            old.get_model("mfa", "Authenticator").objects.create(user_id=cast.owner.pk, type=kind, data=data)
        old.get_model("accounts", "OutgoingMessage").objects.create(
            recipient="ada@kvasir.example", subject="s", body=CLEAR[-1]
        )
        old.get_model("consent", "WebhookEndpoint").objects.update(generation=2, previous_until=until)
        assert all(text in stored() for text in CLEAR)
    finally:
        call_command("migrate", verbosity=0)
    assert [text for text in CLEAR if text in stored()] == []
    assert keys.decrypt(Authenticator.objects.get(type="totp").data["secret"]) == SECRET
    assert OutgoingMessage.objects.get().body == CLEAR[-1]
    endpoint = WebhookEndpoint.objects.get()
    earlier = old_secret(WebhookEndpoint(pk=endpoint.pk, generation=1))
    assert secret_of(endpoint) == old_secret(endpoint)
    assert verifies(endpoint, old_secret(endpoint)) and verifies(endpoint, earlier)
    assert not verifies(endpoint, earlier, until + dt.timedelta(seconds=1))
    try:
        old = back()
        found = old.get_model("mfa", "Authenticator").objects.order_by("pk").values_list("type", "data")
        assert list(found) == DATA
        assert old.get_model("accounts", "OutgoingMessage").objects.get().body == CLEAR[-1]
        hook = old.get_model("consent", "WebhookEndpoint").objects.get()
        assert (hook.generation, hook.previous_until) == (2, until)
    finally:
        call_command("migrate", verbosity=0)
