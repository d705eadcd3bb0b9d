"""The help article and the path of the phone's screens, walked by taps: from both one gets to the very toggle."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from consent.models import PrivacySetting
from tests.browser.conftest import PHONE
from tests.browser.pages import sign_in
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_phone__path_of_the_article__walked_by_taps(cast: Cast, open_page: Callable[..., Page], script: bool) -> None:
    phone = sign_in(open_page(viewport=PHONE, has_touch=True, java_script_enabled=script), cast.member.email)
    phone.goto("/settings/")
    for step in ("Account", "Data & Account Controls"):
        row = phone.get_by_role("main").get_by_role("link", name=step)
        size = row.bounding_box()
        assert size is not None and size["height"] >= 48
        row.tap()
        expect(phone.get_by_role("heading", level=1)).to_have_text(step)
    # A checkbox with its label beside it.
    box, label = phone.locator(".box:visible"), phone.get_by_text("Enable data sharing", exact=True)
    expect(box).to_be_checked()
    boxed, labelled = box.bounding_box(), label.bounding_box()
    assert boxed and labelled and 0 < labelled["x"] - boxed["x"] < 60
    if script:
        label.tap()
    else:
        # What only shows the state does not move: the button saves.
        label.tap()
        expect(box).to_be_checked()
        phone.get_by_role("button", name="Stop using this data for training").tap()
    expect(phone.get_by_role("status")).to_contain_text("Saved.")
    expect(phone.locator(".box:visible")).not_to_be_checked()
    assert PrivacySetting.objects.get(member=cast.labs_member).choice == "opted_out"
    phone.get_by_role("main").get_by_role("link", name="Account").tap()
    phone.get_by_role("main").get_by_role("link", name="Settings").tap()
    expect(phone.get_by_role("heading", level=1)).to_have_text("Settings")


def test_article__from_the_sign_in_page__to_the_toggle_and_back(cast: Cast, page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Can I opt out?").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Can I opt out of training?")
    sign_in(page, cast.owner.email)
    page.get_by_role("navigation").get_by_role("link", name="Can I opt out?").click()
    row = page.get_by_role("link", name="Admin Console › Privacy › Anonymous improvement data")
    expect(row).to_contain_text("Following the default of AI Studio Scale: not used")
    row.click()
    switch = page.get_by_role("switch", name="Allow API calls and related data to be used to improve our services")
    switch.click()
    expect(page.get_by_role("dialog")).to_contain_text("to train our models or improve our services")
    page.get_by_label("Reason").fill("A joint project")
    page.get_by_role("button", name="Allow training").click()
    expect(switch).to_be_checked()
    expect(page.locator(".background")).to_have_text("Reason given: “A joint project”. The plan's default: not used.")
    page.get_by_role("main").get_by_role("link", name="Can I opt out?").click()
    expect(row).to_contain_text("You allowed it in the Admin Console on")
