"""Daily totals of choices by the words that people saw."""

import datetime as dt
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from accounts.access import Actor
from accounts.models import Member
from consent import ledger
from consent.models import ConsentEvent, DailyWording, FollowerCursor
from consent.projections import runner
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE, NOT_STATED, Shown
from tests.support.cast import Cast
from tests.support.choices import IN, OUT, choose, choose_own
from tests.support.commands import run
from tests.support.factories import OrganizationFactory

pytestmark = pytest.mark.django_db
EN, FR = (Shown(LE_CHAT_CONSOLE.wording, language) for language in ("en", "fr"))


def catch_up() -> None:
    ledger.sequence()
    runner.catch_up("wordings")


def totals() -> dict[tuple[str, str, str, str], int]:
    rows = DailyWording.objects.values_list("surface", "wording", "language", "choice", "choices")
    return {row[:4]: row[4] for row in rows}


def owner(cast: Cast) -> Actor:
    return Actor.from_user(cast.owner, confirmed=True)


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_totals__any_batch__by_wording_language_and_choice(monkeypatch: Any, batch: int, cast: Cast) -> None:
    monkeypatch.setattr(runner, "BATCH", batch)
    choose(cast, OUT, owner(cast), shown=EN)
    choose(cast, IN, owner(cast), shown=FR)
    choose(cast, OUT, owner(cast), shown=FR)
    choose_own(cast, OUT, Actor.from_user(cast.member, confirmed=True), shown=NOT_STATED)
    catch_up()
    key, tag = LE_CHAT_CONSOLE.key, LE_CHAT_CONSOLE.wording
    assert totals() == {
        (key, tag, "en", OUT): 1,
        (key, tag, "fr", IN): 1,
        (key, tag, "fr", OUT): 1,
        (LE_CHAT_MOBILE.key, "not_stated", "", OUT): 1,
    }
    assert set(DailyWording.objects.values_list("day", flat=True)) == {timezone.now().astimezone(dt.UTC).date()}


def test_totals__without_words__not_counted(cast: Cast) -> None:
    choose(cast, OUT, cast.provider, source="admin")
    catch_up()
    assert ConsentEvent.objects.filter(kind="choice.opted_out").exists() and totals() == {}


@pytest.mark.parametrize("batch", [1, 1000])
@pytest.mark.parametrize("surface", [LE_CHAT_MOBILE, LE_CHAT_CONSOLE])
def test_totals__one_person_for_both_layers__one_choice(monkeypatch: Any, batch: int, surface: Any, cast: Cast) -> None:
    monkeypatch.setattr(runner, "BATCH", batch)
    organization = OrganizationFactory(personal=True, plan="le_chat_free", actor=cast.provider)
    solo = Member.objects.select_related("user").get(organization=organization)
    on_phone = surface is LE_CHAT_MOBILE
    where = {"member": solo, "source": "data_controls"} if on_phone else {"source": "console"}
    person, before = Actor.from_user(solo.user, confirmed=True), ConsentEvent.objects.count()
    shown = Shown(surface.wording, "en")
    choose(cast, OUT, person, organization=organization, surface=surface, shown=shown, **where)
    assert ConsentEvent.objects.count() == before + 2
    catch_up()
    assert totals() == {(surface.key, surface.wording, "en", OUT): 1}


@pytest.mark.slow
def test_totals__after_the_demo__are_what_its_events_say() -> None:
    run("demo")
    stored: Counter[Any] = Counter()
    for row in DailyWording.objects.all():
        stored[row.day, row.surface, row.wording, row.language, row.choice] += row.choices
    counted: Counter[Any] = Counter()
    told = set()
    for event in ConsentEvent.objects.filter(kind__startswith="choice.").exclude(wording=""):
        # The two layers of one person have their events at one instant.
        one = event.organization_id, event.product, event.recorded_at, event.surface
        twin = any((*one, other) in told for other in (True, False) if other != (event.member_id is None))
        told.add((*one, event.member_id is None))
        if not twin:
            counted[event.recorded_at.date(), event.surface, event.wording, event.language, event.choice] += 1
    assert stored == counted and stored
    assert runner.lag("wordings") == 0


def test_totals__installation_with_events__its_whole_history(cast: Cast) -> None:
    """As after an upgrade: other followers are at the head, and this one begins."""
    choose(cast, OUT, owner(cast), shown=EN)
    ledger.sequence()
    runner.skip_to_head("rollup")
    assert not FollowerCursor.objects.filter(name="wordings").exists()
    while runner.follow_all():
        pass
    assert sum(totals().values()) == 1
