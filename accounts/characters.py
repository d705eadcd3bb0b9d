"""Rules for invisible characters: texts that look the same must not differ, and no text may hide anything."""

import re
import unicodedata
from collections.abc import Callable

from django.utils.translation import gettext as _

# Unicode categories: control, format, surrogate, private use, unassigned, and line and paragraph separators.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Characters of other categories that no font draws, or that only select how another character is drawn.
_UNSEEN = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0100-\U000e01ef]"
)
# Joiners (Persian, Indic scripts, emoji) and variation selectors: names need them, but they alone are no name.
_OF_NAMES = re.compile(r"[\u034f\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Direction marks that keyboards put around Arabic and Hebrew words; without them the text reads the same.
_ORDINARY_MARKS = dict.fromkeys(map(ord, "\u061c\u200e\u200f"))
# Terminal control characters, bidirectional overrides, and lone surrogates. Line breaks are not in here:
# `fields.line_break_in` refuses those, with a message of its own.
_DECEPTIVE = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Unusable(ValueError):
    """The text can't be stored as it is; `character` is the offending one, or '' where the reason is another."""

    def __init__(self, character: str = "") -> None:
        super().__init__(f"U+{ord(character):04X}" if character else "unusable")
        self.character = character

    @property
    def code_point(self) -> str:
        """Like `U+200B ZERO WIDTH SPACE`."""
        return f"U+{ord(self.character):04X} {unicodedata.name(self.character, '')}".rstrip() if self.character else ""

    @property
    def told(self) -> str:
        """The error message for people, which says what to remove; '' where there is no character to name."""
        if not self.character:
            return ""
        text = _("This contains an invisible or unsupported character: %(character)s. Remove it.")
        return text % {"character": self.code_point}


def is_unseen(character: str) -> bool:
    """Whether the character is invisible, or looks like a plain space without being one."""
    category = unicodedata.category(character)
    unseen = category in _UNSEEN_CATEGORIES or (category == "Zs" and character != " ")
    return unseen or _UNSEEN.match(character) is not None


def refuse_unseen(text: str) -> None:
    """Raises Unusable for an invisible character. For identifiers, which tell one subject from another."""
    _refuse(text, is_unseen)


def tidy(text: str) -> str:
    """The text in composed form (NFC), without direction marks. Raises Unusable for a deceptive character."""
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text).translate(_ORDINARY_MARKS)
    _refuse(text, lambda character: _DECEPTIVE.match(character) is not None)
    return text


def refuse_hidden_in_name(text: str) -> None:
    """As `refuse_unseen`, but allows white space and the joiners that names need. Raises Unusable."""
    _refuse(text, lambda each: is_unseen(each) and not each.isspace() and not _OF_NAMES.match(each))


def storable(text: str) -> str:
    """The text with U+FFFD in place of NUL and lone surrogates, which databases and UTF-8 pages can't hold."""
    return _UNSTORABLE.sub("\ufffd", text)


def has_visible(text: str) -> bool:
    """Whether the text has a visible letter, number, punctuation or symbol; combining marks alone do not count."""
    return any(unicodedata.category(each)[0] in "LNPS" and not is_unseen(each) for each in text)


def _refuse(text: str, is_bad: Callable[[str], bool]) -> None:
    if text.isascii() and text.isprintable():
        return
    for character in text:
        if is_bad(character):
            raise Unusable(character)
