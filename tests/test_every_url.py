"""Every URL of the URLconf: browsers change nothing without a CSRF token, and only operators use operators' URLs."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import AddressChange
from consent.models import BulkJob, OperatorRequest, WebhookAttempt, WebhookEndpoint
from tests.support.cast import Cast
from tests.support.every_url import BODY, FORM, ROUTES, make_busy, paths
from tests.support.ledger_guards import everything
from tests.support.recordings import Recorded

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
ADMIN = [route for route in ROUTES if route.startswith("admin/")]


@pytest.fixture
def busy(db: None, recorded: Recorded[Cast]) -> Cast:
    return recorded(make_busy).load()


def all_there_is() -> list[Any]:
    more = (OperatorRequest, BulkJob, WebhookEndpoint, WebhookAttempt, AddressChange)
    return [*everything(), *(list(table._base_manager.order_by("pk").values_list()) for table in more)]


# Nobody's token is asked for where a method is none of the page's, or leads somewhere else.
UNASKED = (302, 404, 405)


def send(client: Client, method: str, path: str) -> int:
    answer = client.generic(method, path, BODY, FORM)
    assert b"Kvasir" not in answer.content, (method, path)
    return answer.status_code


@pytest.mark.parametrize("who", ["owner", "operator"])
def test_every_url__sent_by_a_foreign_page__does_nothing(who: str, busy: Cast) -> None:
    """As their browser sends it for another site: signed in, without the token."""
    client, refused = Client(enforce_csrf_checks=True), set()
    client.force_login(getattr(busy, who))
    before = all_there_is()
    for route in ROUTES:
        for path in paths(route, busy):
            for method in UNSAFE:
                status = send(client, method, path)
                refused.add((route, status))
                assert status in (403, *UNASKED), (method, path, status)
        assert all_there_is() == before, route
    assert len([route for route, status in refused if status == 403]) > 100, "the token is what they are asked for"


@pytest.mark.parametrize("who", ["", "owner", "admin", "auditor", "member", "outsider"])
def test_every_url_of_operators__for_anybody_else__does_and_tells_nothing(who: str, busy: Cast) -> None:
    client = Client()
    if who:
        client.force_login(getattr(busy, who))
    before = all_there_is()
    for route in [route for route in ADMIN if not route.startswith("admin/logout")]:
        for path in paths(route, busy):
            for method in ("GET", *UNSAFE):
                status = send(client, method, path)
                kept_out = status == 403 if who and route != "admin/login/" else status in UNASKED
                assert kept_out, (method, path, status)
        assert all_there_is() == before, route


def test_every_url__the_table_of_values__knows_what_is_in_it(busy: Cast) -> None:
    """Else a URL that is about nothing would pass for one that refuses."""
    client = Client()
    client.force_login(busy.operator)
    nothing = {route for route in ADMIN if client.get(paths(route, busy)[0]).status_code == 404}
    # Django's own catch-all, and its way to pages of objects, of which there are none here.
    assert nothing == {"admin/(?P<url>.*)", "admin/r/<path:content_type_id>/<path:object_id>/"}
