"""Secrets in the database are encrypted; every key of the list decrypts them, and nothing else does."""

import io
import logging
import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.core.checks import run_checks
from django.core.mail import send_mail
from django.test import Client

from accounts import encrypted, keys, outbox
from accounts.models import OutgoingMessage
from tests.support.cast import Cast
from tests.support.factories import AuthenticatorFactory
from tests.support.secrets import stored
from tests.support.sign_in import SECRET, code, sign_in, signed_in

pytestmark = pytest.mark.django_db

FIRST, SECOND, THIRD = ("the first key, of no use to anyone", "the second key, of no use either", "and a third one")


# --- Keys -----------------------------------------------------------------------------------------------------------


def test_keys__first_encrypts__all_decrypt(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = []
    texts = [keys.encrypt("ægir")]  # by the key that SECRET_KEY gives
    for configured in ([FIRST], [SECOND, FIRST], [THIRD, SECOND, FIRST]):
        settings.ENCRYPTION_KEYS = configured
        texts.append(keys.encrypt("ægir"))
        assert keys.key_id_of(texts[-1]) == keys.derive(keys.ENCRYPTION, configured[0]).id
        assert [keys.decrypt(text) for text in texts] == ["ægir"] * len(texts)
    assert len(set(texts)) == len({keys.key_id_of(text) for text in texts}) == len(texts)


def test_keys__missing_key__named(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [FIRST]
    text = keys.encrypt("x")
    settings.ENCRYPTION_KEYS = [SECOND]
    with pytest.raises(keys.UnknownKey, match=f"key {keys.key_id_of(text)} is not among ENCRYPTION_KEYS"):
        keys.decrypt(text)


@pytest.mark.parametrize("where", range(0, 100, 3))
def test_keys__altered_anywhere__refused(where: int) -> None:
    text = keys.encrypt("a secret of some length, so that there is something to alter")
    other = "B" if text[where] != "B" else "C"
    with pytest.raises((keys.UnknownKey, keys.NotEncrypted)):
        keys.decrypt(text[:where] + other + text[where + 1 :])


@pytest.mark.parametrize("text", ["", "v1", "v1.", "v1..", SECRET, "v1.00000000", "v2.00000000.AAAA", "v1.0.A"])
def test_keys__clear_text__is_no_ciphertext(text: str) -> None:
    with pytest.raises(keys.NotEncrypted):
        keys.decrypt(text)


def test_keys__purposes_of_one_secret__independent() -> None:
    made = [keys.derive(purpose, FIRST) for purpose in (keys.ENCRYPTION, keys.WEBHOOKS, "SECRET_KEY")]
    assert len({key.id for key in made}) == len({key.material for key in made}) == 3
    assert FIRST not in repr(made) and "material" not in repr(made)


# --- What is stored ---------------------------------------------------------------------------------------------------


def test_stored__second_factors_messages_and_what_waits_in_sessions__never_in_clear(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)
    RecoveryCodes.activate(cast.owner)
    seed = keys.decrypt(Authenticator.objects.get(type="recovery_codes").data["seed"])
    Client().post("/account/reset/", {"email": cast.admin.email})
    link = re.search(r"/account/reset/(\S+)/", OutgoingMessage.objects.get().body)
    assert link
    database = stored()
    assert [text for text in (SECRET, seed, link[1]) if text in database] == []
    # And yet they are of use.
    client = Client()
    sign_in(client, cast.owner.email)
    client.post("/account/second-factor/authenticate/", {"code": code()})
    assert signed_in(client)


def test_stored__clear_secret__opens_nothing(cast: Cast) -> None:
    """Whoever can write to the database, but has no key, can't put in a second factor of their own."""
    AuthenticatorFactory(user=cast.owner, type="totp", data={"secret": SECRET})
    client = Client()
    sign_in(client, cast.owner.email)
    client.post("/account/second-factor/authenticate/", {"code": code()})
    assert not signed_in(client)


def test_sign_in__key_is_missing__said_and_refused(cast: Cast, settings: Any, caplog: Any) -> None:
    settings.ENCRYPTION_KEYS = [FIRST]
    TOTP.activate(cast.owner, SECRET)
    settings.ENCRYPTION_KEYS = [SECOND]
    client = Client()
    sign_in(client, cast.owner.email)
    page = client.post("/account/second-factor/authenticate/", {"code": code()})
    assert page.status_code == 200 and "can&#x27;t be checked at the moment" in page.content.decode()
    assert not signed_in(client)
    assert keys.derive(keys.ENCRYPTION, FIRST).id in caplog.text
    settings.ENCRYPTION_KEYS = [SECOND, FIRST]
    client.post("/account/second-factor/authenticate/", {"code": code()})
    assert signed_in(client)


def test_outbox__key_is_missing__kept_until_it_is_there_and_others_go(settings: Any, tmp_path: Any) -> None:
    settings.DELIVERY = {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend"}
    settings.EMAIL_FILE_PATH = str(tmp_path)
    settings.ENCRYPTION_KEYS = [FIRST]
    send_mail("Subject", "first", None, ["ada@kvasir.example"])
    settings.ENCRYPTION_KEYS = [SECOND]
    send_mail("Subject", "second", None, ["ada@kvasir.example"])
    assert outbox.send_waiting() is True
    [kept] = OutgoingMessage.objects.values_list("attempts", flat=True)
    assert kept == 0 and [("second" in path.read_text()) for path in tmp_path.iterdir()] == [True]
    settings.ENCRYPTION_KEYS = [SECOND, FIRST]
    OutgoingMessage.objects.update(next_attempt_at=OutgoingMessage.objects.values("created_at"))
    assert outbox.send_waiting() is True and not OutgoingMessage.objects.exists()


# --- Logs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/invitations/{}/", "/account/reset/1-{}/", "/account/reset/1-{}/?x=1"])
@pytest.mark.parametrize("name", ["", "django.server"], ids=["requests refused", "requests served"])
def test_logs__links_that_open_something__never(path: str, name: str) -> None:
    [handler] = [
        each for each in logging.getLogger(name).handlers if type(each) is logging.StreamHandler and each.filters
    ]
    secret, written = "Zq3v8Kx1Zq3v8Kx1", io.StringIO()
    before = handler.setStream(written)
    try:
        if name:
            logging.getLogger(name).info('"%s" %s %s', f"GET {path.format(secret)} HTTP/1.1", "200", "5")
        else:
            assert Client(enforce_csrf_checks=True).post(path.format(secret), {"a": "b"}).status_code == 403
    finally:
        handler.setStream(before)
    assert "/…" in written.getvalue() and secret not in written.getvalue()


# --- Checks -----------------------------------------------------------------------------------------------------------


def found(deploy: bool = True) -> set[str]:
    ids = {str(each.id) for each in run_checks(include_deployment_checks=deploy)}
    return {each for each in ids if each in {f"accounts.E{number:03}" for number in range(6, 10)}}


def test_check__keys__each_fault_named(settings: Any) -> None:
    long = "0123456789" * 4
    settings.ENCRYPTION_KEYS = settings.WEBHOOK_KEYS = []
    assert found() == {"accounts.E008", "accounts.E009"} and found(deploy=False) == set()
    for encryption, webhooks, expected in (
        ([long + "a"], [long + "b"], set()),
        ([long + "a", long + "c"], [long + "b"], set()),
        ([long + "a", "short"], [long + "b"], {"accounts.E006"}),
        ([long + "a"], ["short"], {"accounts.E006"}),
        ([long + "a"], [long + "a"], {"accounts.E007"}),
        ([settings.SECRET_KEY], [long + "b"], {"accounts.E007"}),
        ([long + "a"], [long + "b", settings.API_KEY_PEPPER], {"accounts.E007"}),
        ([long + "a", long + "a"], [long + "b"], {"accounts.E007"}),
    ):
        settings.ENCRYPTION_KEYS, settings.WEBHOOK_KEYS = encryption, webhooks
        assert found(deploy=False) == expected, (encryption, webhooks)


def test_survey__nothing_there__nothing_done() -> None:
    assert [(each.rewritten, each.current, dict(each.unreadable)) for each in encrypted.survey()] == [(0, 0, {})] * 3


def test_secrets__of_recovery_codes_from_another_system__each_changed() -> None:
    data = {"migrated_codes": ["one", "two"], "seed": "three", "used_mask": 3}
    changed = {"migrated_codes": ["ONE", "TWO"], "seed": "THREE", "used_mask": 3}
    assert encrypted.map_secrets(data, str.upper) == changed
    assert data["migrated_codes"] == ["one", "two"]
