"""Being told, in a real browser: the number of an opt-out, the provider's acts until seen, preferences, a statement."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from consent import ledger
from consent.models import ConsentEvent, NoticeOff
from consent.projections import runner
from consent.services import locks
from tests.browser.pages import sign_in
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def test_opt_out__one_click__says_its_number__and_history_and_the_printed_statement_have_it(
    cast: Cast, page: Page
) -> None:
    sign_in(page, cast.owner.email)
    page.goto(f"/o/{cast.labs.pk}/le-chat/")
    page.get_by_role("switch").click()
    expect(page.get_by_role("status")).to_contain_text("Saved on ")
    number = f"number {ConsentEvent.objects.latest('pk').pk}"
    expect(page.get_by_role("status")).to_contain_text(f"{number}.")
    page.get_by_role("link", name="History", exact=True).click()
    row = page.get_by_role("row", name=number)
    expect(row).to_contain_text("Le Chat Pro · Not used for training from then on.")
    page.get_by_role("link", name="Statement to print").click()
    expect(page.get_by_role("row", name=number)).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation").first).to_be_hidden()
    for said in (str(cast.labs.pk), "Ledger position", "Made at", "Period"):
        expect(page.get_by_role("main")).to_contain_text(said)


@pytest.mark.parametrize("script", [True, False])
def test_provider_acts__note_on_every_page__until_seen(
    cast: Cast, open_page: Callable[..., Page], script: bool
) -> None:
    by = {"organization": cast.labs, "actor": cast.provider, "source": "admin"}
    locks.place_lock(product="le_chat", reason="A court", reference="7", **by)
    ledger.sequence()
    runner.catch_up("notices")
    page = open_page(java_script_enabled=script)
    sign_in(page, cast.owner.email)
    page.goto(f"/o/{cast.labs.pk}/members/")
    note = page.get_by_role("region", name="The provider changed something for Kvasir Labs")
    expect(note).to_contain_text("Reason: A court")
    note.get_by_role("button", name="Seen").press("Enter")
    expect(note).to_have_count(0)
    assert page.url.endswith("/members/")
    page.goto(f"/o/{cast.labs.pk}/")
    expect(note).to_have_count(0)


def test_notifications__switched_off_by_keyboard_and_kept(cast: Cast, page: Page) -> None:
    sign_in(page, cast.member.email)
    page.get_by_role("link", name="Notifications").click()
    switch = page.get_by_role("switch", name="Your opt-out is saved")
    expect(switch).to_be_checked()
    switch.press("Space")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Saved.")
    expect(switch).not_to_be_checked()
    assert NoticeOff.objects.get().notice == "opt_out_saved"
    expect(page.get_by_text("Always on").first).to_be_visible()
