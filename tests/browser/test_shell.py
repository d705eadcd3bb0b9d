"""The shell on the desk and on the phone, and the operators' lists: they fit, and their filters work without script."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.access import Actor
from consent.services import locks, operator_requests, webhooks
from tests.browser.conftest import PHONE
from tests.support.cast import Cast
from tests.support.factories import UserFactory
from tests.support.keys import issue_key
from tests.support.operators_site import MODELS

pytestmark = pytest.mark.django_db(transaction=True)

LISTS = (*MODELS, "consent_webhookendpoint", "consent_operatorrequest", "consent_bulkjob")
# Cells of a list that are cut or scroll sideways, and dates on more than one line.
MISFITS = """() => [
  ...[...document.querySelectorAll(".results")].filter(each => each.scrollWidth > each.clientWidth + 1),
  ...[...document.querySelectorAll(".results time")].filter(each => each.getClientRects().length > 1),
].map(each => each.outerHTML.slice(0, 120))"""


@pytest.fixture
def open_as_operator(open_page: Callable[..., Page], cast: Cast, live_server: object) -> Callable[..., Page]:
    def open_one(**options: object) -> Page:
        client = Client()
        client.force_login(cast.operator)
        page = open_page(**options)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": str(live_server)}])
        return page

    return open_one


def ask(cast: Cast) -> None:
    """Another operator asks for something that the cast's operator can confirm."""
    other = UserFactory(operator=True, old=True)
    operator_requests.ask(
        kind="operator", email="new@provider.example", name="New", reason="as agreed",
        actor=Actor.from_user(other, confirmed=True),
    )  # fmt: skip


def test_lists__at_1280__nothing_cut_and_dates_on_one_line(open_as_operator: Callable[..., Page], cast: Cast) -> None:
    how = {"actor": cast.provider, "source": "admin"}
    locks.place_lock(organization=cast.labs, product="le_chat", reason="A law about it. " * 8, reference="§ 1", **how)
    webhooks.create_endpoint(organization=cast.labs, url=f"https://hooks.example.com/{'a' * 120}", **how)
    issue_key("The service that reads all", ["consent:read", "events:read"], organization=cast.labs)
    ask(cast)
    page = open_as_operator()
    page.goto(reverse("admin:index"))
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    expect(page.get_by_role("button", name="Menu")).to_be_hidden()
    misfits = {}
    for name in LISTS:
        page.goto(reverse(f"admin:{name}_changelist"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        if found := page.evaluate(MISFITS):
            misfits[name] = found
    assert misfits == {}


def test_filters__without_script__said_in_words_and_taken_away(
    open_as_operator: Callable[..., Page], cast: Cast
) -> None:
    page = open_as_operator(java_script_enabled=False)
    page.goto(reverse("admin:accounts_organization_changelist"))
    expect(page.get_by_label("Kind")).to_be_hidden()
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Kind").select_option("Personal")
    page.get_by_role("button", name="Show").click()
    assert page.url.endswith("?kind__exact=personal")
    expect(page.get_by_text("Nothing matches. Take a filter away.")).to_be_visible()
    page.get_by_role("list", name="Filters in force").get_by_role("link", name="Kind: Personal").click()
    expect(page.get_by_role("link", name=cast.labs.name)).to_be_visible()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_phone__menu_opened__leads_on_and_says_what_waits(
    script: bool, open_as_operator: Callable[..., Page], cast: Cast
) -> None:
    ask(cast)
    phone = open_as_operator(viewport=PHONE, has_touch=True, java_script_enabled=script)
    phone.goto(reverse("admin:index"))
    menu = phone.get_by_role("navigation", name="Main")
    expect(menu).to_be_hidden()
    opener = phone.get_by_role("button", name="Menu (1 waits for you)")
    opener.tap()
    expect(menu.get_by_role("link", name="Overview")).to_have_attribute("aria-current", "page")
    if script:
        phone.keyboard.press("Escape")
        expect(menu).to_be_hidden()
        opener.tap()
    menu.get_by_role("link", name="Requests").tap()
    expect(phone.get_by_role("heading", level=1)).to_contain_text("Requests")
    expect(phone.get_by_role("link", name="Make an operator")).to_be_visible()
