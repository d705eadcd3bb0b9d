"""Actions of people on pages, for browser tests."""

from collections.abc import Callable
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from tests.support.cast import Cast
from tests.support.factories import PASSWORD


def sign_in(page: Page, email: str) -> Page:
    page.goto("/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator("details.me")).to_be_visible()  # the person's menu: there is one when one is signed in
    return page


def as_person(open_page: Callable[..., Page], cast: Cast, person: str, **options: object) -> Page:
    """A new page, with somebody of the cast signed in past the form; or nobody, for “anonymous”."""
    page = open_page(**options)
    if person != "anonymous":
        client = Client()
        client.force_login(getattr(cast, person))
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": page_base(page)}])
    return page


def page_base(page: Page) -> str:
    page.goto("/healthz")
    return "{0.scheme}://{0.netloc}".format(urlsplit(page.url))


def nothing_wrong(page: Page) -> None:
    """Assert that axe finds nothing, and that nothing is wider than the screen; it needs `bypass_csp`."""
    assert [each["id"] for each in Axe().run(page).response["violations"]] == []
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
