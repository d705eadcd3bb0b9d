"""The operators' site in a browser: switches, the opt-in's confirmation, no inline scripts or styles."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from consent.models import ConsentEvent, PrivacySetting
from consent.services import webhooks
from consent.worker import work_once
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def open_as_operator(open_page: Callable[..., Page], cast: Cast, live_server: object) -> Callable[..., Page]:
    def open_one(**options: object) -> Page:
        client = Client()
        client.force_login(cast.operator)
        page = open_page(**options)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": str(live_server)}])
        return page

    return open_one


def organization_page(cast: Cast) -> str:
    return reverse("admin:accounts_organization_change", args=[cast.labs.pk])


@pytest.mark.smoke
def test_toggle__switched_off_and_on__is_saved_each_time(open_as_operator: Callable[..., Page], cast: Cast) -> None:
    page = open_as_operator()
    page.goto(organization_page(cast))
    switch = page.get_by_role("switch", name="Allow your interactions to be used to train our models")
    expect(switch).to_be_checked()
    switch.click()
    expect(page.locator("#status")).to_contain_text("Saved. From now on this data is not used for training.")
    expect(switch).not_to_be_checked()
    assert PrivacySetting.objects.get(organization=cast.labs, product="le_chat", member=None).choice == "opted_out"

    last = ConsentEvent.objects.latest("pk").pk
    switch.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Allow training on this data?")
    page.keyboard.press("Escape")
    expect(switch).not_to_be_checked()
    switch.click()
    dialog.get_by_label("Reason").fill("Letter of 3 May")
    dialog.get_by_role("button", name="Allow training").click()
    expect(switch).to_be_checked()
    (event,) = ConsentEvent.objects.filter(pk__gt=last)
    assert (event.kind, event.source, event.by_operator) == ("choice.opted_in", "admin", True)


def test_toggle__without_script__asks_on_a_page(open_as_operator: Callable[..., Page], cast: Cast) -> None:
    page = open_as_operator(java_script_enabled=False)
    page.goto(organization_page(cast))
    page.get_by_role("button", name="Allow training …").click()
    page.get_by_label("Reason").fill("Letter of 3 May")
    page.get_by_role("button", name="Allow training").click()
    expect(page.locator("#status")).to_contain_text("Saved.")
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.product, event.reason) == ("choice.opted_in", "ai_studio", "Letter of 3 May")


def test_action__chosen_in_the_list__opts_out_the_selected(open_as_operator: Callable[..., Page], cast: Cast) -> None:
    page = open_as_operator()
    page.goto(reverse("admin:accounts_organization_changelist"))
    page.get_by_role("row", name="Brage Skaldskap").get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option("Opt out of Le Chat training")
    page.get_by_role("button", name="Go").click()
    page.get_by_role("button", name="Change 1 organization").click()
    expect(page.get_by_role("heading", name="Queued")).to_be_visible()
    while work_once():
        pass
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert ConsentEvent.objects.latest("pk").organization_id == cast.brage.pk


def pages(cast: Cast) -> list[str]:
    hook = webhooks.create_endpoint(
        source="admin", organization=None, url="https://hooks.example.com/", actor=cast.provider
    )
    event = ConsentEvent.objects.latest("pk").pk
    models = (
        *("accounts_user", "accounts_organization", "accounts_member", "accounts_plan", "accounts_subscription"),
        *("accounts_apikey", "consent_privacysetting", "consent_consentevent", "consent_lock"),
    )
    return [
        reverse("admin:index"),
        reverse("admin:password_change"),
        f"{reverse('admin:why')}?organization={cast.labs.pk}&product=ai_studio",
        f"{reverse('admin:accounts_organization_changelist')}?q=nothing+like+it",
        *(reverse(f"admin:{model}_changelist") for model in models),
        *(reverse(f"admin:{model}_add") for model in ("accounts_user", "accounts_organization", "accounts_apikey")),
        reverse("admin:consent_webhookendpoint_changelist"),
        reverse("admin:consent_webhookendpoint_add"),
        reverse("admin:consent_webhookendpoint_change", args=[hook.pk]),
        organization_page(cast),
        *(reverse(f"admin:accounts_organization_{name}", args=[cast.labs.pk]) for name in ("members", "history")),
        reverse("admin:accounts_member_change", args=[cast.labs_member.pk]),
        *(reverse(f"admin:accounts_user_{name}", args=[cast.owner.pk]) for name in ("change", "history")),
        reverse("admin:consent_consentevent_change", args=[event]),
    ]


def test_pages__every_one__keep_to_the_policy(open_as_operator: Callable[..., Page], cast: Cast) -> None:
    page = open_as_operator()
    for address in pages(cast):
        page.goto(address, wait_until="networkidle")
