"""A personal account and an expired session in a real browser: one choice on every page, and no choice lost."""

from collections.abc import Callable

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from accounts.models import Member, Organization, User
from consent.models import PrivacySetting
from consent.services import organizations, plans
from consent.services.organizations import OrganizationDraft
from tests.browser.conftest import PHONE
from tests.browser.pages import sign_in
from tests.support.cast import Cast
from tests.support.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)
UNSAVED = "You were signed out. Your change is not saved yet: it will be when you sign in."


@pytest.fixture
def personal(cast: Cast) -> Organization:
    frida = UserFactory(email="frida@mail.example", name="Frida Ek")
    return organizations.create_organization(
        draft=OrganizationDraft(
            name="Frida Ek",
            kind="personal",
            owner=(frida.email, frida.name),
            subscriptions=[plans.get_plan("le_chat_pro"), plans.get_plan("ai_studio_experiment")],
        ),
        actor=cast.provider,
        source="admin",
    )


def sign_in_again(page: Page, email: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_personal_account__turned_off_on_the_phone__every_page_says_so(
    open_page: Callable[..., Page], personal: Organization
) -> None:
    phone = sign_in(open_page(viewport=PHONE), "frida@mail.example")
    phone.goto("/settings/data-controls/")
    phone.get_by_label("Enable data sharing").click()
    expect(phone.locator("#status")).to_contain_text("Saved. From now on")
    text = "Not used for training. You turned data sharing off in Data & Account Controls on"
    expect(phone.locator(".why")).to_contain_text(text)
    for page in ("", "le-chat/"):
        phone.goto(f"/o/{personal.pk}/{page}")
        expect(phone.locator("main")).to_contain_text(text)
    phone.goto("/settings/data-controls/")
    phone.get_by_role("button", name="Opt out everywhere").click()
    expect(phone.locator("#status")).to_contain_text("From now on none of your data is used for training.")
    assert PrivacySetting.objects.get(organization=personal, product="ai_studio").choice == "opted_out"


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_opt_out__session_has_ended__saved_after_signing_in(
    open_page: Callable[..., Page], cast: Cast, script: bool
) -> None:
    page = sign_in(open_page(java_script_enabled=script), "ada@kvasir.example")
    page.goto(f"/o/{cast.labs.pk}/le-chat/")
    Session.objects.all().delete()
    if script:
        page.get_by_role("switch").click()
    else:
        page.get_by_role("button", name="Stop using this data for training").click()
    expect(page.get_by_text(UNSAVED)).to_be_visible()
    assert PrivacySetting.objects.get(organization=cast.labs, product="le_chat").choice == "default"
    sign_in_again(page, "ada@kvasir.example")
    expect(page.locator("#status")).to_contain_text("Saved. From now on")
    expect(page.locator(".why")).to_contain_text("Not used for training. You turned it off in the Admin Console on")
    assert PrivacySetting.objects.get(organization=cast.labs, product="le_chat").choice == "opted_out"


def test_opt_out__session_has_ended_on_the_phone__saved_after_signing_in(
    open_page: Callable[..., Page], cast: Cast
) -> None:
    page = sign_in(open_page(viewport=PHONE), "dag@kvasir.example")
    page.goto("/settings/data-controls/")
    Session.objects.all().delete()
    page.get_by_label("Enable data sharing").click()
    expect(page.get_by_text(UNSAVED)).to_be_visible()
    sign_in_again(page, "dag@kvasir.example")
    expect(page.locator("#status")).to_contain_text("Saved. From now on")
    member = Member.objects.get(user=User.objects.get(email="dag@kvasir.example"))
    assert PrivacySetting.objects.get(member=member).choice == "opted_out"
