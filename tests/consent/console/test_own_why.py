"""Data & Account Controls › Why?: of a day, whether what a person said then may be used now, and by what."""

import datetime as dt
import html
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.access import Actor
from accounts.models import Member
from consent import ledger
from consent.models import ConsentEvent
from consent.surfaces import LE_CHAT_MOBILE, Shown
from tests.support.cast import Cast
from tests.support.choices import IN, OUT, choose, choose_own
from tests.support.console import signed_in
from tests.support.factories import OrganizationFactory
from tests.support.training import register

pytestmark = pytest.mark.django_db
TODAY = dt.date.today


def address(member: Member) -> str:
    return reverse("console:own-why", args=[member.pk])


def read(client: Client, member: Member, day: Any = None, **headers: str) -> str:
    answer = client.get(address(member), {} if day is None else {"day": str(day)}, headers=headers)
    assert answer.status_code == 200, answer.status_code
    text = answer.content.decode()
    main = text[text.index("<main") : text.index("</main>")]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", main)))


def person(cast: Cast) -> Actor:
    return Actor.from_user(cast.member, confirmed=True)


def today() -> dt.date:
    return timezone.localdate()


def test_why__nobody_chose__may_be_used_and_says_by_what(cast: Cast) -> None:
    text = read(signed_in(cast, "member"), cast.labs_member, today())
    assert "May be used for training now" in text
    assert f"{cast.labs.name} allows it, and you have not opted out since it came in." in text
    assert "You have not chosen" in text and "Default of the plan" in text
    assert "You have not opted out here" in text


def test_why__opted_out__not_used_by_which_words_and_event(cast: Cast) -> None:
    choose_own(cast, OUT, person(cast), shown=Shown(LE_CHAT_MOBILE.wording, "fr"))
    event = ConsentEvent.objects.latest("pk")
    client = signed_in(cast, "member")
    text = read(client, cast.labs_member, today())
    assert "Is not used for training" in text and "You have opted out." in text
    assert f"By event number {event.pk}" in text.replace("  ", " ")
    assert f"Words seen: {LE_CHAT_MOBILE.wording} · French" in text
    assert "No registered training run rests on data" in text
    page = client.get(address(cast.labs_member), {"day": str(today())}).content.decode()
    assert f"/words/{LE_CHAT_MOBILE.wording}/?language=fr" in page


def test_why__opted_in_again__what_came_before_is_not_used(cast: Cast) -> None:
    choose_own(cast, OUT, person(cast))
    choose_own(cast, IN, person(cast))
    text = read(signed_in(cast, "member"), cast.labs_member, today())
    assert "As the day began" in text and "As the day ended" in text
    assert text.index("Is not used for training") < text.index("May be used for training now")


def test_why__before_the_person_joined__said_so(cast: Cast) -> None:
    text = read(signed_in(cast, "member"), cast.labs_member, today() - dt.timedelta(400))
    assert "Is not used for training" in text and "It came in before use was allowed" in text


@pytest.mark.parametrize("day", ["x", "", "2026-02-30", "9999-12-31", "0000-01-01", "2026-11-27T10:00", "-1"])
def test_why__a_day_that_is_none_or_to_come__400_and_says_so(cast: Cast, day: str) -> None:
    client = signed_in(cast, "member")
    answer = client.get(address(cast.labs_member), {"day": day})
    assert answer.status_code == 400 and b"errorlist" in answer.content


@pytest.mark.parametrize("role", ["owner", "admin", "auditor", "outsider", "operator"])
def test_why__of_somebody_else__404_for_everybody(cast: Cast, role: str) -> None:
    client = signed_in(cast, role)
    for ident in (cast.labs_member.pk, "x", "0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f"):
        assert client.get(reverse("console:own-why", args=[ident]), {"day": str(today())}).status_code == 404


def test_why__signed_out__asked_to_sign_in(cast: Cast) -> None:
    assert Client().get(address(cast.labs_member)).status_code == 302


def test_why__plain_member__is_not_told_the_number_of_the_organizations_event(cast: Cast) -> None:
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True), shown=Shown("le_chat_console/3", "en"))
    number = str(ConsentEvent.objects.latest("pk").pk)
    told = read(signed_in(cast, "member"), cast.labs_member, today())
    assert "has opted out." in told and f"By event number {number}" not in told and "le_chat_console/3" not in told
    owner = Member.objects.get(user=cast.owner, organization=cast.labs)
    assert f"By event number {number}" in read(signed_in(cast, "owner"), owner, today())


def test_why__another_member_chose__not_a_letter_differs(cast: Cast) -> None:
    client, owner = signed_in(cast, "owner"), Member.objects.get(user=cast.owner, organization=cast.labs)
    before = read(client, owner, today())
    choose_own(cast, OUT, person(cast))
    assert read(client, owner, today()) == before


def test_why__trained_before_an_opt_out__the_removal_stands_there(cast: Cast) -> None:
    ledger.sequence()
    register(actor=cast.provider)
    choose_own(cast, OUT, person(cast))
    ledger.sequence()
    text = read(signed_in(cast, "member"), cast.labs_member)
    assert "1 training run may hold earlier data; it has been removed from 0." in text


def test_why__one_person__reads_you_and_both_products(cast: Cast) -> None:
    organization = OrganizationFactory(personal=True, plan="le_chat_free", actor=cast.provider)
    solo = Member.objects.select_related("user").get(organization=organization)
    client = Client()
    client.force_login(solo.user)
    text = read(client, solo, today())
    assert "everyone" not in text and "Your account" in text
    assert "Le Chat:" in text.replace(" :", ":") and "AI Studio and API" in text


def test_why__french__is_french(cast: Cast) -> None:
    choose_own(cast, OUT, person(cast))
    client = signed_in(cast, "member")
    text = read(client, cast.labs_member, today(), **{"accept-language": "fr"})
    assert "Vous avez refusé." in text and "N’est pas utilisé pour l’entraînement" in text


def test_data_controls__leads_to_it(cast: Cast) -> None:
    page = signed_in(cast, "member").get("/settings/data-controls/").content.decode()
    assert f'href="{address(cast.labs_member)}"' in page


# --- The words --------------------------------------------------------------------------------------------------------


def test_words__kept__shown_in_the_language_asked_for(cast: Cast) -> None:
    client = signed_in(cast, "member")
    page = client.get("/words/le_chat_mobile/3/?language=fr").content.decode()
    assert "Activer le partage des données" in html.unescape(page) and 'lang="fr"' in page
    assert "Enable data sharing" in client.get("/words/le_chat_mobile/3/").content.decode()


def test_words__of_before_they_were_kept__said_to_be_lost(cast: Cast) -> None:
    page = signed_in(cast, "member").get("/words/le_chat_mobile/2/")
    assert page.status_code == 200 and "only their tag is known" in page.content.decode()


@pytest.mark.parametrize("path", ["le_chat_mobile/99/", "x/1/", "le_chat_mobile/3/?language=de", "not_stated/1/"])
def test_words__that_never_were__404(cast: Cast, path: str) -> None:
    assert signed_in(cast, "member").get(f"/words/{path}").status_code == 404


def test_history_and_statement__name_the_words_and_the_statement_holds_them(cast: Cast) -> None:
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True), shown=Shown("le_chat_console/3", "fr"))
    client = signed_in(cast, "owner")
    history = client.get(reverse("console:history", args=[cast.labs.pk])).content.decode()
    assert '<a href="/words/le_chat_console/3/?language=fr">le_chat_console/3 · French</a>' in history
    statement = client.get(reverse("console:statement", args=[cast.labs.pk])).content.decode()
    assert "Words seen: le_chat_console/3 · French" in statement
    assert "Autoriser l’utilisation de vos interactions" in html.unescape(statement)
