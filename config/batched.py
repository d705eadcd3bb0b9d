"""Iterating in batches; Python 3.12 has this as `itertools.batched`."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of `size` items, the last one maybe shorter; `items` is consumed lazily."""
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page
