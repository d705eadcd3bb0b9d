"""The words that somebody saw, as a caller of the API says with their choice; and where callers get them from."""

import hashlib
import json

import pytest

from consent.models import ConsentEvent
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE, SURFACES
from consent.wording_digests import DIGESTS
from tests.support.callers import World, assert_problem, by_key
from tests.support.ledger_guards import changes_nothing

pytestmark = pytest.mark.django_db
SHOWN = {"wording": LE_CHAT_MOBILE.wording, "language": "fr", "app_version": "4.2 (117)"}


def seen() -> tuple[str, str, str]:
    event = ConsentEvent.objects.latest("pk")
    return event.wording, event.language, event.app_version


def test_put__with_the_words_shown_in_an_app__event_and_feed_say_so(world: World) -> None:
    backend = by_key("consent:member", "consent:read", "events:read")
    address = f"{world.dag}privacy-settings/le_chat_mobile/"
    assert backend.put(address, {"choice": "opted_out", "source": "ios", "shown": SHOWN}).status_code == 200
    assert seen() == (LE_CHAT_MOBILE.wording, "fr", "4.2 (117)")
    (told,) = backend.get("events/?kind=choice.opted_out").json()["results"]
    assert {name: told[name] for name in SHOWN} == SHOWN


def test_put__of_an_organization_with_words_and_no_app__event_says_so(world: World) -> None:
    shown = {"wording": LE_CHAT_CONSOLE.wording, "language": "en"}
    address = f"{world.labs}privacy-settings/le_chat_console/"
    assert world.admin.put(address, {"choice": "opted_out", "shown": shown}).status_code == 200
    assert seen() == (LE_CHAT_CONSOLE.wording, "en", "")


def test_put__without_words__event_says_that_nobody_stated_them(world: World) -> None:
    world.admin.put(f"{world.labs}privacy-settings/le_chat_console/", {"choice": "opted_out"})
    assert seen() == ("not_stated", "", "")


@pytest.mark.parametrize(
    ("shown", "code", "pointer"),
    [
        (SHOWN | {"wording": "le_chat_mobile/99"}, "unknown_wording", "#/shown/wording"),
        (SHOWN | {"wording": "le_chat_mobile/2"}, "unknown_wording", "#/shown/wording"),  # known by its tag alone
        (SHOWN | {"wording": LE_CHAT_CONSOLE.wording}, "unknown_wording", "#/shown/wording"),  # another surface's
        (SHOWN | {"wording": "not_stated"}, "unknown_wording", "#/shown/wording"),
        (SHOWN | {"wording": ""}, "invalid", "#/shown/wording"),
        (SHOWN | {"wording": 3}, "invalid", "#/shown/wording"),
        (SHOWN | {"wording": "x" * 5000}, "unknown_wording", "#/shown/wording"),
        (SHOWN | {"language": "de"}, "unknown_language", "#/shown/language"),
        (SHOWN | {"language": "FR"}, "unknown_language", "#/shown/language"),
        (SHOWN | {"language": None}, "invalid", "#/shown/language"),
        ({"language": "fr"}, "invalid", "#/shown/wording"),
        ({"wording": LE_CHAT_MOBILE.wording}, "invalid", "#/shown/language"),
        (SHOWN | {"app_version": "v" * 41}, "too_long", "#/shown/app_version"),
        (SHOWN | {"app_version": "4\n2"}, "line_break", "#/shown/app_version"),
        (SHOWN | {"app_version": 4}, "invalid", "#/shown/app_version"),
        (SHOWN | {"colour": "red"}, "invalid", "#/shown/colour"),
        ("le_chat_mobile/3", "invalid", "#/shown"),
        (None, "invalid", "#/shown"),
        ([SHOWN], "invalid", "#/shown"),
    ],
    ids=str,
)
@pytest.mark.parametrize("choice", ["opted_out", "opted_in"])
def test_put__with_words_that_nobody_kept__400_names_them_and_changes_nothing(
    world: World, choice: str, shown: object, code: str, pointer: str
) -> None:
    backend = by_key("consent:member", "consent:read")
    with changes_nothing():
        address = f"{world.dag}privacy-settings/le_chat_mobile/"
        answer = backend.put(address, {"choice": choice, "source": "ios", "shown": shown})
        assert_problem(answer, 400, code, pointer)


def test_surfaces__give_all_their_words_in_each_language_as_they_are_kept(world: World) -> None:
    for surface in world.key.get("surfaces/").json()["results"]:
        found = {(each["wording"], each["language"]): each for each in surface["wordings"]}
        tag = SURFACES[surface["key"]].wording
        assert list(found) == [(tag, "en"), (tag, "fr")]
        for (wording, language), each in found.items():
            told = {"language": language, "texts": each["texts"], "wording": wording}
            spelled = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            assert hashlib.sha256(spelled.encode()).hexdigest() == each["sha256"] == DIGESTS[wording][language]
