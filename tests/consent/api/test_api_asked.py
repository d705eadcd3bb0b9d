"""Asked and answered by the API: numbers of days, and who may know which key asked."""

import datetime as dt
from typing import Any

import pytest

from accounts.models import ApiKey
from consent.models import PEOPLE, AskedCount
from consent.presentation import asked
from tests.support.callers import World, assert_problem

pytestmark = pytest.mark.django_db
TODAY = dt.datetime.now(dt.UTC).date()


def count(world: World, questions: int, *, days: int = 0, asker: Any = PEOPLE, **more: Any) -> None:
    given = {"organization": world.cast.labs, "allowed": False, "reason_code": "organization_opted_out"}
    AskedCount.objects.create(day=TODAY - dt.timedelta(days=days), asker=asker, questions=questions, **(given | more))


def path(world: World, query: str = "") -> str:
    return f"organizations/{world.cast.labs.pk}/questions-asked/{query}"


def test_asked__by_day_and_asker__the_providers_keys_are_one(world: World) -> None:
    own = ApiKey.objects.filter(organization=world.cast.labs).earliest("pk")
    provider = list(ApiKey.objects.filter(organization=None)[:2])
    count(world, 3, asker=own.pk)
    for key, number in zip(provider, (10, 20), strict=True):
        count(world, number, asker=key.pk)
    count(world, 4, days=1)
    count(world, 5, days=40)
    count(world, 6, organization=world.cast.brage)
    rows = world.key.get(path(world)).json()["results"]
    yesterday = str(TODAY - dt.timedelta(days=1))
    assert [(row["day"], row["asker"], row["api_key"], row["questions"]) for row in rows] == [
        (str(TODAY), "provider", None, 30),
        (str(TODAY), "key", str(own.pk), 3),
        (yesterday, "people", None, 4),
    ]
    assert {(row["allowed"], row["reason"]) for row in rows} == {(False, "organization_opted_out")}
    told = {row["api_key"]: row["questions"] for row in world.operator_key.get(path(world)).json()["results"]}
    assert told == {str(provider[0].pk): 10, str(provider[1].pk): 20, str(own.pk): 3, None: 4}


def test_asked__of_other_days__and_page_by_page(world: World) -> None:
    count(world, 5, days=40)
    count(world, 6, days=41)
    since = TODAY - dt.timedelta(days=41)
    assert world.owner.get(path(world)).json()["results"] == []
    found = world.owner.get(path(world, f"?since={since}&limit=1")).json()
    assert [row["questions"] for row in found["results"]] == [5]
    assert [row["questions"] for row in world.owner.get(found["next"]).json()["results"]] == [6]
    until = TODAY - dt.timedelta(days=41)
    assert [row["questions"] for row in world.owner.get(path(world, f"?until={until}")).json()["results"]] == [6]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("?since=yesterday", "?since"),
        ("?since=2026-11-20&until=2026-11-19", "?since"),
        ("?day=1", "?day"),
        ("?until=2026-13-01", "?until"),
    ],
)
def test_asked__of_no_days__refused(world: World, query: str, pointer: str) -> None:
    assert_problem(world.owner.get(path(world, query)), 400, "invalid", pointer)


def test_named__of_askers__no_key_of_the_providers_for_others(world: World) -> None:
    key = ApiKey.objects.filter(organization=None).earliest("pk")
    count(world, 10, asker=key.pk)
    count(world, 1)
    from accounts.access import Actor

    for viewer, name in ((Actor.from_user(world.cast.owner), "The provider"), (world.cast.provider, str(key))):
        counts = asked.counts_of(world.cast.labs, TODAY, TODAY, viewer)
        names = [told for told, _count in asked.named(counts, world.cast.labs, viewer)]
        assert name in names[0] and names[1] == "People who are signed in"
