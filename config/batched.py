"""Some at a time: Python has it as `itertools.batched` from 3.12 on."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of `size` items, the last perhaps of fewer; taken from `items` as they are asked for."""
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page
