"""The guard that keeps a spreadsheet from running what the portal writes, and takes itself off again when read.

Before what a spreadsheet might run as a formula, and before what begins with an apostrophe, the writer of CSV puts one.
So whoever reads it knows which is the guard's: one that stands before such a rest. JSON Lines has none.
"""

import unicodedata

# What a spreadsheet would run as a formula instead of showing it.
_FORMULA = frozenset("=+-@")
# Categories of Unicode that nobody sees, and letters that are none: a spreadsheet looks past some of them.
_INVISIBLE, _FILLERS = (
    frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zs", "Zl", "Zp", "Mn", "Me"}),
    "\u115f\u1160\u2800\u3164\uffa0",
)


def guarded(text: str) -> str:
    return f"'{text}" if _needs_guard(text) else text


def unguarded(cell: str) -> str:
    """The text of which `guarded` made this. What others wrote without a guard comes back as it is."""
    return cell[1:] if cell.startswith("'") and _needs_guard(cell[1:]) else cell


def _needs_guard(text: str) -> bool:
    return text.startswith("'") or is_formula(text)


def is_formula(text: str) -> bool:
    """Whether a spreadsheet might run it: by its first visible character, in whatever width it is written."""
    if not text or (text[0].isascii() and text[0].isalnum()):
        return False
    if text[0] in "\t\r":
        return True
    visible = (each for each in text if unicodedata.category(each) not in _INVISIBLE and each not in _FILLERS)
    first = next(visible, "")
    return unicodedata.normalize("NFKC", first)[:1] in _FORMULA and bool(first)
