"""Acts that ask once, and plans that are managed, in a browser: by script and without, on the desk and the phone."""

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.models import Member, Plan, Subscription
from tests.browser.conftest import PHONE
from tests.browser.pages import as_person, nothing_wrong
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


def plan_of(cast: Cast) -> str:
    live = Subscription.objects.get(organization=cast.labs, product="le_chat", ended_at=None)
    return str(live.plan_id)


def test_plan__moved__says_what_happens_and_is_done_once_confirmed(open_page: Callable[..., Page], cast: Cast) -> None:
    # axe adds styles of its own, so the policy is not enforced.
    page = as_person(open_page, cast, "operator", viewport=PHONE, bypass_csp=True)
    page.goto(reverse("admin:accounts_organization_change", args=[cast.labs.pk]))

    def ask() -> None:
        page.locator(".folds summary").first.click()
        page.get_by_role("radio", name="Le Chat Teams").check()
        page.locator("#plan-le_chat-reason").fill("Order 7")
        page.get_by_role("button", name="Move to this plan").first.click()
        expect(page.get_by_role("heading", name="Move Kvasir Labs to Le Chat Teams?")).to_be_visible()

    ask()
    expect(page.get_by_role("main")).to_contain_text("From now on this data is not used.")
    nothing_wrong(page)
    page.get_by_role("link", name="Cancel").click()
    assert plan_of(cast) == "le_chat_pro"
    ask()
    page.get_by_role("button", name="Move to this plan").press("Enter")
    expect(page.locator("#status")).to_contain_text("The plan is set.")
    assert plan_of(cast) == "le_chat_teams"


def test_member__removed_without_script__asked_on_a_page_then_gone(open_page: Callable[..., Page], cast: Cast) -> None:
    page = as_person(open_page, cast, "owner", java_script_enabled=False)
    page.goto(reverse("console:members", args=[cast.labs.pk]))
    row = page.get_by_role("row", name="Dag Sund")
    row.get_by_text("Change", exact=True).click()
    row.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="What happens")).to_be_visible()
    assert Member.objects.get(pk=cast.labs_member.pk).status == "active"
    page.get_by_role("button", name="Remove them").click()
    expect(page.get_by_role("status")).to_contain_text("Dag Sund has left.")
    assert Member.objects.get(pk=cast.labs_member.pk).status == "left"


def test_plan__made_and_edited__is_listed_with_its_history(open_page: Callable[..., Page], cast: Cast) -> None:
    page = as_person(open_page, cast, "operator")
    page.goto(reverse("admin:accounts_plan_changelist"))
    page.get_by_role("link", name="Add plan").click()
    page.get_by_role("textbox", name="Key").fill("le_chat_team_plus")
    page.get_by_role("textbox", name="Name").fill("Le Chat Team Plus")
    page.get_by_role("button", name="Make the plan").click()
    page.get_by_role("textbox", name="Description").fill("For teams that grow")
    page.get_by_role("textbox", name="Reason").fill("Words of sales")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="Words of sales")).to_contain_text("Odin Eriksen")
    page.get_by_role("link", name="Change the default").click()
    expect(page.locator("#default-plan")).to_have_value("le_chat_team_plus")
    assert Plan.objects.get(pk="le_chat_team_plus").description == "For teams that grow"
