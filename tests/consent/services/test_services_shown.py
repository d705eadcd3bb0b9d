"""What a caller says of the words that somebody saw: only words that are kept, and that surface's."""

from typing import Any

import pytest

from consent.errors import Invalid
from consent.services.shown import shown_by_caller
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE, NOT_STATED, Shown
from tests.support.ledger_guards import refusal

pytestmark = pytest.mark.django_db
SAID = {"wording": LE_CHAT_MOBILE.wording, "language": "en"}


def test_shown__kept_words__as_said() -> None:
    assert shown_by_caller(LE_CHAT_MOBILE, SAID) == Shown(LE_CHAT_MOBILE.wording, "en")
    assert shown_by_caller(LE_CHAT_MOBILE, SAID | {"app_version": " 4.2 "}).app_version == "4.2"
    assert shown_by_caller(LE_CHAT_MOBILE, None) == NOT_STATED


@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        (SAID | {"wording": LE_CHAT_CONSOLE.wording}, "unknown_wording", "shown/wording"),
        (SAID | {"wording": "not_stated"}, "unknown_wording", "shown/wording"),
        (SAID | {"language": "de"}, "unknown_language", "shown/language"),
        (SAID | {"app_version": "x" * 41}, "too_long", "shown/app_version"),
    ],
)
def test_shown__words_that_nobody_kept_or_of_another_surface__refused(said: Any, code: str, field: str) -> None:
    with refusal(Invalid, code, field):
        shown_by_caller(LE_CHAT_MOBILE, said)
