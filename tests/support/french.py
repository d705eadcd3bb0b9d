"""Reads pages and mails as a French reader does, and tells what is not French, or not set as French is.

A word is French if some text of the catalogues has it: the portal's, Django's or allauth's.
"""

import functools
import gettext
import re
from collections.abc import Iterator, Set
from html.parser import HTMLParser

from django.conf import settings
from django.utils.translation.trans_real import translation

from accounts import time_zones

# Attributes that are shown, or read out.
_SHOWN = re.compile(r"alt|title|placeholder|label|aria-(label|description|valuetext)|data-(busy|copied|failed|label)")
_VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
# What programs write or read, or what is not text.
_UNREAD = {"script", "style", "code", "pre", "textarea", "kbd", "samp"}


class _Reader(HTMLParser):
    """Collects the texts of a page, but for those in another language."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []  # tag, and whether it is read

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        read = self._reads and tag not in _UNREAD and values.get("lang", "fr") == "fr"
        if tag not in _VOID:
            self._open.append((tag, read))
        if read:
            self.texts += [value for name, value in values.items() if _SHOWN.fullmatch(name)]
            if tag == "input" and values.get("type") in ("submit", "button"):
                self.texts.append(values.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._reads:
            self.texts.append(data)

    @property
    def _reads(self) -> bool:
        return not self._open or self._open[-1][1]


def texts_of(page: str) -> set[str]:
    """What somebody reads or hears of a page, without spaces around it."""
    reader = _Reader()
    reader.feed(page)
    return {text for text in (each.strip(" \r\n\t") for each in reader.texts) if text} - _places()


@functools.cache
def _places() -> Set[str]:
    """What time zones are called in every language."""
    return {time_zones.place(name) for name in time_zones.names()}


def complaints(text: str, data: Set[str] = frozenset()) -> list[str]:
    """What is wrong with a text; `data` are words that need not be French, as names."""
    foreign = [text] if text in english() - data else sorted(set(words(text)) - vocabulary() - data)
    return [f"not French: {each}" for each in foreign] + [f"not set as French is: {each}" for each in ill_set(text)]


# --- Words ------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"\w+(?:[-.’']\w+)*")
_ADDRESS = re.compile(r"\S*(?:@|://|\w/|/\w|\.\w)\S*|\b[a-z_]+:(?=[a-z]|\s)[a-z]*")


def words(text: str) -> Iterator[str]:
    """In small letters, without addresses, paths, codes and abbreviations."""
    for word in _WORD.findall(_ADDRESS.sub(" ", text)):
        if not re.search(r"[\d_]", word) and not word.isupper():
            for part in re.split(r"[-’']", word):
                yield part.casefold()


@functools.cache
def _said() -> dict[tuple[str, int], str]:
    """(English text, number of the form) → the French one, of all catalogues."""
    found: dict[tuple[str, int], str] = {}
    for key, said in translation("fr")._catalog.items():
        text, form = key if isinstance(key, tuple) else (key, 0)
        if text and said:
            # The first is the one that is shown; later ones are of the catalogues below.
            found.setdefault((text.rpartition("\x04")[2], form), said)
    return found


@functools.cache
def vocabulary() -> Set[str]:
    return {word for text in _said().values() for word in words(text)}


@functools.cache
def english() -> Set[str]:
    """Whole texts that are not to be seen, because French says them otherwise."""
    return {text for (text, _form), said in _said().items() if said != text} - set(_said().values())


# --- How French is set ------------------------------------------------------------------------------------------------

_NO_BREAK = "\u00a0\u202f"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_ILL_SET = {
    "a space that may break": r" [;!?»%]| :(?=\s|$)|« ",
    "no space": rf"^:|[^\s{_NO_BREAK}!?][;!?»](?=\W|$)|[^\s{_NO_BREAK}]:(?=\s|$)|«[^{_NO_BREAK}]|\d%",
    "dots in place of …": r"\.\.\.",
    "a straight apostrophe": r"(?i)[a-zà-ÿ]'[a-zà-ÿ]",
    "English quotes": r"[“”]",
    "an English date": rf"\b\d{{1,2}} {_MONTH} \d{{4}}|\b{_MONTH}\.? \d|\b[ap]\.m\.|\d-\d\d-\d\d\b",
    "an English number": r"\d,\d{3}\b|\d\.\d+[ \u00a0\u202f]%",
}
# Codes that are written so, and examples of what programs take.
_AS_IS = re.compile(r"external:|https?://|Exemple\u00a0: \d{4}-\S+|%\(\w+\)s|%s|\{\w+\}")


def ill_set(text: str) -> list[str]:
    """Which rules of French typesetting the text breaks, and where; those of Django and allauth break some."""
    plain = _AS_IS.sub("x", text).replace("%%", "%")
    breaks = ((what, each) for what, pattern in _ILL_SET.items() for each in re.finditer(pattern, plain))
    return [
        f"{what} ({plain[max(0, each.start() - 20) : each.end() + 10]!r})"
        for what, each in breaks
        if plain[max(0, each.start() - 6) : each.end() + 1] not in _of_others()
    ]


@functools.cache
def _of_others() -> str:
    own = gettext.translation("django", settings.LOCALE_PATHS[0], ["fr"])._catalog  # type: ignore[attr-defined]
    return "\n".join(set(_said().values()) - set(own.values()))
