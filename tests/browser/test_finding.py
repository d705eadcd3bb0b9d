"""Finding in a browser: by the slash key and arrows, and without script; and Why? asked by names, with what if."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from consent import ledger
from consent.projections import runner
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def open_as_operator(open_page: Callable[..., Page], cast: Cast, live_server: object) -> Callable[..., Page]:
    ledger.sequence()
    runner.catch_up("words")

    def open_one(**options: object) -> Page:
        client = Client()
        client.force_login(cast.operator)
        page = open_page(**options)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": str(live_server)}])
        return page

    return open_one


def test_search__by_keyboard__from_the_slash_to_the_organization(open_as_operator: Callable[..., Page]) -> None:
    page = open_as_operator()
    page.goto("/admin/")
    page.keyboard.press("/")
    box = page.get_by_role("searchbox", name="Search organizations and people")
    expect(box).to_be_focused()
    page.keyboard.type("labs")
    suggestion = page.get_by_role("link", name="Kvasir Labs")
    expect(suggestion).to_be_visible()
    expect(page.locator("#finder-said")).to_have_text("1 suggestion")
    page.keyboard.press("ArrowDown")
    expect(suggestion).to_be_focused()
    page.keyboard.press("Escape")
    expect(suggestion).to_have_count(0)
    expect(box).to_be_focused()
    page.keyboard.type(" kva")
    expect(suggestion).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Kvasir Labs")
    page.get_by_label("Name", exact=True).press("/")  # a slash in a field is a slash
    expect(page.get_by_role("searchbox")).not_to_be_focused()


def test_search__without_script__a_page_of_results(open_as_operator: Callable[..., Page], cast: Cast) -> None:
    page = open_as_operator(java_script_enabled=False)
    page.goto("/admin/")
    page.get_by_role("searchbox").fill("dag@")
    page.get_by_role("search").get_by_role("button", name="Search").click()
    expect(page.get_by_role("row", name=cast.member.email)).to_be_visible()


def test_why__asked_by_names__then_what_if(open_as_operator: Callable[..., Page]) -> None:
    page = open_as_operator()
    page.goto("/admin/why/")
    page.get_by_label("Organization", exact=True).fill("labs")
    page.get_by_label("Member", exact=True).fill("dag")
    page.get_by_label("Time asked about").fill("2000-01-31T14:00")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_text("outside the period that is known")).to_be_visible()
    page.get_by_label("Time asked about").fill("")
    page.get_by_role("button", name="Ask").click()
    page.get_by_label("A lock were").select_option("In force")
    page.get_by_role("button", name="Show what would be").click()
    expect(page.get_by_role("heading", name="The answer would change")).to_be_visible()
    expect(page.get_by_role("row", name="Answer Allowed Not allowed")).to_be_visible()
