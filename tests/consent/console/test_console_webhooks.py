"""The console: an organization's webhooks."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from standardwebhooks import Webhook

from consent import ledger
from consent.delivery.endpoints import send_next_test
from consent.delivery.sending import Sender
from consent.models import WebhookAttempt, WebhookEndpoint
from consent.services import webhooks
from tests.support.asking import confirm
from tests.support.cast import Cast
from tests.support.commands import database
from tests.support.console import signed_in, url
from tests.support.webhook_receiver import Receiver, receiver, saying

pytestmark = pytest.mark.django_db


@pytest.fixture
def there(settings: Any) -> Iterator[Receiver]:
    settings.DEBUG, settings.WEBHOOK_ALLOWED_NETWORKS = True, ["127.0.0.0/8", "::1/128"]
    with receiver() as found:
        yield found


def send(client: Client, cast: Cast, do: str, **more: str) -> Any:
    return confirm(client, url(cast, "webhooks"), {"do": do} | more)


def test_webhooks__made_tested_paused_rotated_deleted_by_the_owner(cast: Cast, there: Receiver) -> None:
    owner = signed_in(cast, "owner")
    assert "There are no webhooks yet." in owner.get(url(cast, "webhooks")).content.decode()
    made = owner.get(send(owner, cast, "create", url=there.url, description="CRM")["Location"])
    endpoint = WebhookEndpoint.objects.get()
    secret = made.context["secret"]
    assert endpoint.organization == cast.labs and secret in made.content.decode()
    assert secret not in owner.get(url(cast, "webhooks")).content.decode()
    which = {"webhook": str(endpoint.pk)}
    assert send(owner, cast, "test", **which).status_code == 302
    page = owner.get(url(cast, "webhooks")).content.decode()
    assert "The test is on its way" in page and "Waiting to be sent." in page and there.got == []
    assert send(owner, cast, "test", **which).status_code == 302
    assert "A test is waiting already" in owner.get(url(cast, "webhooks")).content.decode()
    assert send_next_test(Sender()) and send_next_test(Sender()) is None
    Webhook(secret).verify(there.got[0][1], there.got[0][0])
    page = owner.get(url(cast, "webhooks")).content.decode()
    assert "Waiting to be sent." not in page and "thanks" in page
    there.behave = saying(500)
    send(owner, cast, "test", **which)
    send_next_test(Sender())
    assert "500" in owner.get(url(cast, "webhooks")).content.decode()
    for do, status in (("pause", "paused"), ("resume", "active")):
        assert send(owner, cast, do, **which).status_code == 302
        endpoint.refresh_from_db()
        assert endpoint.status == status
    assert owner.get(send(owner, cast, "rotate", **which)["Location"]).context["secret"] != secret
    send(owner, cast, "delete", **which)
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize("address", ["", "nowhere", "https://127.0.0.1/", "https://169.254.169.254/latest"])
def test_webhooks__bad_address__400_said_at_the_field(cast: Cast, address: str) -> None:
    response = send(signed_in(cast, "owner"), cast, "create", url=address)
    assert response.status_code == 400 and "url" in response.context["form"].errors
    assert not WebhookEndpoint.objects.exists()


def test_webhooks__of_another_organization_or_none__404_and_unknown_verb__400(cast: Cast, there: Receiver) -> None:
    foreign = webhooks.create_endpoint(source="admin", organization=cast.brage, url=there.url, actor=cast.provider)
    own = webhooks.create_endpoint(source="admin", organization=cast.labs, url=there.url, actor=cast.provider)
    owner = signed_in(cast, "owner")
    before = database()
    for ident in (str(foreign.pk), "nothing", "01890000-0000-7000-8000-000000000000"):
        for do in ("pause", "rotate", "delete", "test"):
            assert send(owner, cast, do, webhook=ident).status_code == 404
    assert send(owner, cast, "explode", webhook=str(own.pk)).status_code == 400
    assert database() == before and there.got == []


def test_navigation__webhooks__for_those_who_manage_them(cast: Cast) -> None:
    for role, there in (("owner", True), ("admin", True), ("auditor", False)):
        page = signed_in(cast, role).get(url(cast, "history")).content.decode()
        assert (url(cast, "webhooks") in page) is there


def test_page__many_webhooks__the_latest_attempts_of_each_by_one_query(cast: Cast, there: Receiver) -> None:
    counts = [0, 3, 9, 5]
    hooks = [
        webhooks.create_endpoint(source="admin", organization=cast.labs, url=there.url, actor=cast.provider)
        for _count in counts
    ]
    foreign = webhooks.create_endpoint(source="admin", organization=cast.brage, url=there.url, actor=cast.provider)
    made = {hook.pk: list[int]() for hook in hooks}
    for n in range(max(counts)):
        # Of several webhooks in turn, as workers write them.
        for hook in [each for each, count in zip(hooks, counts, strict=True) if n < count]:
            made[hook.pk].append(attempt(hook).pk)
        attempt(foreign)
    owner = signed_in(cast, "owner")
    with CaptureQueriesContext(connection) as queries:
        page = owner.get(url(cast, "webhooks"))
    shown = {row["endpoint"].pk: [each.pk for each in row["attempts"]] for row in page.context["rows"]}
    assert shown == {pk: found[::-1][:5] for pk, found in made.items()}
    start = f'SELECT "{WebhookAttempt._meta.db_table}".'
    (asked,) = [each["sql"] for each in queries if each["sql"].startswith(start)]
    with connection.cursor() as cursor:
        cursor.execute(asked)
        assert len(cursor.fetchall()) == sum(min(count, 5) for count in counts)  # and none are read to be left out


def attempt(endpoint: WebhookEndpoint) -> WebhookAttempt:
    return WebhookAttempt.objects.create(endpoint=endpoint, at=ledger.clock(), delivered=True, latency_ms=1)
