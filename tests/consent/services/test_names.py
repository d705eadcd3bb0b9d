"""Names of people and things: written as people write, with visible characters and no hidden ones."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import characters
from consent.errors import Invalid
from consent.services import layers, organizations

TAKEN = [
    ("Kvasir Labs", "Kvasir Labs"),
    (" Kvasir\u00a0Labs\u3000", "Kvasir\u00a0Labs"),
    ("Cafe\u0301", "Caf\u00e9"),
    # Marks of direction around and within Arabic and Hebrew words; Persian and Devanagari join with theirs.
    ("\u200f\u0634\u0631\u0643\u0629 Kvasir\u200e", "\u0634\u0631\u0643\u0629 Kvasir"),
    ("\u05d7\u05d1\u05e8\u05d4\u200f (2000)\u061c", "\u05d7\u05d1\u05e8\u05d4 (2000)"),
    ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
    ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
    ("\u845b\U000e0100\u57ce", "\u845b\U000e0100\u57ce"),
    ("Love \u2764\ufe0f", "Love \u2764\ufe0f"),
    ("\u00bfQu\u00e9?", "\u00bfQu\u00e9?"),
    ("=1+1", "=1+1"),
    ("'quoted'", "'quoted'"),
]
HIDING = [
    "\x00", "\x1b",
    "\x7f", "\x80", "\x92", "\u00ad", "\u200b", "\u2060", "\ufeff", "\u202e", "\u2066", "\ue000", "\ud83d",
    "\u3164", "\u2800", "\u115f", "\uffa0", "\U000e0041", "\U000e0001", "\u0378", "\uffff", "\U0010ffff", "\u180e",
]  # fmt: skip
LINES = ["\n", "\r", "\v", "\x1c", "\x85", "\u2028"]
EMPTY = ["\u0301", "\u200c", "\ufe0f\ufe0f", "\U000e0100", "\u034f \u200d", "\u200f\u0301"]


@pytest.mark.parametrize(("text", "kept"), TAKEN, ids=ascii)
def test_name__as_people_write__kept_composed_and_without_marks_of_direction(text: str, kept: str) -> None:
    assert layers.clean_name(text) == organizations.clean_name(text) == kept
    assert layers.clean_name(kept) == kept


@pytest.mark.parametrize("character", HIDING + LINES, ids=ascii)
def test_name__something_hidden__refused_by_its_code_point(character: str) -> None:
    with pytest.raises(Invalid, match=f"U\\+{ord(character):04X}") as caught:
        layers.clean_name(f"Kva{character}sir")
    assert caught.value.field == "name"


@pytest.mark.parametrize("text", EMPTY, ids=ascii)
def test_name__nothing_to_see__refused(text: str) -> None:
    for clean in (layers.clean_name, organizations.clean_name):
        with pytest.raises(Invalid, match="visible character"):
            clean(text)


def test_name__empty__taken_only_where_none_is_needed() -> None:
    assert layers.clean_name(" \u200e ") == ""
    with pytest.raises(Invalid) as caught:
        organizations.clean_name(" \u200e ")
    assert caught.value.code == "required"


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x92", "\u202e", "\u2067", "\udc00"], ids=ascii)
def test_text__steers_or_is_no_character__refused_by_its_code_point(character: str) -> None:
    with pytest.raises(Invalid, match=f"U\\+{ord(character):04X}"):
        layers.clean_text(f"Contract{character}17", "reason")


@given(st.text(max_size=20))
def test_name__any_text__what_is_kept_is_its_own_normal_form(text: str) -> None:
    try:
        found = layers.clean_name(text)
    except Invalid:
        return
    assert layers.clean_name(found) == found == unicodedata.normalize("NFC", found)
    assert not found or characters.has_visible(found)
    found.encode()
