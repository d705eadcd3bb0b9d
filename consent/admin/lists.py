"""What the operators' lists add to Django's: filters as fields, those in force in words, rows that become cards."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from django.contrib.admin.templatetags.admin_list import result_headers, results
from django.contrib.admin.views.main import ChangeList
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

_DJANGOS = "admin/filter.html"


@dataclasses.dataclass(frozen=True)
class Field:
    """A filter as a field of a form: `options` are (value, words, selected) for each choice, the first for all.

    A filter class with a template of its own is shown by that, which gets this as `field`.
    """

    name: str
    label: str
    options: list[tuple[str, str, bool]]
    spec: Any
    template: str


@dataclasses.dataclass(frozen=True)
class InForce:
    """A filter that is in force, in words, and the query of the list without it."""

    label: str
    words: str
    without: str


class OperatorList(ChangeList):
    @property
    def fields(self) -> list[Field]:
        return [_field(spec, spec.choices(self)) for spec in self.filter_specs]

    @property
    def in_force(self) -> list[InForce]:
        # The first of a filter's choices stands for all: it takes the filter away.
        found = []
        for spec in self.filter_specs:
            every, *others = spec.choices(self)
            words = [str(choice["display"]) for choice in others if choice["selected"]]
            if words or spec.used_parameters:
                words = words or [str(value) for value in spec.used_parameters.values()]
                found.append(InForce(capfirst(str(spec.title)), ", ".join(words), str(every["query_string"])))
        return found

    @property
    def refused(self) -> list[str]:
        """What is wrong with what was typed into a filter: then there are no rows."""
        return [error for spec in self.filter_specs if (error := getattr(spec, "error", ""))]

    @property
    def kept(self) -> list[tuple[str, str]]:
        """Parameters that the form of the filters passes on: the search and the order, but not the page."""
        own = {name for spec in self.filter_specs for name in spec.expected_parameters()}
        return [(name, value) for name, value in self.params.items() if name not in own]

    @property
    def headers(self) -> list[dict[str, Any]]:
        return list(result_headers(self))

    @property
    def rows(self) -> Iterator[list[SafeString]]:
        """The cells of each row. On a phone a cell shows its column's heading, from `data-label`."""
        # The heading of the column to select rows is markup, and names no column.
        labels = ["" if "<" in str(header["text"]) else capfirst(str(header["text"])) for header in self.headers]
        for cells in results(self):
            yield [_labelled(cell, label) for cell, label in zip(cells, labels, strict=True)]


def two_lines(first: Any, second: Any) -> SafeString:
    """A cell with a second, smaller line; one line if the second is empty."""
    return format_html("{}<small>{}</small>", first, second) if second else format_html("{}", first)


def _field(spec: Any, choices: Iterable[Mapping[str, Any]]) -> Field:
    name = spec.expected_parameters()[0]
    options = []
    for choice in choices:
        value = parse_qs(choice["query_string"].removeprefix("?")).get(name, [""])[0]
        options.append((value, str(choice["display"]), bool(choice["selected"])))
    template = "admin/includes/filter.html" if spec.template == _DJANGOS else spec.template
    return Field(name, capfirst(str(spec.title)), options, spec, template)


def _labelled(cell: str, label: str) -> SafeString:
    found = re.match(r"<td\b", cell) if label else None
    rest = mark_safe(cell[found.end() :] if found else cell)  # noqa: S308  Django has made it, and escaped what is in it
    return format_html('<td data-label="{}"{}', label, rest) if found else rest
