"""A choice on a screen stores which words were on it: those of the page that the person saw, in its language."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Member
from consent.models import ConsentEvent
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE, Surface
from tests.support.cast import Cast
from tests.support.console import opt_in, signed_in

pytestmark = pytest.mark.django_db


def address(cast: Cast, name: str) -> str:
    if name == "data-sharing":
        return reverse("console:data-sharing", args=[Member.objects.get(user=cast.owner, organization=cast.labs).pk])
    return reverse(f"console:{name}", args=[] if name == "opt-out-everywhere" else [cast.labs.pk])


def shown_on(client: Client, page: str, action: str, language: str) -> str:
    """The field `shown` of the first form on the page that posts there."""
    text = client.get(page, headers={"accept-language": language}).content.decode()
    form = next(each for each in re.findall(r"<form.*?</form>", text, re.DOTALL) if f'action="{action}"' in each)
    found = re.search(r'name="shown" value="([^"]+)"', form)
    assert found, form
    return found[1]


def seen() -> tuple[str, str, str, str]:
    event = ConsentEvent.objects.latest("pk")
    return event.surface, event.wording, event.language, event.app_version


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize(
    ("name", "page", "surface"),
    [
        ("le-chat", "", LE_CHAT_CONSOLE),
        ("privacy", "", AI_STUDIO_CONSOLE),
        ("data-sharing", "/settings/data-controls/", LE_CHAT_MOBILE),
        ("opt-out-everywhere", "/settings/data-controls/", LE_CHAT_MOBILE),
    ],
)
def test_choice__on_a_page__stores_the_words_on_it(
    cast: Cast, name: str, page: str, surface: Surface, language: str
) -> None:
    client, url = signed_in(cast, "owner"), address(cast, name)
    shown = shown_on(client, page or url, url, language)
    # The answer is asked for in another language: what counts is what the person saw.
    other = {"fr": "en", "en": "fr"}[language]
    client.post(url, {"choice": "opted_out", "shown": shown}, headers={"accept-language": other})
    assert seen() == (surface.key, surface.wording, language, "")


def test_opt_in__confirmed__stores_the_words_of_the_question(cast: Cast) -> None:
    client, url = signed_in(cast, "owner"), address(cast, "le-chat")
    client.post(url, {"choice": "opted_out"})
    asked = client.post(url, {"choice": "opted_in"}, headers={"accept-language": "fr"}).content.decode()
    found = re.search(r'name="shown" value="([^"]+)"', asked)
    assert found
    client.post(url, opt_in(cast, shown=found[1]))
    assert seen() == ("le_chat_console", LE_CHAT_CONSOLE.wording, "fr", "")


def test_choice__on_the_operators_site__stores_the_words_on_its_page(cast: Cast) -> None:
    client = signed_in(cast, "operator")
    url = reverse("admin:accounts_organization_setting", args=[cast.labs.pk, "le_chat_console"])
    page = reverse("admin:accounts_organization_change", args=[cast.labs.pk])
    client.post(url, {"choice": "opted_out", "shown": shown_on(client, page, url, "fr")})
    assert seen() == ("le_chat_console", LE_CHAT_CONSOLE.wording, "fr", "")


@pytest.mark.parametrize(
    "said",
    [None, "", "x", "le_chat_console/9 en", f"{LE_CHAT_CONSOLE.wording} de", LE_CHAT_CONSOLE.wording, "ü" * 9000],
)
def test_opt_out__from_a_form_that_names_no_words__saved_as_not_stated(cast: Cast, said: Any) -> None:
    """Opting out always works (R3), from a page of before an update too."""
    client = signed_in(cast, "owner")
    sent = {"choice": "opted_out"} | ({} if said is None else {"shown": said})
    assert client.post(address(cast, "le-chat"), sent).status_code == 302
    assert seen() == ("le_chat_console", "not_stated", "", "")
