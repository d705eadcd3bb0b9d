"""The words of organizations' names, by which they are found. Derived from the names: see `projections.name_words`."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Concat, StrIndex
from django.db.models.lookups import Exact, GreaterThan

from .. import names
from ..fields import ByteOrderField

# The words that are counted to find the rarest: the longest are rare more often than not.
_COUNTED = 4
# A word that fewer names have than the first is rare. Else a hundred times as many are counted: some ten milliseconds.
_STEPS = (1_000, 100_000)
_LAST = "\U0010ffff"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A word that a name must have; `open`: or one that begins with it, as the last one may be typed only in part."""

    text: str
    open: bool = False

    def here(self, column: str) -> Q:
        """The rows of this word: a range of the index, whose order they are then read in.

        Given “=” and an order by organization, PostgreSQL may walk through all organizations instead.
        """
        return Q(**{f"{column}__gte": self.text, f"{column}__lte": self.text + _LAST * self.open})

    @property
    def part(self) -> Value:
        """What `NameWord.words` has in it if the name has the word."""
        return Value(f" {self.text}" if self.open else f" {self.text} ")


def wanted(text: str) -> list[Wanted]:
    """The words that somebody looks for; none if the text has no letter and no digit."""
    found = names.words(text)
    return [Wanted(word, open=word == found[-1]) for word in found]


class NameWordQuerySet(models.QuerySet["NameWord"]):
    def of(self, each: Wanted) -> Self:
        return self.filter(each.here("word"))

    def rarest(self, asked: Sequence[Wanted]) -> Wanted:
        """The word that the fewest names have, where that matters: the search begins there."""
        longest = sorted(asked, key=lambda each: (each.open, -len(each.text)))[:_COUNTED]
        if len(longest) == 1:
            return longest[0]
        for step in _STEPS:
            counts = [self.of(each).order_by()[:step].count() for each in longest]
            if min(counts) < step:
                break
        return longest[counts.index(min(counts))]


class NameWord(models.Model):
    """One word of an organization's name. `words` are all of them, with a space around each, so that a search for
    several is one walk through the index of one.
    """

    id = models.BigAutoField(primary_key=True)
    # Without a constraint: organizations are never deleted, and these are written by the million.
    organization = models.ForeignKey(
        "Organization", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="name_words"
    )
    word = ByteOrderField(max_length=names.LENGTH)
    words = ByteOrderField(max_length=names.ALL + 2)

    objects = NameWordQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["word", "-organization", "words"], name="name_word_found"),
            models.Index(fields=["organization"], name="name_word_of_organization"),
        ]

    def __str__(self) -> str:
        return str(self.word)


def condition(asked: Sequence[Wanted], begin: Wanted, over: str) -> Q:
    """The condition on the words of `over` (a relation to NameWord): one row for each name that has all words.

    `begin` is the word whose rows are read. A name with two words that begin alike has two rows there: only the row of
    the word that stands first counts.
    """
    words, word = f"{over}__words", f"{over}__word"
    found = begin.here(word)
    for each in asked:
        if each is not begin:
            found &= Q(GreaterThan(StrIndex(F(words), each.part), 0))
    if begin.open:
        this: Any = Concat(Value(" "), F(word), Value(" "))
        found &= Q(Exact(StrIndex(F(words), begin.part), StrIndex(F(words), this)))
    return found
