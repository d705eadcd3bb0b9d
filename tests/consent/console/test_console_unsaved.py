"""An opt-out sent after the session has ended: reported as unsaved, and saved once the same person signs in."""

import re
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from accounts.models import Member, User
from consent.models import ConsentEvent, PrivacySetting
from tests.support.cast import Cast
from tests.support.factories import PASSWORD
from tests.support.ledger_guards import changes_nothing

UNSAVED = "You were signed out. Your change is not saved yet: it will be when you sign in."
NOTHING = "You were signed out. Nothing was saved: sign in and try again."


PLACES: dict[str, Any] = {
    "le-chat": lambda cast: (reverse("console:le-chat", args=[cast.labs.pk]),) * 2,
    "privacy": lambda cast: (reverse("console:privacy", args=[cast.labs.pk]),) * 2,
    "data-sharing": lambda cast: (
        reverse("console:data-controls"),
        reverse("console:data-sharing", args=[Member.objects.get(user=cast.owner).pk]),
    ),
    "everywhere": lambda cast: (reverse("console:data-controls"), reverse("console:opt-out-everywhere")),
}


class Browser:
    """A person at a page, whose session then ends; what they press comes with what was on the page."""

    def __init__(self, person: User, page: str, *, htmx: bool = False) -> None:
        self.client = Client(enforce_csrf_checks=True)
        self.client.force_login(person)
        text = self.client.get(page).content.decode()
        self.page, self.htmx = page, htmx
        self.hidden = {
            name: found[1]
            for name in ("csrfmiddlewaretoken", "person", "shown")
            if (found := re.search(rf'name="{name}" value="([^"]+)"', text))
        }
        Session.objects.all().delete()

    def press(self, url: str, **sent: str) -> Any:
        headers = {"referer": f"http://testserver{self.page}"}
        if self.htmx:
            headers |= {"hx-request": "true", "hx-current-url": f"http://testserver{self.page}"}
        return self.client.post(url, self.hidden | sent, headers=headers)

    def sign_in(self, answer: Any, person: User) -> str:
        """As on the page that the answer leads to; returns what stands on the page after it."""
        login = answer["HX-Redirect"] if self.htmx else answer["Location"]
        page = self.client.get(login).content.decode()
        self.said = page
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        following = re.search(r'name="next" value="([^"]+)"', page)
        assert token and following
        sent = {"login": person.email, "password": PASSWORD, "csrfmiddlewaretoken": token[1], "next": following[1]}
        done = self.client.post(reverse("account_login"), sent, follow=True)
        assert done.status_code == 200
        return done.content.decode()


def events_since(last: int) -> list[tuple[str, str]]:
    return list(ConsentEvent.objects.filter(pk__gt=last, kind__startswith="choice.").values_list("kind", "actor_id"))


@pytest.mark.parametrize("htmx", [False, True], ids=["plain form", "htmx"])
@pytest.mark.parametrize("place", PLACES)
def test_opt_out__session_has_ended__saved_after_signing_in(cast: Cast, place: str, htmx: bool) -> None:
    page, url = PLACES[place](cast)
    browser = Browser(cast.owner, page, htmx=htmx)
    last = ConsentEvent.objects.latest("pk").pk
    with changes_nothing():
        answer = browser.press(url, choice="opted_out")
    assert answer.status_code == (200 if htmx else 302)
    after = browser.sign_in(answer, cast.owner)
    assert UNSAVED in browser.said
    assert "Saved. From now on" in after
    assert events_since(last) == [("choice.opted_out", str(cast.owner.pk))]
    assert browser.client.get(page).status_code == 200
    assert len(events_since(last)) == 1  # once
    event = ConsentEvent.objects.latest("pk")
    assert (event.wording, event.language) == tuple(browser.hidden["shown"].split()), "the words seen before, not after"


def test_opt_out__another_person_signs_in__not_done_for_them_nor_later(cast: Cast) -> None:
    page, url = PLACES["le-chat"](cast)
    browser = Browser(cast.owner, page)
    last = ConsentEvent.objects.latest("pk").pk
    answer = browser.press(url, choice="opted_out")
    after = browser.sign_in(answer, cast.admin)
    assert "Saved." not in after
    browser.client.force_login(cast.owner)
    browser.client.get(page)
    assert events_since(last) == []


def test_opt_out__signed_in_only_much_later__said_and_not_done(cast: Cast) -> None:
    """They may have opted in meanwhile, on another device: an old press does not undo it."""
    page, url = PLACES["le-chat"](cast)
    browser = Browser(cast.owner, page)
    last = ConsentEvent.objects.latest("pk").pk
    answer = browser.press(url, choice="opted_out")
    session = browser.client.session
    session["unsaved_opt_out"] = {**session["unsaved_opt_out"], "at": session["unsaved_opt_out"]["at"] - 3601}
    session.save()
    after = browser.sign_in(answer, cast.owner)
    assert "Nothing was saved" in after and "Saved. From now on" not in after
    browser.client.get(page)
    assert events_since(last) == []


@pytest.mark.parametrize("place", ["le-chat", "data-sharing"])
def test_opt_in__session_has_ended__asked_anew(cast: Cast, place: str) -> None:
    page, url = PLACES[place](cast)
    PrivacySetting.objects.filter(organization=cast.labs)
    browser = Browser(cast.owner, page)
    last = ConsentEvent.objects.latest("pk").pk
    answer = browser.press(url, choice="opted_in", confirmed="yes", version="1", reason="why")
    after = browser.sign_in(answer, cast.owner)
    assert NOTHING in browser.said and "Saved." not in after
    assert events_since(last) == []


@pytest.mark.parametrize("person", ["", "forged", None])
def test_opt_out__from_a_form_that_names_nobody__not_kept(cast: Cast, person: str | None) -> None:
    page, url = PLACES["le-chat"](cast)
    browser = Browser(cast.owner, page)
    browser.hidden["person"] = f"{cast.owner.pk}:forged" if person is None else person
    last = ConsentEvent.objects.latest("pk").pk
    after = browser.sign_in(browser.press(url, choice="opted_out"), cast.owner)
    assert NOTHING in browser.said and "Saved." not in after
    assert events_since(last) == []


def test_opt_out__sent_by_a_foreign_page__refused_and_not_kept(cast: Cast) -> None:
    page, url = PLACES["le-chat"](cast)
    browser = Browser(cast.owner, page)
    browser.hidden.pop("csrfmiddlewaretoken")
    with changes_nothing():
        assert browser.press(url, choice="opted_out").status_code == 403
    assert not Session.objects.exists()


def test_opt_out__by_whom_the_place_is_no_longer__said_and_nothing_saved(cast: Cast) -> None:
    page, url = PLACES["le-chat"](cast)
    browser = Browser(cast.admin, page)
    answer = browser.press(url, choice="opted_out")
    Member.objects.filter(user=cast.admin).update(role="member")
    last = ConsentEvent.objects.latest("pk").pk
    login = browser.client.get(answer["Location"]).content.decode()
    assert UNSAVED in login
    browser.client.force_login(cast.admin)
    after = browser.client.get(reverse("console:data-controls")).content.decode()
    assert "Your change could not be saved" in after
    assert events_since(last) == []
