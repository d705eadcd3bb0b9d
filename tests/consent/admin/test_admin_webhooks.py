"""The operators' site: delivery."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from standardwebhooks import Webhook

from consent import ledger
from consent.delivery.endpoints import send_next_test
from consent.delivery.sending import Sender
from consent.models import WebhookEndpoint
from tests.support.asking import confirm
from tests.support.cast import Cast
from tests.support.commands import database
from tests.support.operators_site import url
from tests.support.webhook_receiver import Receiver, receiver, saying

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.operator)
    return client


@pytest.fixture
def there(settings: Any) -> Iterator[Receiver]:
    settings.DEBUG, settings.WEBHOOK_ALLOWED_NETWORKS = True, ["127.0.0.0/8", "::1/128"]
    with receiver() as found:
        yield found


def made(operator: Client, there: Receiver, **changes: Any) -> WebhookEndpoint:
    response = operator.post(url("consent_webhookendpoint_add"), {"url": there.url} | changes)
    assert response.status_code == 302, response.content.decode()
    return WebhookEndpoint.objects.latest("pk")


def do(operator: Client, endpoint: WebhookEndpoint, verb: str) -> Any:
    return confirm(operator, url("consent_webhookendpoint_verb", endpoint.pk, verb))


def page(operator: Client, endpoint: WebhookEndpoint) -> str:
    return operator.get(url("consent_webhookendpoint_change", endpoint.pk)).content.decode()


def test_webhook__made_and_tested__secret_shown_once(operator: Client, there: Receiver, cast: Cast) -> None:
    response = operator.post(
        url("consent_webhookendpoint_add"),
        {"url": there.url, "organization": str(cast.labs.pk), "kinds": []},
        follow=True,
    )
    secret = response.context["secret"]
    endpoint = WebhookEndpoint.objects.get()
    assert secret in response.content.decode() and endpoint.organization == cast.labs
    assert do(operator, endpoint, "test").status_code == 302
    text = page(operator, endpoint)
    assert "The test is on its way" in text and "Waiting to be sent." in text and there.got == []
    do(operator, endpoint, "test")
    assert "A test is waiting already" in page(operator, endpoint)
    assert send_next_test(Sender()) and send_next_test(Sender()) is None
    Webhook(secret).verify(there.got[0][1], there.got[0][0])
    text = page(operator, endpoint)
    assert "Waiting to be sent." not in text and "thanks" in text and secret not in text
    there.behave = saying(500)
    do(operator, endpoint, "test")
    send_next_test(Sender())
    assert "500" in page(operator, endpoint)


def test_webhook__paused_resumed_replayed_rotated_deleted(operator: Client, there: Receiver) -> None:
    endpoint = made(operator, there)
    for verb, status in (("pause", "paused"), ("resume", "active")):
        do(operator, endpoint, verb)
        endpoint.refresh_from_db()
        assert endpoint.status == status
    ledger.sequence()
    assert operator.post(url("consent_webhookendpoint_replay", endpoint.pk), {"after": "1"}).status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.position == 1
    assert operator.get(do(operator, endpoint, "rotate")["Location"]).context["secret"].startswith("whsec_")
    do(operator, endpoint, "remove")
    assert not WebhookEndpoint.objects.exists()
    assert operator.get(url("consent_webhookendpoint_changelist")).status_code == 200


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"url": "https://127.1/"}, "url"),
        ({"url": "nowhere"}, "url"),
        ({"url": "https://h.example.com/", "organization": "external:nobody"}, "organization"),
        ({"url": "https://h.example.com/", "kinds": ["choice.eaten"]}, "kinds"),
    ],
)
def test_webhook__bad__400_names_the_field(operator: Client, sent: dict[str, Any], field: str) -> None:
    response = operator.post(url("consent_webhookendpoint_add"), sent)
    assert response.status_code == 400 and field in response.context["form"].errors
    assert not WebhookEndpoint.objects.exists()


def test_webhook__refusals__exact_and_nothing_changed(operator: Client, there: Receiver, cast: Cast) -> None:
    endpoint = made(operator, there)
    owner = Client()
    owner.force_login(cast.owner)
    before = database()
    replay = url("consent_webhookendpoint_replay", endpoint.pk)
    assert operator.post(replay, {"after": "999999"}).status_code == 400
    assert do(operator, endpoint, "explode").status_code == 404
    assert operator.get(replay).status_code == 405
    assert operator.post(url("consent_webhookendpoint_change", endpoint.pk)).status_code == 405
    assert do(owner, endpoint, "pause").status_code == 403
    assert do(Client(), endpoint, "pause").status_code == 302
    assert database() == before
