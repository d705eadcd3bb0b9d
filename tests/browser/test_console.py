"""The three surfaces in a real browser: with mouse, touch, keyboard only, and without JavaScript."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from consent.models import ConsentEvent, PrivacySetting
from consent.services import choices
from consent.surfaces import LE_CHAT_CONSOLE
from tests.browser.pages import sign_in
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.console import in_words
from tests.support.factories import PASSWORD, MemberFactory

pytestmark = pytest.mark.django_db(transaction=True)

OFF, ON = "Not used for training", "Used for training"


def state(page: Page) -> Locator:
    return page.locator(".state")


def api_setting(page: Page, organization: object, surface: str) -> dict[str, object]:
    """What the API says to the very same session."""
    answer = page.request.get(f"/api/v1/organizations/{organization}/privacy-settings/{surface}/")
    assert answer.status == 200
    found: dict[str, object] = answer.json()
    return found


def kinds() -> list[str]:
    return list(ConsentEvent.objects.order_by("pk").values_list("kind", flat=True))


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("entry", "label", "surface", "product"),
    [
        ("Le Chat", "Allow your interactions to be used to train our models", "le_chat_console", "le_chat"),
        (
            "Privacy",
            "Allow API calls and related data to be used to improve our services",
            "ai_studio_console",
            "ai_studio",
        ),
    ],
)
def test_organization_surface__off_and_on__seen_in_page_api_and_ledger(
    cast: Cast, page: Page, entry: str, label: str, surface: str, product: str
) -> None:
    casting.subscribe(cast.labs, "ai_studio_experiment", cast.provider)
    sign_in(page, cast.owner.email)
    page.get_by_role("navigation").get_by_role("link", name=entry, exact=True).click()
    switch = page.get_by_role("switch", name=label)
    if surface == "ai_studio_console":
        # Moved from Scale, so carried over: it has to be opted in first.
        expect(page.locator(".badge[data-source=carried_over]")).to_be_visible()
        switch.click()
        page.get_by_role("button", name="Allow training").click()
    expect(switch).to_be_checked()
    before = kinds()

    switch.click()
    expect(switch).not_to_be_checked()
    off = in_words(product, allowed=False).lower()
    expect(page.get_by_role("status")).to_contain_text(f"Saved. From now on this data is {off}.")
    expect(state(page)).to_have_text(in_words(product, allowed=False))
    expect(switch).to_be_focused()
    assert api_setting(page, cast.labs.pk, surface)["effective"] == "opted_out"
    assert kinds() == [*before, "choice.opted_out"]

    switch.click()
    expect(page.get_by_role("dialog")).to_contain_text("earlier data is not")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(switch).not_to_be_checked()
    assert kinds() == [*before, "choice.opted_out"]

    switch.click()
    page.get_by_role("button", name="Keep off").click()
    expect(switch).not_to_be_checked()
    assert kinds() == [*before, "choice.opted_out"]

    switch.click()
    page.get_by_role("button", name="Allow training").click()
    expect(switch).to_be_checked()
    expect(state(page)).to_have_text(in_words(product, allowed=True))
    expect(switch).to_be_focused()
    assert api_setting(page, cast.labs.pk, surface)["effective"] == "opted_in"
    assert kinds() == [*before, "choice.opted_out", "choice.opted_in"]
    event = ConsentEvent.objects.latest("pk")
    assert (event.surface, event.product, event.source, event.actor_id) == (
        surface,
        product,
        "console",
        str(cast.owner.pk),
    )


@pytest.mark.smoke
def test_data_controls__phone__off_and_on(cast: Cast, phone: Page) -> None:
    sign_in(phone, cast.member.email)
    box = phone.get_by_role("checkbox", name="Enable data sharing")
    expect(box).to_be_checked()
    # The whole row answers to the finger, and it is high enough for one.
    row = phone.locator(".setting .row")
    size = row.bounding_box()
    assert size is not None and size["height"] >= 48
    row.tap(position={"x": 12, "y": 24})
    expect(phone.get_by_role("status")).to_contain_text("Saved.")
    expect(box).not_to_be_checked()
    expect(state(phone)).to_have_text("Your data is not used for training")
    own = PrivacySetting.objects.get(member=cast.labs_member)
    assert (own.choice, kinds()[-1]) == ("opted_out", "choice.opted_out")
    settings = f"/api/v1/organizations/{cast.labs.pk}/members/{cast.labs_member.pk}/privacy-settings/le_chat_mobile/"
    assert phone.request.get(settings).json()["effective"] == "opted_out"

    row.tap(position={"x": 12, "y": 24})
    phone.get_by_role("button", name="Allow training").tap()
    expect(box).to_be_checked()
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.source, event.member_id) == ("choice.opted_in", "data_controls", cast.labs_member.pk)


def test_opt_out_everywhere__one_tap__all_cards_off(cast: Cast, phone: Page) -> None:
    MemberFactory(organization=cast.brage, user=cast.member, actor=cast.provider)
    sign_in(phone, cast.member.email)
    phone.get_by_role("button", name="Opt out everywhere").tap()
    expect(phone.get_by_role("status")).to_contain_text("none of your Le Chat data is used")
    assert PrivacySetting.objects.filter(member__user=cast.member, choice="opted_out").count() == 2
    expect(phone.get_by_text("Chosen", exact=True)).to_have_count(2)


def test_reason__plan_out_by_default__dialog_wants_one(cast: Cast, page: Page) -> None:
    sign_in(page, cast.owner.email)
    page.get_by_role("link", name="Privacy", exact=True).click()
    before = kinds()
    page.get_by_role("switch").click()
    expect(page.get_by_label("Reason")).to_have_value("")
    page.get_by_role("button", name="Allow training").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert kinds() == before
    page.get_by_label("Reason").fill("Research contract")
    page.get_by_role("button", name="Allow training").click()
    expect(page.get_by_role("switch")).to_be_checked()
    assert ConsentEvent.objects.latest("pk").reason == "Research contract"


def test_keyboard_alone__signs_in_and_switches(cast: Cast, page: Page) -> None:
    page.goto("/")
    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(cast.owner.email)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Kvasir Labs")
    reach(page, page.get_by_role("navigation").get_by_role("link", name="Le Chat"))
    page.keyboard.press("Enter")
    switch = page.get_by_role("switch")
    reach(page, switch)
    page.keyboard.press("Space")
    expect(switch).not_to_be_checked()
    expect(switch).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Keep off")).to_be_focused()
    page.keyboard.press("Escape")
    expect(switch).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(switch).to_be_checked()
    assert kinds()[-2:] == ["choice.opted_out", "choice.opted_in"]


def reach(page: Page, target: Locator) -> None:
    """Press Tab until it has the focus."""
    for _ in range(40):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not get there")


def test_without_script__plain_forms_do_it_all(cast: Cast, open_page: Callable[..., Page]) -> None:
    page = sign_in(open_page(java_script_enabled=False), cast.owner.email)
    page.get_by_role("link", name="Le Chat", exact=True).click()
    page.get_by_role("button", name="Stop using this data for training").click()
    expect(state(page)).to_have_text(OFF)
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    page.get_by_role("button", name="Allow training …").click()
    page.get_by_role("link", name="Keep off").click()
    expect(state(page)).to_have_text(OFF)
    page.get_by_role("button", name="Allow training …").click()
    page.get_by_role("button", name="Allow training").click()
    expect(state(page)).to_have_text(ON)
    assert kinds()[-2:] == ["choice.opted_out", "choice.opted_in"]


def test_double_click__one_event(cast: Cast, page: Page) -> None:
    sign_in(page, cast.owner.email)
    page.get_by_role("link", name="Le Chat", exact=True).click()
    before = kinds()
    page.get_by_role("switch").dblclick()
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    page.wait_for_load_state("networkidle")
    assert kinds() == [*before, "choice.opted_out"]


def test_stale_opt_in__says_so_and_shows_what_holds(cast: Cast, page: Page) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )
    sign_in(page, cast.owner.email)
    page.get_by_role("link", name="Le Chat", exact=True).click()
    page.get_by_role("switch").click()
    # Meanwhile, elsewhere.
    casting.subscribe(cast.labs, "le_chat_teams", cast.provider)
    before = kinds()
    page.get_by_role("button", name="Allow training").click()
    expect(page.get_by_role("alert")).to_contain_text("Not saved. Still not used for training.")
    expect(page.get_by_role("alert")).to_contain_text("Reference ")
    expect(page.get_by_role("switch")).not_to_be_checked()
    assert kinds() == before


def test_keep_it_off__operators_choice__becomes_theirs_and_focus_stays_near(cast: Cast, page: Page) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )
    sign_in(page, cast.owner.email)
    page.get_by_role("link", name="Le Chat", exact=True).click()
    page.get_by_role("button", name="Keep it off").click()
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    expect(page.get_by_role("button", name="Keep it off")).to_have_count(0)
    expect(page.get_by_role("switch")).to_be_focused()
    assert kinds()[-1] == "choice.confirmed"


def test_server_unreachable__nothing_changes_and_it_says_so(cast: Cast, page: Page) -> None:
    sign_in(page, cast.owner.email)
    page.get_by_role("link", name="Le Chat", exact=True).click()
    switch = page.get_by_role("switch")
    page.route("**/le-chat/", lambda route: route.abort())
    switch.click()
    expect(page.get_by_role("alert")).to_have_text("Not saved. Still used for training. Try again.")
    expect(switch).to_be_checked()
    expect(page.locator("[data-setting]")).not_to_have_attribute("aria-busy", "true")
    page.unroute("**/le-chat/")
    switch.click()
    expect(switch).not_to_be_checked()
    expect(page.get_by_role("alert")).to_be_empty()


def test_two_clicks__from_sign_in_to_the_toggle(cast: Cast, page: Page) -> None:
    sign_in(page, cast.owner.email)
    page.get_by_role("link", name="Le Chat", exact=True).click()
    page.get_by_role("switch").click()
    expect(page.get_by_role("status")).to_contain_text("Saved.")


PAGES = ("", "le-chat/", "privacy/", "members/", "history/", "webhooks/")


def test_narrowest_screen__no_sideways_scroll(cast: Cast, open_page: Callable[..., Page]) -> None:
    page = sign_in(open_page(viewport={"width": 320, "height": 640}), cast.owner.email)
    for name in PAGES:
        page.goto(f"/o/{cast.labs.pk}/{name}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name


def test_back__after_a_change__shows_what_holds(cast: Cast, page: Page) -> None:
    sign_in(page, cast.owner.email)
    page.get_by_role("link", name="Le Chat", exact=True).click()
    page.get_by_role("link", name="Overview", exact=True).click()
    page.go_back()
    page.get_by_role("switch").click()
    expect(state(page)).to_have_text(OFF)
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kvasir Labs")
    page.go_back()
    expect(page.get_by_role("switch")).not_to_be_checked()
