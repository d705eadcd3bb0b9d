"""Accessibility and look of the screens: size of targets, states without colour, reduced motion, charts, labels."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.access import Actor
from consent import decisions, ledger
from consent.lookups import Question
from consent.projections import runner
from consent.services import choices, locks, plans
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE
from tests.browser.conftest import PHONE
from tests.support.cast import Cast
from tests.support.console import in_words

pytestmark = pytest.mark.django_db(transaction=True)

# Links inside sentences are as tall as their line, and may be.
_SMALL = """least => {
  const inside = ".unseen, label, p, td, th, li, figcaption, .hint, .menu > div";
  return [...document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea, summary")]
    .filter(each => each.checkVisibility({visibilityProperty: true}) && !each.closest(inside))
    .map(each => ({each, box: each.getBoundingClientRect()}))
    .filter(({box}) => box.height > 1 && box.height < least - 0.5)
    .map(({each, box}) => `${each.outerHTML.slice(0, 80)} ${Math.round(box.height)}`)
}"""


@pytest.fixture
def open_as(open_page: Callable[..., Page], live_server: object) -> Callable[..., Page]:
    def open_one(person: object, **options: object) -> Page:
        client = Client()
        client.force_login(person)  # type: ignore[arg-type]
        page = open_page(**options)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": str(live_server)}])
        return page

    return open_one


def owners_pages(cast: Cast) -> list[str]:
    names = ("overview", "le-chat", "privacy", "members", "history", "settings", "webhooks")
    own = [reverse(f"console:{name}", args=[cast.labs.pk]) for name in names]
    return [*own, "/settings/data-controls/", "/account/second-factor/", "/account/password/"]


@pytest.mark.parametrize(("options", "least"), [({}, 24), ({"viewport": PHONE}, 48)], ids=["desktop", "phone"])
def test_targets__large_enough(
    options: dict[str, object], least: int, cast: Cast, open_as: Callable[..., Page]
) -> None:
    page, small = open_as(cast.owner, **options), {}
    for address in owners_pages(cast):
        page.goto(address)
        if found := page.evaluate(_SMALL, least):
            small[address.rpartition(str(cast.labs.pk))[2]] = found
    assert small == {}, small


def test_narrowest_screen__every_page_fits(cast: Cast, open_as: Callable[..., Page]) -> None:
    page = open_as(cast.owner, viewport={"width": 320, "height": 640})
    for address in owners_pages(cast):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address


def test_states__told_apart_by_words(cast: Cast, open_as: Callable[..., Page]) -> None:
    """Default, chosen, carried over and locked: each has its own badge and its own sentence."""
    page, address = open_as(cast.owner), reverse("console:le-chat", args=[cast.labs.pk])
    how = {"organization": cast.labs, "actor": cast.provider, "source": "admin"}
    seen = []

    def look() -> None:
        page.goto(address)
        badge = page.locator("[data-source]")
        seen.append((badge.get_attribute("data-source"), badge.inner_text(), page.locator(".why").inner_text()))

    look()
    for plan in ("le_chat_teams", "le_chat_pro"):
        plans.subscribe(plan=plans.get_plan(plan), reason="moved", **how)
    look()
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out",
        actor=Actor.from_user(cast.owner, confirmed=True),
        source="console",
    )  # fmt: skip
    look()
    locks.place_lock(product="le_chat", reason="hospital contract", reference="C-118", **how)
    look()
    assert [source for source, _badge, _why in seen] == ["default", "carried_over", "chosen", "locked"]
    assert len({badge for _source, badge, _why in seen}) == len({why for _source, _badge, why in seen}) == 4


def test_motion__reduced_where_asked_for(cast: Cast, open_as: Callable[..., Page]) -> None:
    for wish, still in (("reduce", True), ("no-preference", False)):
        page = open_as(cast.owner, reduced_motion=wish)
        page.goto(reverse("console:le-chat", args=[cast.labs.pk]))
        moves = page.get_by_role("switch").evaluate("each => getComputedStyle(each).transitionDuration")
        assert (moves == "0s") is still


def test_screens__say_what_decisions_say(cast: Cast, open_as: Callable[..., Page]) -> None:
    page = open_as(cast.owner)
    for surface, name in ((LE_CHAT_CONSOLE, "le-chat"), (AI_STUDIO_CONSOLE, "privacy")):
        member = str(cast.labs.members.get(user=cast.owner).pk)
        asked = Question(str(cast.labs.pk), surface.product.value, member)
        for choice in ("opted_out", "opted_in"):
            choices.choose(
                surface=surface, organization=cast.labs, choice=choice,
                actor=Actor.from_user(cast.owner, confirmed=True), version_required=False,
                source="console", reason="Decided.",
            )  # fmt: skip
            allowed = decisions.decide(asked, Actor.system()).decision.allowed
            expected = in_words(surface.product, allowed=allowed)
            page.goto(reverse(f"console:{name}", args=[cast.labs.pk]))
            expect(page.locator(".state")).to_have_text(expected)
            assert page.get_by_role("switch").is_checked() is allowed
            page.goto(reverse("console:overview", args=[cast.labs.pk]))
            row = page.get_by_role("listitem").filter(has_text=str(surface.product.label)).first
            expect(row.locator(".state")).to_have_text(expected)


def test_plots__title_summary_and_the_same_as_a_table(cast: Cast, open_as: Callable[..., Page]) -> None:
    ledger.sequence()
    runner.catch_up("rollup")
    page = open_as(cast.operator)
    page.goto(reverse("admin:index"))
    for title in ("Opted out, by plan", "Choices a day", "Settings by what decides"):
        card = page.locator("section.card").filter(has=page.get_by_role("heading", name=title))
        assert card.get_by_role("img").count() > 0
        assert all(image.get_attribute("aria-label") or image.get_attribute("aria-labelledby")
                   for image in card.get_by_role("img").all())  # fmt: skip
        expect(card.locator("p.muted").first).not_to_be_empty()
        if card.locator("summary").count():
            card.locator("summary").click()
        expect(card.get_by_role("table")).to_be_visible()
