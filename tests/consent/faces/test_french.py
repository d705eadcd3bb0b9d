"""Every page, and every mail that its forms send, for a French reader: nothing English, and set as French is."""

import dataclasses
from collections import defaultdict
from http.cookies import SimpleCookie

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from accounts.models import ApiKey, Organization, OutgoingMessage, Plan, User
from tests.support.cast import Cast
from tests.support.every_url import BODY, FORM, ROUTES, make_busy, paths
from tests.support.factories import OrganizationFactory
from tests.support.french import complaints, texts_of, words
from tests.support.recordings import Recorded

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

# Of a browser, a city, encodings, and the other language; what is posted; this host; a role, as the ledger stores it.
NAMES = {"firefox", "linux", "paris", "mac", "roman", "english", "English", "operator", "x", "testserver", "member"}
AGENT = "Mozilla/5.0 (Linux) Firefox/140.0"


@pytest.fixture
def busy(db: None, recorded: Recorded[Cast]) -> Cast:
    return recorded(make_busy).load()


@pytest.mark.parametrize("who", ["operator", "owner", "member", "alone", "anonymous"])
def test_pages__of_a_french_reader__are_french(who: str, busy: Cast) -> None:
    alone = OrganizationFactory(personal=True, name="Siv Alm", plan="le_chat_free", actor=busy.provider)
    User.objects.update(language="fr", time_zone="Europe/Paris")
    member = alone.members.get()
    cast = dataclasses.replace(busy, labs=alone, labs_member=member, owner=member.user) if who == "alone" else busy
    client = Client(headers={"accept-language": "fr", "user-agent": AGENT})
    if who != "anonymous":
        client.force_login(cast.owner if who == "alone" else getattr(cast, who))
    data, problems, seen = names(), defaultdict[str, set[str]](set), 0
    for path in every_path(cast, operators=who == "operator"):
        for method in ("GET", "POST"):
            for text in shown(client, method, path):
                seen += 1
                for problem in complaints(text, data):
                    problems[problem].add(f"{method} {path}")
    assert [f"{problem} at {sorted(where)[:3]}" for problem, where in problems.items()] == []
    assert seen > (50 if who == "anonymous" else 500)


def names() -> set[str]:
    """The words of what people have called things."""
    columns = [User.objects.values_list("name", flat=True)]
    columns += [table._base_manager.values_list("name", flat=True) for table in (Organization, Plan, ApiKey)]
    return NAMES | {word for column in columns for name in column for word in words(name)}


def every_path(cast: Cast, *, operators: bool) -> list[str]:
    """Those of people: programs have English answers."""
    routes = [route for route in ROUTES if not route.startswith(("api/", "access/"))]
    return [path for route in routes if operators or not route.startswith("admin/") for path in paths(route, cast)]


def shown(client: Client, method: str, path: str) -> set[str]:
    """The texts of the answer and of the mails it sends; nothing is changed by it."""
    cookies = client.cookies.output(header="", sep=";")
    last = OutgoingMessage.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    with transaction.atomic():
        answer = client.generic(method, path, BODY if method == "POST" else "", FORM)
        mails = OutgoingMessage.objects.filter(pk__gt=last)
        found = {text for mail in mails for text in (mail.subject, *mail.body.splitlines()) if text}
        transaction.set_rollback(True)
    client.cookies = SimpleCookie(cookies)
    return found | (texts_of(answer.content.decode()) if is_page(answer) else set())


def is_page(answer: HttpResponse) -> bool:
    return answer.get("Content-Type", "").startswith("text/html") and not answer.streaming
