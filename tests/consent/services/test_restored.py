"""What the services of an adoption refuse; what they do is tested with the command `restore`."""

from collections.abc import Callable

import pytest
from django.db import DatabaseError, transaction

from accounts.access import Actor, Forbidden
from consent import ledger
from consent.models import ConsentEvent, EventPosition, Restore
from consent.services import restored
from consent.services.restored import LostPosition
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("who", ["owner", "admin", "member"])
def test_origin__no_operator__forbidden(cast: Cast, who: str) -> None:
    with pytest.raises(Forbidden):
        restored.origin(Actor.from_user(getattr(cast, who), confirmed=True), "restored")


@pytest.mark.parametrize(
    "positions",
    [lambda head: [head], lambda head: [head + 2], lambda head: [head + 1, head + 3]],
    ids=["the last one again", "one left out", "a gap"],
)
def test_place_lost__positions_with_a_gap__refused(cast: Cast, positions: Callable[[int], list[int]]) -> None:
    ledger.sequence()
    events, head = ConsentEvent.objects.count(), ledger.head()
    by = restored.origin(cast.provider, "restored")
    with pytest.raises(RuntimeError, match="no gaps"):
        restored.place_lost([LostPosition(each) for each in positions(head)], by)
    assert (ConsentEvent.objects.count(), EventPosition.objects.count()) == (events, head)


def test_begin_epoch__twice__refused_by_the_database(cast: Cast) -> None:
    of: dict[str, int] = {"epoch": 2, "restored_to": 1, "lost_to": 3}
    restored.begin_epoch(**of, actor=cast.provider, reason="Disk failed")
    with pytest.raises(DatabaseError), transaction.atomic():
        restored.begin_epoch(**of, actor=cast.provider, reason="Disk failed")
    assert Restore.objects.get().adopted_at
