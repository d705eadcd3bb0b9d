"""`rotate_secrets`: encrypts again what has an older key or is in clear text; --webhooks rotates their secrets too."""

import datetime as dt
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.core.mail import send_mail
from django.test import Client

from accounts import keys
from accounts.models import OutgoingMessage
from consent import ledger
from consent.models import ConsentEvent, WebhookEndpoint
from consent.services import webhooks
from consent.webhooks.secrets import secret_of
from tests.support.cast import Cast
from tests.support.commands import database, run
from tests.support.factories import AuthenticatorFactory
from tests.support.secrets import old_secret, verifies
from tests.support.webhook_receiver import result_of_test

pytestmark = pytest.mark.django_db
OLD, NEW = ("an old key that nobody else has got", "a new key that nobody else has got")
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def key_ids() -> set[str]:
    return {keys.key_id_of(each.data["secret"]) for each in Authenticator.objects.filter(type="totp")}


def test_rotate_secrets__older_key_and_clear__first_key_alone_afterwards(cast: Cast, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    TOTP.activate(cast.owner, SECRET)
    send_mail("s", "a link", None, ["ada@kvasir.example"])
    AuthenticatorFactory(user=cast.admin, type="totp", data={"secret": SECRET})
    AuthenticatorFactory(user=cast.admin, type="webauthn", data={"name": "Key"})
    client = Client()
    client.force_login(cast.member)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    before = database()
    preview = run("rotate_secrets", "--dry-run", "--format", "json")
    assert preview.code == 0 and database() == before
    assert [each["rewritten"] for each in preview.json["encrypted"]] == [2, 1, 1]
    done = run("rotate_secrets", "--format", "json")
    assert done.code == 0
    assert [each["rewritten"] for each in done.json["encrypted"]] == [2, 1, 1]
    settings.ENCRYPTION_KEYS = [NEW]
    assert key_ids() == {keys.derive(keys.ENCRYPTION, NEW).id}
    assert [keys.decrypt(each.data["secret"]) for each in Authenticator.objects.filter(type="totp")] == [SECRET] * 2
    assert OutgoingMessage.objects.get().body == "a link"
    assert client.get("/settings/data-controls/").status_code == 200
    again = run("rotate_secrets", "--format", "json")
    assert [(each["rewritten"], each["current"]) for each in again.json["encrypted"]] == [(0, 2), (0, 1), (0, 1)]


def test_rotate_secrets__key_is_missing__named_and_left(cast: Cast, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    TOTP.activate(cast.owner, SECRET)
    settings.ENCRYPTION_KEYS = [NEW]
    TOTP.activate(cast.admin, SECRET)
    before = list(Authenticator.objects.order_by("pk").values_list("data", flat=True))
    result = run("rotate_secrets")
    assert result.code == 1 and keys.derive(keys.ENCRYPTION, OLD).id in result.err
    assert list(Authenticator.objects.order_by("pk").values_list("data", flat=True)) == before


def test_rotate_secrets__more_rows_than_a_chunk__all(cast: Cast, settings: Any, monkeypatch: Any) -> None:
    from accounts import encrypted

    monkeypatch.setattr(encrypted, "_CHUNK", 2)
    for person in (cast.owner, cast.admin, cast.member, cast.auditor, cast.outsider):
        TOTP.activate(person, SECRET)
    settings.ENCRYPTION_KEYS = [NEW]
    assert run("rotate_secrets", "--format", "json").json["encrypted"][0]["rewritten"] == 5
    assert key_ids() == {keys.derive(keys.ENCRYPTION, NEW).id}


# --- Webhooks ---------------------------------------------------------------------------------------------------------


def made(cast: Cast) -> WebhookEndpoint:
    return webhooks.create_endpoint(
        source="admin", organization=cast.labs, url="https://example.com/hook", actor=cast.provider
    )


@pytest.mark.parametrize("configured", [[], [OLD]])
def test_webhook__of_before__its_receivers_secret_goes_on(cast: Cast, settings: Any, configured: list[str]) -> None:
    endpoint = made(cast)
    WebhookEndpoint.objects.update(key_id="", generation=3)
    endpoint.refresh_from_db()
    theirs = old_secret(endpoint)
    settings.WEBHOOK_KEYS = configured
    assert secret_of(endpoint) == theirs and verifies(endpoint, theirs)
    assert run("rotate_secrets", "--webhooks").code == 0
    endpoint.refresh_from_db()
    in_a_day = ledger.clock() + dt.timedelta(hours=24, minutes=1)
    assert secret_of(endpoint) != theirs
    for secret, today, tomorrow in ((theirs, True, False), (secret_of(endpoint), True, True)):
        assert (verifies(endpoint, secret), verifies(endpoint, secret, in_a_day)) == (today, tomorrow)


def test_webhook__new_key_first__old_secret_until_rotated_and_a_day_longer(cast: Cast, settings: Any) -> None:
    settings.WEBHOOK_KEYS = [OLD]
    endpoint = made(cast)
    first = secret_of(endpoint)
    settings.WEBHOOK_KEYS = [NEW, OLD]
    assert secret_of(endpoint) == first
    plain = run("rotate_secrets")
    assert plain.code == 0 and "1 webhook still signed with an older key" in plain.err
    endpoint.refresh_from_db()
    assert secret_of(endpoint) == first
    result = run("rotate_secrets", "--webhooks", "--format", "json")
    assert result.json["webhooks_rotated"] == [str(endpoint.pk)] and result.json["webhooks_of_older_keys"] == 0
    assert first not in result.out + result.err
    endpoint.refresh_from_db()
    second = secret_of(endpoint)
    assert second != first and verifies(endpoint, first) and verifies(endpoint, second)
    # The owner fetches the new secret on the page, by another rotation: what the receiver has goes on all the same.
    endpoint = webhooks.rotate_secret(source="admin", endpoint=endpoint, actor=cast.provider)
    assert all(verifies(endpoint, secret) for secret in (first, second, secret_of(endpoint)))
    assert run("rotate_secrets", "--webhooks", "--format", "json").json["webhooks_rotated"] == []
    # The old key can go: only what it signed for the rest of the day is missing then.
    settings.WEBHOOK_KEYS = [NEW]
    assert verifies(endpoint, secret_of(endpoint)) and not verifies(endpoint, first)


def test_rotate_keys__owners_told_without_the_secret(cast: Cast, settings: Any) -> None:
    endpoint = made(cast)
    settings.WEBHOOK_KEYS = [NEW]
    assert [each.pk for each in webhooks.rotate_keys()] == [endpoint.pk]
    [message] = OutgoingMessage.objects.all()
    assert message.recipient == cast.owner.email and endpoint.url in message.body and "whsec" not in message.body
    event = ConsentEvent.objects.get(kind="access.webhook_secret_rotated")
    assert (event.organization_id, event.target, event.source) == (cast.labs.pk, str(endpoint.pk), "command")
    assert webhooks.rotate_keys() == [] and OutgoingMessage.objects.count() == 1


def test_webhook__key_is_missing__attempt_says_so_and_rotating_mends_it(cast: Cast, settings: Any) -> None:
    settings.WEBHOOK_KEYS = [OLD]
    endpoint = made(cast)
    settings.WEBHOOK_KEYS = [NEW]
    attempt = result_of_test(endpoint)
    assert not attempt.delivered and "signing key is missing" in attempt.error
    rotated = webhooks.rotate_secret(source="admin", endpoint=endpoint, actor=cast.provider)
    assert verifies(rotated, secret_of(rotated))
