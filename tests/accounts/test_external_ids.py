"""R16: all spellings of an external id are normalized to one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import external_ids
from accounts.characters import Unusable, is_unseen
from accounts.external_ids import asked, normalize
from accounts.fields import split_ident

SPELLINGS = [
    ("acct-1", "acct-1"),
    (" acct-1\t", "acct-1"),
    (' "kv-200"', "kv-200"),
    ("“kv-200”", "kv-200"),
    ("'kv-200'", "kv-200"),
    ("« kv-200 »", "kv-200"),
    ("\u00a0acct-1\u3000", "acct-1"),
    ("cafe\u0301-1", "caf\u00e9-1"),
    ("Acme 1", "Acme 1"),
    ("'+4930", "'+4930"),
    ('5"', '5"'),
]
UNSEEN = [
    "\u200b", "\u200d", "\u00ad", "\ufeff", "\u202e", "\u2066", "\u2028", "\x00", "\x1f", "\x85", "\ue000", "\ud800",
    "\U000e0041", "\ufe0f", "\u034f", "\u115f", "\u3164", "\uffa0", "\u2800", "\u180e", "\u0378", "\U0010ffff",
]  # fmt: skip


@pytest.mark.parametrize(("text", "kept"), SPELLINGS, ids=ascii)
def test_normalize__spellings_that_look_the_same__become_one(text: str, kept: str) -> None:
    assert normalize(text) == kept
    assert asked(text) == kept
    assert split_ident(f"external:{text}") == (None, kept)


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
@pytest.mark.parametrize("place", ["kv{}100", "kv-100{}", "{}kv-100"])
def test_normalize__what_cannot_be_seen__is_refused_by_its_code_point(unseen: str, place: str) -> None:
    with pytest.raises(Unusable) as error:
        normalize(place.format(unseen))
    assert error.value.code_point.startswith(f"U+{ord(unseen):04X}")
    assert asked(place.format(unseen)) is None


@pytest.mark.parametrize("text", ["", "  ", '""', "“ ”", "''"])
def test_normalize__nothing_left__is_refused(text: str) -> None:
    with pytest.raises(Unusable):
        normalize(text)


def test_asked__too_long__is_nobody() -> None:
    assert asked("x" * external_ids.LENGTH) == "x" * external_ids.LENGTH
    assert asked("x" * (external_ids.LENGTH + 1)) is None


@given(st.text(max_size=30))
def test_normalize__any_text__is_its_own_normal_form_and_holds_nothing_unseen(text: str) -> None:
    found = asked(text)
    if found is None:
        return
    assert normalize(found) == found
    assert unicodedata.is_normalized("NFC", found)
    assert not any(is_unseen(each) for each in found)
    assert asked(unicodedata.normalize("NFD", found)) == asked(f' "{found}" ') == found
