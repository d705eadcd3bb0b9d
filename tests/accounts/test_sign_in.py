"""Signing in: passwords, second factors, resets, and what ends a session."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.core.cache import caches
from django.core.checks import run_checks
from django.core.mail import send_mail
from django.test import Client, override_settings

from accounts import outbox
from accounts.models import ApiKey, OutgoingMessage, User
from consent.services import operator_requests
from tests.support.cast import Cast
from tests.support.factories import PASSWORD, ActorFactory, OutgoingMessageFactory
from tests.support.keys import issue_key
from tests.support.sign_in import SECRET, code, sign_in, signed_in

pytestmark = pytest.mark.django_db


# --- Second factors -------------------------------------------------------------------------------------------------


def test_totp__after_the_password__asked_for_and_needed(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)
    client = Client()
    assert sign_in(client, cast.owner.email)["Location"].startswith("/account/second-factor/authenticate/")
    assert not signed_in(client)
    wrong = client.post("/account/second-factor/authenticate/", {"code": "000000"})
    assert wrong.status_code == 200 and not signed_in(client)
    assert client.post("/account/second-factor/authenticate/", {"code": code()}).status_code == 302
    assert signed_in(client)


def test_totp__the_same_code_again__refused(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)
    once = code()
    for client, expected in ((Client(), True), (Client(), False)):
        sign_in(client, cast.owner.email)
        client.post("/account/second-factor/authenticate/", {"code": once})
        assert signed_in(client) is expected


def test_recovery_code__once(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)
    spare = RecoveryCodes.activate(cast.owner).get_unused_codes()[0]
    for client, expected in ((Client(), True), (Client(), False)):
        sign_in(client, cast.owner.email)
        client.post("/account/second-factor/authenticate/", {"code": spare})
        assert signed_in(client) is expected


def test_totp__set_up_on_the_page__with_recovery_codes(cast: Cast) -> None:
    client = Client()
    sign_in(client, cast.owner.email)
    again = client.get("/account/second-factor/totp/activate/")
    assert again["Location"].startswith("/account/confirm/")
    client.post("/account/confirm/", {"password": PASSWORD})
    page = client.get("/account/second-factor/totp/activate/").content.decode()
    secret = re.search(r'id="secret">([A-Z2-7]+)<', page)
    assert secret and "<svg" in page and 'style="' not in page
    client.post("/account/second-factor/totp/activate/", {"code": code(secret[1])})
    kinds = set(Authenticator.objects.filter(user=cast.owner).values_list("type", flat=True))
    assert kinds == {"totp", "recovery_codes"}


@pytest.mark.parametrize("role", ["owner", "admin", "operator"])
def test_required__who_may_change_things__is_led_to_set_one_up(cast: Cast, role: str, settings: Any) -> None:
    settings.REQUIRE_MFA = True
    client, person = Client(), getattr(cast, role)
    sign_in(client, person.email)
    for path in ("/", f"/o/{cast.labs.pk}/le-chat/", "/settings/data-controls/", "/admin/"):
        assert client.get(path)["Location"] == "/account/second-factor/?required=1", path
    refused = client.get("/api/v1/products/")
    assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_required")
    page = client.get("/account/second-factor/").content.decode()
    assert "signing in needs a second factor" in page
    TOTP.activate(person, SECRET)
    assert client.get("/api/v1/products/").status_code == 200


@pytest.mark.parametrize("role", ["member", "auditor"])
def test_required__members_and_auditors__not_asked(cast: Cast, role: str, settings: Any) -> None:
    settings.REQUIRE_MFA = True
    client = Client()
    sign_in(client, getattr(cast, role).email)
    assert signed_in(client)


def test_required__refused_write__changes_nothing(cast: Cast, settings: Any) -> None:
    from tests.support.ledger_guards import everything

    settings.REQUIRE_MFA = True
    client = Client()
    sign_in(client, cast.owner.email)
    before = everything()
    assert client.post(f"/o/{cast.labs.pk}/le-chat/", {"choice": "opted_out"}).status_code == 302
    assert everything() == before


# --- Without an account ---------------------------------------------------------------------------------------------


def test_sign_up__closed() -> None:
    client = Client()
    assert "By invitation" in client.get("/sign-up/").content.decode()
    client.post("/sign-up/", {"email": "new@kvasir.example", "password1": PASSWORD})
    assert not User.objects.filter(email="new@kvasir.example").exists()


def visible(page: str) -> str:
    """What tells pages apart, but for the token of their form."""
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)


def test_sign_in__unknown_wrong_and_inactive__the_same_page(cast: Cast) -> None:
    User.objects.filter(pk=cast.outsider.pk).update(is_active=False)
    pages = []
    for email, password in (("nobody@kvasir.example", PASSWORD), (cast.owner.email, "wrong")):
        page = visible(sign_in(Client(), email, password).content.decode()).replace(email, "")
        pages.append(page)
    assert pages[0] == pages[1]
    client = Client()
    sign_in(client, cast.outsider.email, "wrong")
    assert not signed_in(client)


def test_reset__known_and_unknown__the_same_answer_but_one_message(cast: Cast) -> None:
    answers = []
    for email in (cast.owner.email, "nobody@kvasir.example"):
        answer = Client().post("/account/reset/", {"email": email})
        answers.append((answer.status_code, answer["Location"]))
    assert answers[0] == answers[1] == (302, "/account/reset/sent/")
    assert list(OutgoingMessage.objects.values_list("recipient", flat=True)) == [cast.owner.email]


def test_reset__link_of_the_message__sets_a_password_once(cast: Cast) -> None:
    Client().post("/account/reset/", {"email": cast.owner.email})
    link = re.search(r"http://testserver(/account/reset/\S+)", OutgoingMessage.objects.get().body)
    assert link
    client, new = Client(), "another password of nobody in particular"
    form = client.get(link[1])["Location"]
    client.post(form, {"password1": new, "password2": new})
    assert signed_in(Client()) is False
    fresh = Client()
    sign_in(fresh, cast.owner.email, new)
    assert signed_in(fresh)
    assert "Location" not in Client().get(link[1]).headers  # used up


def reset(email: str, new: str) -> None:
    """Follow the link of the message to its end."""
    Client().post("/account/reset/", {"email": email})
    link = re.search(r"http://testserver(/account/reset/\S+)", OutgoingMessage.objects.latest("pk").body)
    assert link
    client = Client()
    client.post(client.get(link[1])["Location"], {"password1": new, "password2": new})


def test_reset__then_a_second_factor__can_be_set_up(cast: Cast) -> None:
    new = "another password of nobody in particular"
    reset(cast.owner.email, new)
    client = Client()
    sign_in(client, cast.owner.email, new)
    client.post("/account/confirm/", {"password": new})
    page = client.get("/account/second-factor/totp/activate/").content.decode()
    secret = re.search(r'id="secret">\s*([A-Z2-7]+)\s*<', page)
    assert secret
    client.post("/account/second-factor/totp/activate/", {"code": code(secret[1])})
    assert Authenticator.objects.filter(user=cast.owner, type="totp").exists()


def test_address__changed_by_two_operators__the_old_one_opens_nothing(cast: Cast) -> None:
    old, new = cast.owner.email, "another password of nobody in particular"
    reset(old, new)
    asker = dataclasses.replace(cast.provider, confirmed=True)
    other = ActorFactory(user__email="tyr@provider.example", user__name="Tyr Holm")
    asked = operator_requests.ask(
        kind="address", subject=cast.owner, email="ada@elsewhere.example", reason="Married", actor=asker, source="admin"
    )
    operator_requests.confirm(request=asked, actor=other, password_link=lambda user: str(user.pk))
    client, messages = Client(), OutgoingMessage.objects.count()
    sign_in(client, old, new)
    Client().post("/account/reset/", {"email": old})
    assert not signed_in(client) and OutgoingMessage.objects.count() == messages
    sign_in(client, "ada@elsewhere.example", new)
    assert signed_in(client)


def test_next__elsewhere__not_followed(cast: Cast) -> None:
    answer = sign_in(Client(), cast.owner.email, next="https://evil.example/")
    assert answer["Location"] == "/"


# --- What ends it ---------------------------------------------------------------------------------------------------


def test_deactivation__on_the_operators_site__ends_sessions_and_keys_at_once(cast: Cast) -> None:
    client = Client()
    sign_in(client, cast.admin.email)
    assert signed_in(client)
    issue_key("theirs", [ApiKey.Scope.DECISIONS_READ], organization=cast.labs, issued_by=cast.admin)
    _key, text = issue_key("of them", [ApiKey.Scope.CONSENT_READ], organization=cast.labs, issued_by=cast.admin)
    ask = {"HTTP_AUTHORIZATION": f"Bearer {text}"}
    path = f"/api/v1/organizations/{cast.labs.pk}/privacy-settings/"
    assert Client(**ask).get(path).status_code == 200
    operator = Client()
    operator.force_login(cast.operator)
    saved = operator.post(
        f"/admin/accounts/user/{cast.admin.pk}/change/", {"email": cast.admin.email, "name": cast.admin.name}
    )
    assert saved.status_code == 302
    assert not signed_in(client)
    assert Client(**ask).get(path).status_code == 401
    assert not ApiKey.objects.filter(issued_by=cast.admin, suspended_at=None).exists()


def test_second_factors__lost__removed_by_an_operator_who_confirms(cast: Cast, settings: Any) -> None:
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = True
    TOTP.activate(cast.owner, SECRET)
    person = Client()
    sign_in(person, cast.owner.email)
    person.post("/account/second-factor/authenticate/", {"code": code()})
    operator, path = Client(), f"/admin/accounts/user/{cast.owner.pk}/second-factors/"
    operator.force_login(cast.operator)
    assert path in operator.get(f"/admin/accounts/user/{cast.owner.pk}/change/").content.decode()
    assert "sure who is asking" in operator.get(path).content.decode()
    asked = operator.post(path)
    assert asked["Location"].startswith("/account/confirm/") and Authenticator.objects.filter(user=cast.owner).exists()
    done = operator.post(asked["Location"], {"password": PASSWORD, "next": path})
    assert done.status_code == 302 and not Authenticator.objects.filter(user=cast.owner).exists()
    assert not signed_in(person)
    sign_in(person, cast.owner.email)
    assert signed_in(person)


@pytest.mark.parametrize("role", ["owner", "member"])
def test_second_factors__of_somebody_else__not_for_others(cast: Cast, role: str) -> None:
    TOTP.activate(cast.admin, SECRET)
    client = Client()
    client.force_login(getattr(cast, role))
    assert client.post(f"/admin/accounts/user/{cast.admin.pk}/second-factors/").status_code == 403
    assert Authenticator.objects.filter(user=cast.admin).exists()


def test_sessions__listed_and_ended_from_elsewhere(cast: Cast) -> None:
    here, there = Client(), Client()
    sign_in(here, cast.owner.email)
    sign_in(there, cast.owner.email)
    assert here.get("/account/sessions/").status_code == 200
    assert here.post("/account/sessions/", {"do": "end-others"}).status_code == 302
    assert signed_in(here) and not signed_in(there)


# --- Attempts across processes --------------------------------------------------------------------------------------


def test_attempts__counted_in_the_database() -> None:
    """allauth's own limits hold across processes: their counts are in a table."""
    real = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "portal_cache"}}
    with override_settings(CACHES=real):
        caches["default"].set("tried", 3, 60)
        assert caches["default"].get("tried") == 3
        caches["default"].clear()


def test_attempts__behind_a_proxy__counted_by_who_is_behind_it(cast: Cast, settings: Any) -> None:
    settings.SIGN_IN_RATE, settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2, 1
    client = Client()
    sent = {"login": cast.owner.email, "password": "wrong"}
    for place, expected in (("203.0.113.7", [200, 200, 429]), ("203.0.113.8", [200])):
        # What a client puts in front itself counts for nothing.
        headers = {"X-Forwarded-For": f"198.51.100.1, {place}"}
        assert [client.post("/sign-in/", sent, headers=headers).status_code for _ in expected] == expected


def test_second_factor__wrong_codes__limited_whatever_the_browser(cast: Cast) -> None:
    TOTP.activate(cast.owner, SECRET)
    for _attempt in range(12):
        client = Client()
        sign_in(client, cast.owner.email)
        client.post("/account/second-factor/authenticate/", {"code": "000000"})
    client = Client()
    sign_in(client, cast.owner.email)
    client.post("/account/second-factor/authenticate/", {"code": code()})
    assert not signed_in(client)


# --- The outbox -----------------------------------------------------------------------------------------------------


def test_outbox__sent_by_the_configured_backend__and_deleted(settings: Any, tmp_path: Path) -> None:
    from django.core.mail import send_mail

    settings.DELIVERY = {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend"}
    settings.EMAIL_FILE_PATH = str(tmp_path)
    send_mail("Subject", "Body", None, ["ada@kvasir.example"])
    assert outbox.send_next() is True
    assert outbox.send_next() is False
    assert not OutgoingMessage.objects.exists()
    (file,) = tmp_path.iterdir()
    assert "Subject: Subject" in file.read_text() and "To: ada@kvasir.example" in file.read_text()


def test_outbox__server_away__kept_tried_again_then_given_up(settings: Any, caplog: Any) -> None:
    settings.DELIVERY = {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend", "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": 9
    }  # fmt: skip
    OutgoingMessageFactory(recipient="ada@kvasir.example", subject="s", body="b")
    for attempt in range(len(outbox.BACK_OFF)):
        assert outbox.send_next() is True
        message = OutgoingMessage.objects.get()
        assert message.attempts == attempt + 1
        assert outbox.send_next() is False  # not yet again
        OutgoingMessage.objects.update(next_attempt_at=message.created_at)
    assert outbox.send_next() is True
    message = OutgoingMessage.objects.get()
    assert (message.given_up_at is not None, message.error) == (True, "ConnectionRefusedError")
    assert outbox.send_next() is False
    assert "ada@" not in caplog.text and "given up" in caplog.text


def test_outbox__subject_with_a_line_break__sent_in_one_line(settings: Any, tmp_path: Any) -> None:
    settings.DELIVERY = {
        "EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": str(tmp_path)
    }  # fmt: skip
    settings.EMAIL_FILE_PATH = str(tmp_path)
    send_mail("Acme\r\nBcc: x@x.example\u2028used", "b", None, ["ada@kvasir.example"])
    stored = OutgoingMessage.objects.get()
    assert stored.subject == "Acme Bcc: x@x.example used"
    OutgoingMessage.objects.update(subject="from before\nthat")  # a row that was waiting already
    assert outbox.send_next() is True
    (file,) = tmp_path.iterdir()
    assert "Subject: from before that" in file.read_text() and not OutgoingMessage.objects.exists()


def test_outbox__worker__sends_what_waits(settings: Any) -> None:
    from tests.support.commands import run

    for number in range(45):
        OutgoingMessageFactory(recipient=f"{number}@kvasir.example", subject="s", body="b")
    assert outbox.send_waiting() is True
    assert OutgoingMessage.objects.count() == 25  # twenty, and then it is other work's turn
    run("worker", "--once")
    assert not OutgoingMessage.objects.exists() and outbox.send_waiting() is False


# --- Checks ---------------------------------------------------------------------------------------------------------


def deploy_warnings() -> set[str]:
    return {str(found.id) for found in run_checks(include_deployment_checks=True, databases=["default"])}


def test_check__mail_that_goes_nowhere_and_no_second_factor__said(settings: Any) -> None:
    settings.REQUIRE_MFA = False
    assert {"accounts.W004", "accounts.W005"} <= deploy_warnings()
    settings.REQUIRE_MFA = True
    settings.DELIVERY = {"EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend", "EMAIL_HOST": "mail.example"}
    assert not {"accounts.W004", "accounts.W005"} & deploy_warnings()
