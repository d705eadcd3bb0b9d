"""Tests of webhooks: a worker sends them, one at a time for an organization, and no request waits for a receiver."""

import ast
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.access import Forbidden
from consent import ledger
from consent.services import organizations, webhooks
from consent.services.errors import Refused
from consent.webhook_models import WebhookAttempt, WebhookEndpoint
from consent.webhooks.delivery import LEASE, deliver_next, send_next_test
from consent.webhooks.sending import Sender
from consent.webhooks.workers import Deliverers
from tests.cast import Cast, make
from tests.commands import database
from tests.consent.calling import by_key
from tests.consent.choosing import actors
from tests.consent.receiving import Receiver, receiver

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]


@pytest.fixture
def cast() -> Cast:
    return make()


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
    WebhookAttempt.objects.filter(pk=test.pk).update(leased_until=ledger.clock() + LEASE)
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


@pytest.mark.django_db(transaction=True)
def test_worker__silent_receivers_of_tests__deliveries_go_on(there: Receiver) -> None:
    cast = make()
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
    barred = {"consent.webhooks.sending", "consent.webhooks.delivery", "consent.webhooks.workers", "httpcore", "socket"}
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
