"""The words of a name, as they are searched for: without case, accents and punctuation."""

import re
import unicodedata

# Longer words and names are cut, because PostgreSQL refuses entries of an index above some 2,700 bytes.
LENGTH, ALL = 40, 400
_WORD = re.compile(r"[^\W_]+")
# Letters with a stroke are no letter and mark in Unicode, but people look for them without.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})


def folded(text: str) -> str:
    """The text without case, accents and width: “Żółw” and “zolw” are one."""
    if text.isascii():
        return text.lower()
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(each for each in letters if unicodedata.category(each)[0] != "M").translate(_PLAIN)


def words(text: str) -> tuple[str, ...]:
    """The different words of the text, folded, in their order."""
    found, length = dict[str, None](), 0
    for word in _WORD.findall(folded(text)):
        length += len(word[:LENGTH]) + 1
        if length >= ALL:
            break
        found[word[:LENGTH]] = None
    return tuple(found)
