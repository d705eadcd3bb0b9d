"""A new secret is shown after a redirect: a reload makes no second one, and nobody else, and nobody later, sees it."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from accounts.access import Actor
from accounts.models import ApiKey
from accounts.sessions import SessionStore
from consent.models import ConsentEvent, WebhookEndpoint
from consent.services import credentials, webhooks
from tests.support.asking import confirm
from tests.support.cast import Cast
from tests.support.keys import issue_key

pytestmark = pytest.mark.django_db
HOOK = "https://hooks.example.com/"
NEW_KEY = {"name": "Sync", "scopes": ["decisions:read"]}
Send = Callable[[Client, Cast], Any]


def console(page: str, /, **sent: Any) -> Send:
    """Posts to the page of the labs; `of` names what is there already."""

    def send(client: Client, cast: Cast) -> Any:
        return confirm(client, reverse(f"console:{page}", args=[cast.labs.pk]), filled(sent, cast))

    return send


def admin(name: str, /, *args: str, **sent: Any) -> Send:
    def send(client: Client, cast: Cast) -> Any:
        values = [str(filled({"of": arg}, cast)["of"]) for arg in args]
        return confirm(client, reverse(f"admin:{name}", args=values), filled(sent, cast))

    return send


def filled(sent: dict[str, Any], cast: Cast) -> dict[str, Any]:
    made = {
        "{key}": lambda: issue_key("Old", ["decisions:read"], organization=cast.labs, issued_by=cast.owner)[0].pk,
        "{hook}": lambda: webhooks.create_endpoint(
            organization=cast.labs, url=HOOK, actor=Actor.from_user(cast.owner, confirmed=True), source="console"
        ).pk,
    }  # fmt: skip
    return {name: made[value]() if str(value) in made else value for name, value in sent.items()}


WAYS: dict[str, tuple[str, Send]] = {
    "console, new key": ("owner", console("settings", do="create", **NEW_KEY)),
    "console, key taken over": ("owner", console("settings", do="take-over", key="{key}")),
    "console, new webhook": ("owner", console("webhooks", do="create", url=HOOK)),
    "console, another secret": ("owner", console("webhooks", do="rotate", webhook="{hook}")),
    "operators' site, new key": ("operator", admin("accounts_apikey_add", **NEW_KEY)),
    "operators' site, key taken over": ("operator", admin("accounts_apikey_take_over", "{key}")),
    "operators' site, new webhook": ("operator", admin("consent_webhookendpoint_add", url=HOOK)),
    "operators' site, another secret": ("operator", admin("consent_webhookendpoint_verb", "{hook}", "rotate")),
}


@pytest.fixture(params=WAYS)
def shown(request: Any, cast: Cast) -> tuple[Client, str, str]:
    """Somebody who has just made a secret, the page that shows it, and the secret."""
    role, send = WAYS[request.param]
    client = Client()
    client.force_login(getattr(cast, role))
    answer = send(client, cast)
    assert answer.status_code == 302
    page = client.get(answer["Location"])
    assert page.status_code == 200 and "no-store" in page["Cache-Control"]
    return client, answer["Location"], page.context["secret"]


def told(client: Client, page: str) -> str:
    answer = client.get(page, follow=True)
    assert answer.status_code in (200, 403, 404)
    return str(answer.content.decode())


def test_secret__page_loaded_again__is_the_same_and_nothing_is_made(shown: tuple[Client, str, str]) -> None:
    client, page, secret = shown
    before = (ApiKey.objects.count(), WebhookEndpoint.objects.count(), ConsentEvent.objects.count())
    assert len(secret) > 30
    for _ in range(2):
        assert f'value="{secret}"' in told(client, page)
    assert (ApiKey.objects.count(), WebhookEndpoint.objects.count(), ConsentEvent.objects.count()) == before


def test_secret__for_somebody_else__not_shown(shown: tuple[Client, str, str], cast: Cast) -> None:
    client, page, secret = shown
    for role in ("owner", "admin", "auditor", "operator", "outsider"):
        other = Client()
        other.force_login(getattr(cast, role))
        assert secret not in told(other, page)
    assert secret not in told(Client(), page)
    kept = {each.session_key: str(SessionStore().decode(each.session_data)) for each in Session.objects.all()}
    assert [key for key, data in kept.items() if secret in data] == [client.session.session_key]
    assert all(secret not in each.session_data for each in Session.objects.all()), "encrypted, for who reads the table"


def test_secret__same_browser_but_another_person__not_shown(shown: tuple[Client, str, str], cast: Cast) -> None:
    client, page, secret = shown
    client.force_login(cast.admin)
    assert secret not in told(client, page)


def test_secret__after_ten_minutes__not_shown_and_not_kept(shown: tuple[Client, str, str]) -> None:
    client, page, secret = shown
    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=9)):
        assert secret in told(client, page)
    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=11)):
        assert secret not in told(client, page)
        assert secret not in str(dict(client.session))


def test_secret__after_ten_minutes__leaves_the_session_with_the_next_request_of_any_page(
    shown: tuple[Client, str, str],
) -> None:
    client, page, secret = shown
    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=11)):
        assert client.get("/settings/").status_code == 200
        assert secret not in str(dict(client.session))
        assert secret not in told(client, page)


def test_secret__copied__not_shown_any_more(shown: tuple[Client, str, str]) -> None:
    client, page, secret = shown
    assert client.post(page, {"do": "copied"}).status_code == 302
    assert secret not in told(client, page) and secret not in str(dict(client.session))


def test_secret__replaced_meanwhile__not_shown(shown: tuple[Client, str, str], cast: Cast) -> None:
    client, page, secret = shown
    actor = Actor.from_user(cast.operator, confirmed=True)
    for key in ApiKey.objects.all():
        credentials.take_over_key(key=key, actor=actor, source="admin")
    for endpoint in WebhookEndpoint.objects.all():
        webhooks.rotate_secret(endpoint=endpoint, actor=actor, source="admin")
    assert secret not in told(client, page)


def test_text_of_a_key__is_that_which_was_issued_and_no_other(cast: Cast) -> None:
    key, text = issue_key("Sync", ["decisions:read"], organization=cast.labs, issued_by=cast.owner)
    assert credentials.is_text_of(key, text)
    assert not any(credentials.is_text_of(key, other) for other in ("", text[:-1], key.prefix, key.hash))


@pytest.mark.parametrize("new", ["", "x", "0", "00000000-0000-0000-0000-000000000000"])
def test_page__asked_for_a_secret_of_nothing__is_the_usual_one(cast: Cast, new: str) -> None:
    client = Client()
    client.force_login(cast.owner)
    for name in ("settings", "webhooks"):
        page = client.get(reverse(f"console:{name}", args=[cast.labs.pk]), {"new": new})
        assert page.status_code == 200 and "new-secret" not in page.content.decode()
