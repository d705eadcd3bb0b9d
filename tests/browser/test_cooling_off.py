"""Cooling-off in a browser: set by an operator, fewer confirmed by another; cards say from when on data is used."""

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from consent.models import CoolingOff
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.pages import as_person, nothing_wrong, sign_in
from tests.support.cast import Cast
from tests.support.factories import UserFactory, long_standing
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db(transaction=True)
LE_CHAT = "/admin/products/le_chat/"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_cooling_off__lengthened_and_shortened_by_two__cards_say_when(
    open_page: Callable[..., Page], cast: Cast, size: dict[str, int]
) -> None:
    long_standing(cast.operator)
    UserFactory(email="frigg@provider.example", name="Frigg", operator=True, old=True)
    page = as_person(open_page, cast, "operator", viewport=size, bypass_csp=True)
    page.goto(url("products"))
    nothing_wrong(page)
    page.get_by_role("link", name="Le Chat", exact=True).last.click()
    page.get_by_label("Days").fill("30")
    page.get_by_label("Reason").fill("As the board decided.")
    nothing_wrong(page)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Lengthen the cooling-off of Le Chat?")).to_be_visible()
    nothing_wrong(page)
    page.get_by_role("button", name="Lengthen it").click()
    expect(page.locator(".badge").first).to_have_text("30 days")
    assert CoolingOff.objects.in_force()["le_chat"] == 30

    for person, path in (
        ("owner", reverse("console:le-chat", args=[cast.labs.pk])),
        ("member", reverse("console:data-controls")),
    ):
        reader = as_person(open_page, cast, person, viewport=size, bypass_csp=True)
        reader.goto(path)
        expect(reader.get_by_text("at the earliest. If you opt out before then, it is never used.")).to_be_visible()
        nothing_wrong(reader)

    page.get_by_label("Days").fill("7")
    page.get_by_label("Reason").fill("Agreed with legal.")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Nothing changes until another operator confirms it.")).to_be_visible()
    page.get_by_role("button", name="Ask another operator").click()
    expect(page.get_by_text("Le Chat: from 30 to 7 days")).to_be_visible()
    nothing_wrong(page)
    page.goto(LE_CHAT)
    expect(page.get_by_role("link", name="Le Chat: from 30 to 7 days")).to_be_visible()
    nothing_wrong(page)

    confirmer = sign_in(open_page(viewport=size), "frigg@provider.example")
    confirmer.goto(LE_CHAT)
    confirmer.get_by_role("link", name="Le Chat: from 30 to 7 days").click()
    confirmer.get_by_role("button", name="Confirm").click()
    expect(confirmer.get_by_text("Confirmed. The change is made.")).to_be_visible()
    assert CoolingOff.objects.in_force()["le_chat"] == 7
