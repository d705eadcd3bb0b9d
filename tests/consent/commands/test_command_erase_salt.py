"""erase_salt: asks first, erases once, and names whoever did it in an event."""

import pytest

from consent.models import ConsentEvent, EventSalt
from tests.support.cast import Cast
from tests.support.commands import database, run
from tests.support.log import add_events, kept, step

OPERATOR = "odin@provider.example"


@pytest.fixture(autouse=True)
def logged(cast: Cast) -> None:
    add_events(4)
    with kept():
        step()


def test_erase_salt__not_confirmed_or_no_such_position__refused_and_nothing_changed() -> None:
    before = database()
    assert run("erase_salt", "3", "--reason", "Asked for", "--actor", OPERATOR).code != 0
    result = run("erase_salt", "999", "--reason", "Asked for", "--actor", OPERATOR, "--yes")
    assert result.code == 1 and "position: The log has no event at position 999." in result.err
    assert database() == before


def test_erase_salt__confirmed__gone_with_an_event() -> None:
    result = run("erase_salt", "3", "--reason", "Asked for", "--actor", OPERATOR, "--yes", "--format", "json")
    assert result.code == 0
    event = ConsentEvent.objects.latest("pk")
    assert result.json == {"position": 3, "event": str(event.pk)}
    assert (event.kind, event.target, event.reason, event.by_operator) == ("log.salt_erased", "3", "Asked for", True)
    assert bytes(EventSalt.objects.get(pk=3).salt) == b""
