"""The pages of products: days of cooling-off, said before they are set, and confirmed by another where they shorten."""

import re
from typing import Any

import pytest
from django.test import Client

from consent.models import CoolingOff, OperatorRequest
from consent.services import cooling_off, operator_requests
from tests.support.cast import Cast, signed_in
from tests.support.ledger_guards import changes_nothing
from tests.support.operators import Staff

pytestmark = pytest.mark.django_db
URL = "/admin/products/"
LE_CHAT = f"{URL}le_chat/"


@pytest.fixture
def staff() -> Staff:
    """Le Chat has 30 days."""
    return Staff()


def post(client: Client, days: object, reason: str = "", *, confirmed: str = "") -> Any:
    return client.post(LE_CHAT, {"days": days, "reason": reason, **({"confirmed": confirmed} if confirmed else {})})


def confirm(client: Client, days: int, reason: str = "") -> Any:
    """Read what happens, and confirm it."""
    with changes_nothing():
        asked = post(client, days, reason)
    assert asked.status_code == 200
    digest = re.search(r'name="confirmed" value="(\w+)"', asked.content.decode())
    assert digest
    return post(client, days, reason, confirmed=digest[1])


def test_products__list__says_the_days(staff: Staff) -> None:
    text = staff.client("asker").get(URL).content.decode()
    assert "30 days" in text and "Other content that people provide" in text and "None" in text


def test_product__more_days__are_said_then_set(staff: Staff) -> None:
    client = staff.client("asker")
    asked = post(client, 60).content.decode()
    assert "Data may be used once it is 30 days old." in asked and "once it is 60 days old." in asked
    assert confirm(client, 60, "As the board decided.").headers["Location"] == LE_CHAT
    assert CoolingOff.objects.in_force()["le_chat"] == 60
    text = client.get(LE_CHAT).content.decode()
    assert "30 → 60" in text and "As the board decided." in text and "Odin" in text


def test_product__fewer_days__wait_for_another_operator(staff: Staff) -> None:
    client = staff.client("asker")
    sent = confirm(client, 7, "agreed")
    request = OperatorRequest.objects.get()
    assert sent.headers["Location"] == f"/admin/consent/operatorrequest/{request.pk}/change/"
    assert CoolingOff.objects.in_force()["le_chat"] == 30
    assert request.about == "Le Chat: from 30 to 7 days"
    assert request.about in client.get(LE_CHAT).content.decode()
    with changes_nothing():
        assert client.post(f"/admin/consent/operatorrequest/{request.pk}/verbs/confirm/").status_code == 403
    second = staff.client("second")
    assert request.about in second.get(f"/admin/consent/operatorrequest/{request.pk}/change/").content.decode()
    assert second.post(f"/admin/consent/operatorrequest/{request.pk}/verbs/confirm/").status_code == 302
    assert CoolingOff.objects.in_force()["le_chat"] == 7


@pytest.mark.parametrize(
    ("days", "reason", "status", "told"),
    [
        (7, "", 400, "Give a value for reason."),
        (-1, "", 400, "greater than or equal to 0"),
        (3651, "", 400, "less than or equal to 3650"),
        ("", "", 400, "This field is required."),
        ("soon", "", 400, "Enter a whole number."),
    ],
)
def test_product__impossible_days__are_refused(staff: Staff, days: object, reason: str, status: int, told: str) -> None:
    client = staff.client("asker")
    with changes_nothing():
        answer = post(client, days, reason)
    assert (answer.status_code, told in answer.content.decode()) == (status, True)


def test_product__same_days__say_so(staff: Staff) -> None:
    client = staff.client("asker")
    with changes_nothing():
        assert post(client, 30).headers["Location"] == LE_CHAT


def test_product__asked_for_twice__is_refused(staff: Staff) -> None:
    client = staff.client("asker")
    confirm(client, 7, "agreed")
    with changes_nothing():
        assert post(client, 5, "agreed").status_code == 409


def test_product__days_changed_meanwhile__is_asked_again(staff: Staff) -> None:
    client = staff.client("asker")
    asked = post(client, 60).content.decode()
    digest = re.search(r'name="confirmed" value="(\w+)"', asked)
    assert digest
    cooling_off.lengthen(product="le_chat", days=40, actor=staff.actor("second"), source="admin")
    with changes_nothing():
        assert post(client, 60, confirmed=digest[1]).status_code == 409


def test_request__days_changed_since__is_refused(staff: Staff) -> None:
    request = staff.asked("cooling_off")
    cooling_off.lengthen(product="le_chat", days=40, actor=staff.actor("second"), source="admin")
    url, second = f"/admin/consent/operatorrequest/{request.pk}/verbs/confirm/", staff.client("second")
    with changes_nothing():
        assert second.post(url).status_code == 409
    assert operator_requests.waiting().get() == request


@pytest.mark.parametrize("path", [URL, LE_CHAT])
def test_products__for_nobody_but_operators(cast: Cast, path: str) -> None:
    owner = signed_in(cast.owner.email)
    assert owner.get(path).status_code == 403
    assert Client().get(path).status_code == 302
    with changes_nothing():
        assert owner.post(path, {"days": 7}).status_code == 403


def test_product__unknown__is_not_found(staff: Staff) -> None:
    assert staff.client("asker").get(f"{URL}mistral/").status_code == 404
