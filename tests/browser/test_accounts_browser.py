"""A person's account in Chromium: profile, devices, and a key that is shown, copied and loaded again."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import ApiKey
from tests.browser.pages import sign_in
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
    "Mobile/15E148 Safari/604.1"
)


def test_profile__zone_found_by_typing_and_language__hold_at_once(cast: Cast, page: Page) -> None:
    sign_in(page, cast.owner.email)
    page.goto("/settings/profile/")
    expect(page.get_by_text("It is ")).to_contain_text("UTC")
    zone = page.get_by_label("Time zone")
    zone.focus()
    page.keyboard.type("Kath")
    expect(zone).to_have_value("Asia/Kathmandu")
    page.get_by_label("Language").select_option(label="Français")
    page.locator("main form button[type=submit]").first.click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.locator("main")).to_contain_text("UTC+5:45")


def test_devices__other_one_signed_out__is_asked_to_sign_in(cast: Cast, open_page: Callable[..., Page]) -> None:
    phone, here = sign_in(open_page(user_agent=IPHONE), cast.owner.email), sign_in(open_page(), cast.owner.email)
    here.goto("/account/sessions/")
    own = here.get_by_role("listitem").filter(has=here.get_by_text("This device", exact=True))
    expect(own).to_contain_text("Chromium on Linux")
    here.get_by_role("button", name="Sign out this device: Safari on iOS").click()
    expect(here.get_by_text("That device is signed out.")).to_be_visible()
    phone.reload()
    expect(phone.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_key__copied_and_loaded_again__is_one_key(cast: Cast, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, cast.owner.email)
    page.goto(f"/o/{cast.labs.pk}/settings/")
    page.get_by_label("Name").fill("Sync")
    page.get_by_label("ask for decisions").check()
    page.get_by_role("button", name="Create the key").click()
    secret = page.get_by_label("Sync", exact=True)
    text = secret.input_value()
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text
    page.reload()
    expect(secret).to_have_value(text)
    assert ApiKey.objects.count() == 1
    page.get_by_role("button", name="I have copied it").click()
    expect(secret).to_have_count(0)
    page.go_back()
    expect(secret).to_have_count(0)


def test_key__without_script__no_button_that_does_nothing(cast: Cast, open_page: Callable[..., Page]) -> None:
    page = sign_in(open_page(java_script_enabled=False), cast.owner.email)
    page.goto(f"/o/{cast.labs.pk}/settings/")
    page.get_by_label("Name").fill("Sync")
    page.get_by_label("ask for decisions").check()
    page.get_by_role("button", name="Create the key").click()
    expect(page.get_by_label("Sync", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Copy", exact=True)).to_have_count(0)
