"""Wordings on the operators' site: what was chosen with which words, since when they are shown, what changed."""

import datetime as dt
import html
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.access import Actor
from consent import ledger
from consent.models import ConsentEvent, DailyWording, Wording
from consent.models.wordings import canonical, digest
from consent.presentation import wording_chart, wording_counts
from consent.presentation.wording_counts import Counts, is_jump
from consent.projections import runner
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE, NOT_STATED, Shown
from tests.support.cast import Cast, signed_in
from tests.support.choices import IN, OUT, choose, choose_own
from tests.support.ledger_guards import behind_the_guards

pytestmark = pytest.mark.django_db
LIST = "/admin/wordings/"
NOW = "le_chat_console/3"
DAY = dt.timedelta(days=1)


def today() -> dt.date:
    return timezone.now().date()


def read(client: Client, path: str = LIST, **headers: str) -> str:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200, answer.status_code
    text = answer.content.decode()
    main = text[text.index("<main") : text.index("</main>")]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", main)))


@pytest.fixture
def client(cast: Cast) -> Client:
    return signed_in(cast.operator.email)


def count(tag: str, *, ins: int, outs: int, ago: int = 0, language: str = "en", surface: str = "") -> None:
    key = surface or tag.partition("/")[0]
    how: dict[str, Any] = {"day": today() - ago * DAY, "surface": key, "wording": tag, "language": language}
    for choice, number in ((IN, ins), (OUT, outs)):
        DailyWording.objects.create(**how, choice=choice, choices=number)


def keep_next(**changed: str) -> None:
    """Words of the console after those of now, in English."""
    texts = Wording.objects.get(wording=NOW, language="en").texts | changed
    content = canonical("le_chat_console/4", "en", texts)
    Wording.objects.create(
        wording="le_chat_console/4", surface="le_chat_console", language="en", content=content,
        sha256=digest(content), valid_from=ledger.clock(),
    )  # fmt: skip


# --- The list ---------------------------------------------------------------------------------------------------------


def test_list__choices__counted_by_words_and_language(client: Client, cast: Cast) -> None:
    owner, member = (Actor.from_user(person, confirmed=True) for person in (cast.owner, cast.member))
    choose(cast, OUT, owner, shown=Shown(NOW, "fr"))
    choose_own(cast, OUT, member, shown=NOT_STATED)
    ledger.sequence()
    assert "has still to count" in read(client)
    runner.catch_up("wordings")
    text = read(client)
    assert "has still to count" not in text
    assert "Manage › Le Chat › Privacy Wording 3 Shown now" in text
    assert "0 French: 0 1 French: 1 0.0 %" in text and "English, French" in text
    assert "Data & Account Controls Not stated which words" in text and "Nobody" not in text


def test_list__nobody_has_chosen__says_so_for_each_surface(client: Client) -> None:
    text = read(client)
    assert "Wording 3" in text and "Wording 1" not in text and "Not stated which words" not in text
    # Each surface's current words began today, which its chart marks.
    assert text.count("Opted in: 0. Opted out: 0.") == 3


def test_list__no_words_at_all__says_how_they_come(client: Client) -> None:
    with behind_the_guards():
        Wording._base_manager.all().delete()
    assert "manage.py migrate keeps those of now" in read(client)


def test_list__words_that_nobody_kept__have_a_row_when_events_name_them(client: Client) -> None:
    count("le_chat_console/2", ins=2, outs=1, ago=3, language="")
    text = read(client)
    assert "Privacy Wording 2 Not known" in text and "text not kept" in text and "Not known; first choice on" in text
    assert "66.7 %" in text


def test_list__queries__as_many_with_a_thousand_totals(client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            rows = wording_counts.wordings()
            wording_chart.pictures(today(), rows)
        return len(caught)

    before = queries()
    for ago in range(100):
        for language in ("en", "fr"):
            count(NOW, ins=ago, outs=1, ago=ago, language=language)
            count("not_stated", ins=1, outs=1, ago=ago, language=language, surface="le_chat_mobile")
    assert queries() == before == 3


def test_list__of_the_ledger__is_never_read(client: Client) -> None:
    count(NOW, ins=1, outs=1)
    with CaptureQueriesContext(connection) as caught:
        read(client)
        read(client, f"{LIST}{NOW}/")
    assert not [each["sql"] for each in caught if ConsentEvent._meta.db_table in each["sql"]]


@pytest.mark.parametrize(
    ("before", "after", "jump"),
    [
        (Counts(20, 80), Counts(45, 55), True),
        (Counts(45, 55), Counts(20, 80), True),
        (Counts(20, 80), Counts(25, 75), False),
        (Counts(0, 29), Counts(30, 0), False),
        (Counts(0, 30), Counts(30, 0), True),
        (Counts(0, 100), Counts(0, 100), False),
        (Counts(100, 0), Counts(100, 0), False),
        (Counts(), Counts(100, 100), False),
        (Counts(200, 800), Counts(255, 745), False),
        (Counts(20_000, 80_000), Counts(21_000, 79_000), True),
    ],
)
def test_jump__shares__by_more_than_chance(before: Counts, after: Counts, jump: bool) -> None:
    assert is_jump(before, after) is jump


def test_list__share_jumps__is_marked_beside_the_share_before(client: Client) -> None:
    count("le_chat_console/2", ins=20, outs=80, ago=5)
    count(NOW, ins=30, outs=70)
    assert "Before: 20.0 %" in read(client) and "Before: 20.0 % Jump" not in read(client)
    count(NOW, ins=40, outs=0, ago=1)
    assert "Before: 20.0 % Jump" in read(client)
    assert "numbers can't prove" in read(client, f"{LIST}{NOW}/")


# --- The chart --------------------------------------------------------------------------------------------------------


def test_chart__bars_marks_and_table__say_the_same(client: Client) -> None:
    keep_next(label="Other words")
    count(NOW, ins=3, outs=8, ago=10)
    count("le_chat_console/4", ins=6, outs=4)
    page = client.get(LIST).content.decode()
    picture = wording_chart.pictures(today(), wording_counts.wordings())[0]
    assert picture.surface == LE_CHAT_CONSOLE.key and picture.counts == Counts(9, 12) and picture.top == 10
    heights = {day.offset: (day.up, day.down) for day in picture.days if day.counts.total}
    assert heights == {79: (15.0, 40.0), 89: (30.0, 20.0)}
    assert 'x="791" y="35.0" width="8" height="15.0"' in page and 'd="M890 0V100"' in page
    told = [(day.day, day.counts, [row.tag for row in day.began]) for day in picture.told]
    assert told == [
        (today(), Counts(6, 4), ["le_chat_console/4", NOW]),
        (today() - 10 * DAY, Counts(3, 8), []),
    ]


def test_chart__of_a_wording_of_long_ago__is_around_its_beginning(client: Client) -> None:
    count("le_chat_mobile/1", ins=1, outs=9, ago=500, language="")
    count("le_chat_mobile/2", ins=9, outs=1, ago=300, language="")
    rows = wording_counts.wordings(LE_CHAT_MOBILE.key)
    row = wording_counts.wording_of(rows, LE_CHAT_MOBILE.key, "2")
    assert row is not None
    picture = wording_chart.around(row, today(), rows)
    assert picture is not None and picture.counts == Counts(9, 1)
    assert [(day.offset, [each.tag for each in day.began]) for day in picture.marks] == [(45, ["le_chat_mobile/2"])]


# --- One wording ------------------------------------------------------------------------------------------------------


def test_page__words_in_both_languages__with_digests_and_counts(client: Client) -> None:
    count(NOW, ins=1, outs=3, language="fr")
    text = read(client, f"{LIST}{NOW}/")
    for words in (
        str(LE_CHAT_CONSOLE.label),
        "Autoriser l’utilisation de vos interactions",
        *Wording.objects.filter(wording=NOW).values_list("sha256", flat=True),
        "Shown now",
        "25.0 %",
        "No words of this surface before these are known.",
    ):
        assert words in text


def test_page__words_before_not_kept__says_that_nobody_can_compare(client: Client) -> None:
    count("le_chat_console/2", ins=1, outs=3, language="")
    assert "The text of the words before (Wording 2) was not kept" in read(client, f"{LIST}{NOW}/")


def test_page__words_after_others__says_what_changed_and_until_when(client: Client) -> None:
    before = str(LE_CHAT_CONSOLE.label)
    keep_next(label="Let us learn from what you write")
    text = read(client, f"{LIST}le_chat_console/4/")
    assert "The words before Part Before After Control English" in text
    assert f"{before} Let us learn from what you write" in text
    [change] = wording_counts.changes_of(wording_counts.wordings(LE_CHAT_CONSOLE.key)[0])
    assert (change.language, change.name) == ("en", "Control")
    assert "Until Not known" not in read(client, f"{LIST}{NOW}/")
    assert "Wording 4" in read(client, f"{LIST}{NOW}/") and "Wording 4" in read(client)


def test_page__text_not_kept__has_its_counts(client: Client) -> None:
    text = read(client, f"{LIST}le_chat_console/1/")
    assert "Text not kept" in text and "only their tag is known" in text and "Nobody has chosen with these" in text


@pytest.mark.parametrize("path", ["le_chat_console/99/", "x/1/", "not_stated/1/", "le_chat_mobile/x/"])
def test_page__words_that_never_were__404(client: Client, path: str) -> None:
    count("not_stated", ins=1, outs=1, surface="le_chat_mobile")
    assert client.get(f"{LIST}{path}").status_code == 404


def test_pages__french__are_french(client: Client) -> None:
    count(NOW, ins=1, outs=3, language="fr")
    how = {"accept-language": "fr"}
    assert "Part d’accords" in read(client, **how) and "Les mots" in read(client, f"{LIST}{NOW}/", **how)


@pytest.mark.parametrize("path", [LIST, f"{LIST}{NOW}/"])
@pytest.mark.parametrize("role", ["owner", "admin", "auditor", "member", "outsider"])
def test_pages__for_nobody_but_operators(cast: Cast, path: str, role: str) -> None:
    client = signed_in(getattr(cast, role).email)
    assert client.get(path).status_code == client.post(path).status_code == 403
    assert Client().get(path).status_code == 302


@pytest.mark.parametrize("path", [LIST, f"{LIST}{NOW}/"])
def test_pages__posted_to__405(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


# --- The ledger -------------------------------------------------------------------------------------------------------


def test_ledger__event_that_names_words__leads_to_them(client: Client, cast: Cast) -> None:
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True), shown=Shown(NOW, "fr"))
    event = ConsentEvent.objects.latest("pk")
    listed = client.get("/admin/consent/consentevent/").content.decode()
    assert f'<a href="/admin/wordings/{NOW}/">{NOW} · French</a>' in listed
    page = client.get(f"/admin/consent/consentevent/{event.pk}/change/").content.decode()
    assert f'<a href="/admin/wordings/{NOW}/">Choices with these words</a>' in page
    assert f'<a href="/words/{NOW}/?language=fr">' in page
