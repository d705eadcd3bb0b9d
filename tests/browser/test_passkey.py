"""Passkeys with Chromium's virtual authenticator: added on the account's page, and used to sign in."""

from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Page, expect

from tests.support.cast import Cast
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)


def with_authenticator(page: Page) -> None:
    chromium = page.context.new_cdp_session(page)
    chromium.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
    }
    chromium.send("WebAuthn.addVirtualAuthenticator", {"options": options})


@pytest.mark.smoke
def test_passkey__added_then_signed_in_with(cast: Cast, open_page: Callable[..., Page]) -> None:
    page = open_page()
    with_authenticator(page)
    page.goto("/sign-in/")
    page.get_by_label("E-mail").fill(cast.owner.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.goto("/account/second-factor/webauthn/add/")
    page.get_by_label("Password").fill(PASSWORD)  # asked once more
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name of the passkey").fill("Phone")
    expect(page.get_by_label("Sign in with this passkey alone")).to_be_checked()
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Recovery codes")
    codes = page.get_by_label("Codes that are not used yet")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == codes.input_value()
    assert Authenticator.objects.get(user=cast.owner, type="webauthn").wrap().is_passwordless
    page.get_by_text("Your account: Ada").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("navigation")).to_be_visible()
    page.goto("/settings/data-controls/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Data & Account Controls")


def test_second_factor__required__the_page_leads_through(
    cast: Cast, open_page: Callable[..., Page], settings: object
) -> None:
    settings.REQUIRE_MFA = True  # type: ignore[attr-defined]
    page = open_page()
    page.goto("/sign-in/")
    page.get_by_label("E-mail").fill(cast.operator.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("signing in needs a second factor")).to_be_visible()
    page.goto("/admin/")
    expect(page).to_have_url("/account/second-factor/?required=1")
    page.get_by_role("link", name="Activate").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("img", name="A picture of the secret")).to_be_visible()
