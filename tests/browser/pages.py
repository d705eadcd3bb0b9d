"""Actions of people on pages, for browser tests."""

from playwright.sync_api import Page, expect

from tests.support.factories import PASSWORD


def sign_in(page: Page, email: str) -> Page:
    page.goto("/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator("details.me")).to_be_visible()  # the person's menu: there is one when one is signed in
    return page
