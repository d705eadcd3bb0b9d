"""Wordings as operators see them: since when, what was chosen in view of each, and what changed from the one before.

Everything is counted from daily totals (`projections.wording_totals`), by two grouped queries for the whole list.
"""

import dataclasses
import datetime as dt
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Max, Min, Sum
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from ..models import Choice, DailyWording, Wording
from ..surfaces import NOT_STATED, SURFACES
from ..wording_digests import NOT_KEPT
from .wordings import PARTS, Seen, language_name, told

# What a difference between two shares needs, to be called a jump: so many choices each, so many standard errors.
JUMP_CHOICES, JUMP_ERRORS = 30, 3


@dataclasses.dataclass(frozen=True)
class Counts:
    opted_in: int = 0
    opted_out: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.opted_in + other.opted_in, self.opted_out + other.opted_out)

    @property
    def total(self) -> int:
        return self.opted_in + self.opted_out

    @property
    def share(self) -> float | None:
        """Opt-ins in per cent of all; None without a choice."""
        return 100 * self.opted_in / self.total if self.total else None


def counted(choice: str, number: int) -> Counts:
    """So many choices of this kind."""
    return Counts(opted_in=number) if choice == Choice.OPTED_IN else Counts(opted_out=number)


def is_jump(before: Counts, after: Counts) -> bool:
    """Whether the share of opt-ins differs by more than chance explains. That the words are why, it doesn't prove."""
    if min(before.total, after.total) < JUMP_CHOICES:
        return False
    together = (before + after).opted_in / (before + after).total
    error = math.sqrt(together * (1 - together) * (1 / before.total + 1 / after.total))
    return abs((before.share or 0) - (after.share or 0)) / 100 > JUMP_ERRORS * error


@dataclasses.dataclass(eq=False)
class WordingRow:
    """A tag of a surface, or "not stated" on it. `rows`: the words in each language; none: nobody kept them.

    `before` and `after`: the wordings before and after it on its surface, as far as we know them.
    """

    tag: str
    surface: str
    rows: list[Wording] = dataclasses.field(default_factory=list)
    by_language: dict[str, Counts] = dataclasses.field(default_factory=lambda: defaultdict(Counts))
    first: dt.date | None = None  # the day of the first choice
    before: "WordingRow | None" = dataclasses.field(default=None, repr=False)
    after: "WordingRow | None" = dataclasses.field(default=None, repr=False)

    @property
    def stated(self) -> bool:
        return self.tag != NOT_STATED.wording

    @property
    def number(self) -> int:
        number = Seen(self.tag, "").number
        return int(number) if number.isdecimal() else 0

    @property
    def name(self) -> str:
        """What it is called on pages, beside its place."""
        return _("Wording %(number)s") % {"number": self.number} if self.stated else _("Not stated which words")

    @property
    def place(self) -> str:
        return place_of(self.surface)

    @property
    def is_current(self) -> bool:
        return self.surface in SURFACES and SURFACES[self.surface].wording == self.tag

    @property
    def languages(self) -> list[str]:
        return [language_name(row.language) for row in self.rows]

    @property
    def digests(self) -> list[tuple[str, str, str]]:
        """The code and the name of each language in which the words are kept, and their SHA-256 there."""
        return [(row.language, language_name(row.language), row.sha256) for row in self.rows]

    @property
    def valid_from(self) -> dt.datetime | None:
        return min((row.valid_from for row in self.rows), default=None)

    @property
    def began(self) -> dt.date | None:
        """The day on which people began to see it: of words that were not kept, that of the first choice."""
        return self.valid_from.date() if self.valid_from else self.first

    @cached_property
    def counts(self) -> Counts:
        return sum(self.by_language.values(), Counts())

    @property
    def told_by_language(self) -> list[tuple[str, Counts]]:
        """Language → counts, in words; of '', that nobody said which."""
        known = sorted(self.by_language.items(), key=lambda each: -each[1].total)
        return [(language_name(code) if code else _("language not stated"), counts) for code, counts in known]

    @property
    def languages_told_apart(self) -> list[tuple[str, Counts]]:
        """The same, if anybody said which language it was."""
        return self.told_by_language if any(self.by_language) else []

    @property
    def jumped(self) -> bool:
        return self.before is not None and is_jump(self.before.counts, self.counts)


def place_of(surface: str) -> str:
    """Where the surface is on the screen, in words."""
    known = SURFACES.get(surface)
    return " › ".join(map(str, known.path)) if known else surface


def wordings(surface: str = "") -> list[WordingRow]:
    """All wordings that are kept or that events name, the newest first; `surface`: only those of this one."""
    of = {"surface": surface} if surface else {}
    found: dict[tuple[str, str], WordingRow] = {}
    for kept in Wording.objects.filter(**of).order_by("language"):
        found.setdefault((kept.surface, kept.wording), WordingRow(kept.wording, kept.surface)).rows.append(kept)
    groups = DailyWording.objects.filter(**of).order_by().values("surface", "wording", "language", "choice")
    for group in groups.annotate(number=Sum("choices"), first=Min("day"), last=Max("day")):
        key = group["surface"], group["wording"]
        row = found.setdefault(key, WordingRow(group["wording"], group["surface"]))
        row.by_language[group["language"]] += counted(group["choice"], group["number"])
        row.first = min(group["first"], row.first or group["first"])
    _chain(found.values())
    return sorted(found.values(), key=_order)


def _order(row: WordingRow) -> tuple[bool, float, str, int]:
    began = row.began.toordinal() if row.began else 0
    return not row.stated, -began, row.surface, -row.number


def _chain(rows: Iterable[WordingRow]) -> None:
    """Say of each which ones were before and after it on its surface."""
    by_surface: dict[str, list[WordingRow]] = defaultdict(list)
    for row in rows:
        if row.stated:
            by_surface[row.surface].append(row)
    for of_surface in by_surface.values():
        of_surface.sort(key=lambda row: row.number)
        for before, row in itertools.pairwise(of_surface):
            row.before, before.after = before, row


def wording_of(rows: Iterable[WordingRow], surface: str, number: str) -> WordingRow | None:
    """Of these the wording with this tag; or one that nobody kept and no event names. None: there never was one."""
    tag = f"{surface}/{number}"
    there = next((row for row in rows if row.tag == tag), None)
    return there or (WordingRow(tag, surface) if tag in NOT_KEPT else None)


# --- Texts ---


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the words: its name, and its text in each language, with the language's code; '': it has none there."""

    name: str
    texts: list[tuple[str, str, str]]


def side_by_side(row: WordingRow) -> list[Part]:
    """The parts in the order of the screen, each in all languages in which the words are kept."""
    by_language = {each.language: dict(told(each).parts) for each in row.rows}
    names = dict.fromkeys(name for texts in by_language.values() for name in texts)
    return [
        Part(name, [(code, language_name(code), texts.get(name, "")) for code, texts in by_language.items()])
        for name in names
    ]


@dataclasses.dataclass(frozen=True)
class Change:
    """A part whose text is another than in the wording before; '': it was, or is, not there."""

    language: str
    name: str
    before: str
    after: str

    @property
    def language_name(self) -> str:
        return language_name(self.language)


def changes_of(row: WordingRow) -> list[Change]:
    """What differs from the wording before it, in each language that both are kept in."""
    before = {each.language: dict(told(each).parts) for each in (row.before.rows if row.before else [])}
    order = [str(name) for name in PARTS.values()]
    found = []
    for each in row.rows:
        old, new = before.get(each.language), dict(told(each).parts)
        if old is None:
            continue
        names = sorted(old.keys() | new.keys(), key=lambda name: (order.index(name) if name in order else 99, name))
        found += [
            Change(each.language, name, old.get(name, ""), new.get(name, ""))
            for name in names
            if old.get(name) != new.get(name)
        ]
    return found
