"""Tests of webhooks: a worker sends them, one at a time for an organization, and no request waits for a receiver."""

import ast
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from standardwebhooks import Webhook

from accounts.access import Forbidden, NotFound
from consent import ledger
from consent.delivery.endpoints import LEASE, deliver_next, send_next_test
from consent.delivery.sending import Sender
from consent.delivery.threads import Deliverers
from consent.errors import Refused
from consent.models import WebhookAttempt, WebhookEndpoint
from consent.services import organizations, webhooks
from consent.webhooks.secrets import secret_of
from tests.support.callers import by_key
from tests.support.cast import Cast
from tests.support.choices import actors
from tests.support.commands import database
from tests.support.console import url
from tests.support.operators_site import url as admin_url
from tests.support.quarantine import in_quarantine
from tests.support.webhook_receiver import Receiver, receiver, saying

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[3]


@pytest.fixture
def there(settings: Any) -> Iterator[Receiver]:
    settings.DEBUG, settings.WEBHOOK_ALLOWED_NETWORKS = True, ["127.0.0.0/8", "::1/128"]
    with receiver() as found:
        yield found


def endpoint_of(cast: Cast, organization: Any, there: Receiver) -> WebhookEndpoint:
    return webhooks.create_endpoint(organization=organization, url=there.url, actor=cast.provider, source="admin")


def test_test__second_of_an_organization__refused_until_the_first_is_over(cast: Cast, there: Receiver) -> None:
    one, other = (endpoint_of(cast, cast.labs, there) for _ in range(2))
    foreign, everybodys = endpoint_of(cast, cast.brage, there), endpoint_of(cast, None, there)
    webhooks.request_test(endpoint=one, actor=cast.provider)
    before = database()
    for endpoint in (one, other):
        with pytest.raises(Refused) as refused:
            webhooks.request_test(endpoint=endpoint, actor=cast.provider)
        assert refused.value.code == "test_waiting"
    assert database() == before
    for endpoint in (foreign, everybodys):  # theirs waits for nobody else's
        webhooks.request_test(endpoint=endpoint, actor=cast.provider)
    sender = Sender()
    assert [send_next_test(sender).endpoint_id for _ in range(3)] == [one.pk, foreign.pk, everybodys.pk]  # type: ignore[union-attr]
    assert send_next_test(sender) is None and len(there.got) == 3
    assert webhooks.request_test(endpoint=other, actor=cast.provider).waiting


def test_api__second_test__409_and_nothing_changed(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_of(cast, cast.labs, there)
    key = by_key("webhooks:write", organization=cast.labs, issued_by=cast.owner)
    assert key.post(f"webhooks/{endpoint.pk}/test/", {}).status_code == 202
    before = WebhookAttempt.objects.count()
    again = key.post(f"webhooks/{endpoint.pk}/test/", {})
    assert (again.status_code, again.json()["code"]) == (409, "test_waiting")
    assert WebhookAttempt.objects.count() == before and there.got == []


def test_test__by_whoever_may_not_manage_webhooks__forbidden(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_of(cast, cast.labs, there)
    with pytest.raises(Forbidden):
        webhooks.request_test(endpoint=endpoint, actor=actors(cast)["auditor"])
    assert not WebhookAttempt.objects.exists()


def test_test__worker_died_in_the_middle__another_sends_it_once_its_lease_is_over(cast: Cast, there: Receiver) -> None:
    test = webhooks.request_test(endpoint=endpoint_of(cast, cast.labs, there), actor=cast.provider)
    WebhookAttempt.objects.filter(pk=test.pk).update(leased_until=LEASE.end())
    assert send_next_test(Sender()) is None
    WebhookAttempt.objects.filter(pk=test.pk).update(leased_until=ledger.clock())
    assert send_next_test(Sender())
    test.refresh_from_db()
    assert test.delivered and not test.waiting


@pytest.mark.parametrize("everybody", [True, False])
def test_test__body__in_the_shape_of_an_event_and_of_no_position_to_come(
    cast: Cast, there: Receiver, everybody: bool
) -> None:
    endpoint = endpoint_of(cast, None if everybody else cast.labs, there)
    organizations.update_organization(organization=cast.labs, country="SE", actor=cast.provider, source="admin")
    ledger.sequence()
    deliver_next(Sender())
    webhooks.request_test(endpoint=endpoint, actor=cast.provider)
    send_next_test(Sender())
    event, test = there.events[-2:]
    assert {name: type(value) for name, value in test.items() if value is not None and name != "actor"} == {
        name: type(event[name]) for name in test if test[name] is not None and name != "actor"
    }
    assert list(test) == list(event) and set(test["actor"]) == set(event["actor"])
    assert test["type"] == test["kind"] == "test" and test["timestamp"] == test["recorded_at"]
    assert (test["position"], test["organization"]) == (event["position"], None if everybody else str(cast.labs.pk))
    ids = [headers["webhook-id"] for headers, _body in there.got]
    assert all(re.fullmatch(r"(evt|test)_[0-9]+", each) for each in ids) and len(set(ids)) == len(ids)
    assert test["id"] == ids[-1]


def test_test__webhook_deleted_meanwhile__nothing_is_left(cast: Cast, there: Receiver) -> None:
    endpoint = endpoint_of(cast, cast.labs, there)
    webhooks.request_test(endpoint=endpoint, actor=cast.provider)
    webhooks.delete_endpoint(endpoint=endpoint, actor=cast.provider, source="admin")
    assert send_next_test(Sender()) is None and there.got == []


# --- A message sent once more -----------------------------------------------------------------------------------------


def delivered(cast: Cast, there: Receiver, **more: Any) -> tuple[WebhookEndpoint, WebhookAttempt]:
    """A webhook that has got two events, and the attempt at the first of them."""
    endpoint = webhooks.create_endpoint(
        organization=cast.labs, url=there.url, actor=cast.provider, source="admin", **more
    )
    for country in ("SE", "NO"):
        organizations.update_organization(organization=cast.labs, country=country, actor=cast.provider, source="admin")
    ledger.sequence()
    assert deliver_next(Sender())
    endpoint.refresh_from_db()
    return endpoint, endpoint.attempts.order_by("pk")[0]


def test_resend__by_api__the_same_message_out_of_turn_and_the_webhook_stays(cast: Cast, there: Receiver) -> None:
    endpoint, first = delivered(cast, there)
    key = by_key("webhooks:write", organization=cast.labs, issued_by=cast.owner)
    address = f"webhooks/{endpoint.pk}/attempts/{first.pk}/resend/"
    before = WebhookEndpoint.objects.values().get()
    answer = key.post(address, {})
    assert (answer.status_code, answer.json()["waiting"], answer.json()["position"]) == (202, True, first.position)
    assert answer["Location"].endswith(f"webhooks/{endpoint.pk}/attempts/") and len(there.got) == 2
    for refused in (key.post(address, {}), key.post(f"webhooks/{endpoint.pk}/test/", {})):
        assert (refused.status_code, refused.json()["code"]) == (409, "test_waiting")
    made = send_next_test(Sender())
    assert made is not None and made.delivered and not made.waiting and send_next_test(Sender()) is None
    (headers, body), *_others, (again, same) = there.got
    assert (again["webhook-id"], same) == (headers["webhook-id"], body)
    Webhook(secret_of(endpoint)).verify(same, again)
    assert WebhookEndpoint.objects.values().get() == before | {"fence": before["fence"]}


def test_resend__in_quarantine__waits_and_a_test_does_not(cast: Cast, there: Receiver) -> None:
    endpoint, first = delivered(cast, there)
    webhooks.resend(endpoint=endpoint, attempt=str(first.pk), actor=cast.provider)
    with in_quarantine():
        assert send_next_test(Sender()) is None and len(there.got) == 2
    made = send_next_test(Sender())
    assert made is not None and made.delivered and len(there.got) == 3
    webhooks.request_test(endpoint=endpoint, actor=cast.provider)
    with in_quarantine():
        test = send_next_test(Sender())
    assert test is not None and test.delivered


def test_resend__failing_webhook__tried_without_touching_its_schedule(cast: Cast, there: Receiver) -> None:
    endpoint, first = delivered(cast, there)
    there.behave = saying(500)
    WebhookEndpoint.objects.update(failures=3, status="paused", paused_because="failing")
    webhooks.resend(endpoint=endpoint, attempt=str(first.pk), actor=cast.provider)
    made = send_next_test(Sender())
    endpoint.refresh_from_db()
    assert made is not None and (made.status, endpoint.failures, endpoint.next_attempt_at) == (500, 3, None)


@pytest.mark.parametrize("change", ["kinds", "suspended"])
def test_resend__no_longer_for_this_webhook__not_sent_and_said(cast: Cast, there: Receiver, change: str) -> None:
    endpoint, first = delivered(cast, there)
    webhooks.resend(endpoint=endpoint, attempt=str(first.pk), actor=cast.provider)
    if change == "kinds":
        webhooks.update_endpoint(endpoint=endpoint, kinds=["lock.placed"], actor=cast.provider, source="admin")
    else:
        WebhookEndpoint.objects.update(status="paused", paused_because="suspended")
    made = send_next_test(Sender())
    assert made is not None and made.error.startswith("not sent") and len(there.got) == 2


def test_resend__refusals__named_and_nothing_changed(cast: Cast, there: Receiver) -> None:
    endpoint, first = delivered(cast, there)
    other = endpoint_of(cast, cast.labs, there)
    foreign = by_key("webhooks:write", organization=cast.brage, issued_by=cast.outsider)
    webhooks.request_test(endpoint=endpoint, actor=cast.provider)
    test = send_next_test(Sender())
    assert test is not None
    auditor, before = actors(cast)["auditor"], database()
    for which, attempt in (
        (endpoint, "0"),
        (endpoint, "x"),
        (endpoint, "٧"),
        (endpoint, "9" * 30),
        (other, str(first.pk)),
    ):
        with pytest.raises(NotFound):
            webhooks.resend(endpoint=which, attempt=attempt, actor=cast.provider)
    with pytest.raises(Forbidden):
        webhooks.resend(endpoint=endpoint, attempt=str(first.pk), actor=auditor)
    with pytest.raises(Refused) as refused:
        webhooks.resend(endpoint=endpoint, attempt=str(test.pk), actor=cast.provider)
    assert refused.value.code == "no_event"
    assert database() == before
    assert foreign.post(f"webhooks/{endpoint.pk}/attempts/{first.pk}/resend/", {}).status_code == 404


@pytest.mark.parametrize("who", ["owner", "operator"])
def test_resend__by_the_button__sent_again(cast: Cast, there: Receiver, who: str) -> None:
    endpoint, first = delivered(cast, there)
    client = Client()
    client.force_login(cast.owner if who == "owner" else cast.operator)
    page = url(cast, "webhooks") if who == "owner" else admin_url("consent_webhookendpoint_change", endpoint.pk)
    action = page if who == "owner" else admin_url("consent_webhookendpoint_verb", endpoint.pk, "resend")
    assert client.get(page).content.decode().count('value="resend"') == 2
    sent = {"do": "resend", "webhook": str(endpoint.pk), "attempt": str(first.pk)}
    assert client.post(action, sent).status_code == 302
    assert "The message is on its way again" in client.get(page).content.decode()
    assert client.post(action, sent).status_code == 302  # said on the page: another one waits
    assert "is waiting already" in client.get(page).content.decode()
    assert client.post(action, sent | {"attempt": "0"}).status_code == 404
    assert send_next_test(Sender()) and len(there.got) == 3


# --- Threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_worker__silent_receivers_of_tests__deliveries_go_on(there: Receiver, cast: Cast) -> None:
    asked, let_go = threading.Event(), threading.Event()

    def silent(handler: Any) -> None:
        asked.set()
        let_go.wait(60)
        handler.answer(200)

    there.behave = silent
    with receiver() as prompt:
        arrived = threading.Event()
        prompt.behave = lambda handler: (arrived.set(), handler.answer(200))[1]
        for organization, place in ((cast.labs, there), (cast.brage, there), (None, there)):
            webhooks.request_test(endpoint=endpoint_of(cast, organization, place), actor=cast.provider)
        webhooks.replay(endpoint=endpoint_of(cast, None, prompt), after=0, actor=cast.provider, source="admin")
        WebhookEndpoint.objects.exclude(url=prompt.url).update(position=ledger.head())
        connection.close()
        with Deliverers(lambda: False, threads=1):
            assert asked.wait(60) and arrived.wait(60)
            assert len(there.got) == 1  # one test at a time, and the rest waits
            let_go.set()


def test_faces__none_sends_or_looks_up_anything() -> None:
    """No thread of the web waits for somebody else's server: faces and services never come to what connects."""
    barred = {f"consent.delivery.{name}" for name in ("sending", "endpoints", "threads")} | {"httpcore", "socket"}
    faces = [
        path for name in ("api", "console", "admin", "services") for path in (ROOT / "consent" / name).rglob("*.py")
    ]
    assert len(faces) > 50
    for path in faces:
        package = ["consent", *path.relative_to(ROOT / "consent").parent.parts]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                module = ".".join([*base, *([node.module] if node.module else [])])
                names = [module, *(f"{module}.{each.name}" for each in node.names)]
            assert not barred & set(names), f"{path} imports {barred & set(names)}"
