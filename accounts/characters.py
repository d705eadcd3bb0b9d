"""Which characters can be seen: two texts that look the same must not be two, and a text must not hide anything."""

import re
import unicodedata
from collections.abc import Callable

from django.utils.translation import gettext as _

# Controls, formats, surrogates, private use, unassigned, and separators of lines and paragraphs.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters, marks and symbols that no font draws, or that only choose how another character is drawn.
_UNSEEN = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0100-\U000e01ef]"
)
# What joins letters of Persian, of Indic scripts and emoji, and what chooses between forms of a character: they are
# part of how names are written, and are never a name by themselves.
_OF_NAMES = re.compile(r"[\u034f\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Marks of direction that people's keyboards put around Arabic and Hebrew words; without them the text reads the same.
_ORDINARY_MARKS = dict.fromkeys(map(ord, "\u061c\u200e\u200f"))
# What steers a terminal, turns the direction of text, or is half a character; beginnings of lines are named apart.
_DECEPTIVE = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Unusable(ValueError):
    """A text can't be kept so; `character` is what stands in the way, '' where it is something else."""

    def __init__(self, character: str = "") -> None:
        super().__init__(f"U+{ord(character):04X}" if character else "unusable")
        self.character = character

    @property
    def code_point(self) -> str:
        """Like `U+200B ZERO WIDTH SPACE`."""
        return f"U+{ord(self.character):04X} {unicodedata.name(self.character, '')}".rstrip() if self.character else ""

    @property
    def told(self) -> str:
        """For people: what to remove; '' where there is no character to name."""
        if not self.character:
            return ""
        text = _("There is a character in it that can't be seen or kept: %(character)s. Remove it.")
        return text % {"character": self.code_point}


def is_unseen(character: str) -> bool:
    """Whether it can't be seen, or not be told from a plain space."""
    category = unicodedata.category(character)
    unseen = category in _UNSEEN_CATEGORIES or (category == "Zs" and character != " ")
    return unseen or _UNSEEN.match(character) is not None


def refuse_unseen(text: str) -> None:
    """For what tells one subject from another. Raises Unusable."""
    _refuse(text, is_unseen)


def tidy(text: str) -> str:
    """A text composed (NFC), without the marks of direction that keyboards put there. Raises Unusable."""
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text).translate(_ORDINARY_MARKS)
    _refuse(text, lambda character: _DECEPTIVE.match(character) is not None)
    return text


def refuse_hidden_in_name(text: str) -> None:
    """As `refuse_unseen`, but for what names are written with, spaces included. Raises Unusable."""
    _refuse(text, lambda each: is_unseen(each) and not each.isspace() and not _OF_NAMES.match(each))


def storable(text: str) -> str:
    """As databases and pages can hold it: half a character, and NUL, have a sign in their place."""
    return _UNSTORABLE.sub("\ufffd", text)


def has_visible(text: str) -> bool:
    """Whether anything is drawn: a letter, number, sign or symbol, not marks alone."""
    return any(unicodedata.category(each)[0] in "LNPS" and not is_unseen(each) for each in text)


def _refuse(text: str, is_bad: Callable[[str], bool]) -> None:
    if text.isascii() and text.isprintable():
        return
    for character in text:
        if is_bad(character):
            raise Unusable(character)
