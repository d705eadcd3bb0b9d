"""A guard against CSV injection: it keeps a spreadsheet from running what the portal writes, and is removed on reading.

The writer of CSV puts an apostrophe before a text that a spreadsheet might run as a formula, and before a text that
begins with an apostrophe. So a reader can tell a guard: it is an apostrophe before such a text. JSON Lines needs none.
"""

import unicodedata

# First characters of what a spreadsheet runs as a formula.
_FORMULA = frozenset("=+-@")
# Invisible categories of Unicode, and invisible letters and symbols: a spreadsheet may skip them at the beginning.
_INVISIBLE, _FILLERS = (
    frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zs", "Zl", "Zp", "Mn", "Me"}),
    "\u115f\u1160\u2800\u3164\uffa0",
)


def guarded(text: str) -> str:
    return f"'{text}" if _needs_guard(text) else text


def unguarded(cell: str) -> str:
    """The inverse of `guarded`. A text that was written without a guard stays as it is."""
    return cell[1:] if cell.startswith("'") and _needs_guard(cell[1:]) else cell


def _needs_guard(text: str) -> bool:
    return text.startswith("'") or is_formula(text)


def is_formula(text: str) -> bool:
    """Whether a spreadsheet might run the text: decided by its first visible character, full-width forms included."""
    if not text or (text[0].isascii() and text[0].isalnum()):
        return False
    if text[0] in "\t\r":
        return True
    visible = (each for each in text if unicodedata.category(each) not in _INVISIBLE and each not in _FILLERS)
    first = next(visible, "")
    return unicodedata.normalize("NFKC", first)[:1] in _FORMULA and bool(first)
