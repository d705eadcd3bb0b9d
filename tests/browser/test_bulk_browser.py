"""Bulk change, jobs and import in a browser, from the form to the finished job."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.models import Organization
from consent.models import PrivacySetting
from consent.worker import work_once
from tests.browser.conftest import PHONE
from tests.support.jobs import Team

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def open_as_operator(open_page: Callable[..., Page], team: Team, live_server: object) -> Callable[..., Page]:
    def open_one(**options: object) -> Page:
        client = Client()
        client.force_login(team.author)
        page = open_page(**options)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": str(live_server)}])
        return page

    return open_one


@pytest.mark.smoke
def test_bulk__from_scope_to_end__watched_without_a_reload(open_as_operator: Callable[..., Page], team: Team) -> None:
    team.organizations(3)
    page = open_as_operator()
    page.goto(reverse("admin:bulk"))
    page.get_by_label("Le Chat Free").first.check()
    page.get_by_role("button", name="Preview").first.click()
    expect(page.get_by_role("heading", name="Previewed, nothing changed yet")).to_be_visible()
    page.get_by_role("button", name="Change 3 organizations").click()
    expect(page.get_by_role("heading", name="Queued")).to_be_visible()
    while work_once():
        pass
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    expect(page.locator("#job")).to_contain_text("3 of 3 rows")
    assert PrivacySetting.objects.filter(product="le_chat", choice="opted_out").count() == 3


def test_import__from_upload_to_end__on_a_phone(open_as_operator: Callable[..., Page]) -> None:
    page = open_as_operator(viewport=PHONE)
    page.goto(reverse("admin:import"))
    text = b"Name,Id,Training\nHall A,a,opted_out\nHall B,b,perhaps\n"
    page.get_by_label("File").set_input_files({"name": "halls.csv", "mimeType": "text/csv", "buffer": text})
    page.get_by_role("button", name="Send the file").click()
    page.get_by_label("External id (required)").select_option("Id")
    page.get_by_label("Choice", exact=True).select_option("Training")
    page.get_by_label("Le Chat Free").check()
    page.get_by_role("button", name="Read the file").click()
    expect(page.get_by_text("A worker is reading the file")).to_be_visible()
    while work_once():
        pass
    expect(page.get_by_text("Write opted_out or opted_in")).to_be_visible()
    page.get_by_role("button", name="Import 1 row, leave the bad ones out").click()
    while work_once():
        pass
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert Organization.objects.get().external_id == "a"
