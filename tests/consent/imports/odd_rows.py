"""Tables that mix odd rows of every kind with good ones, and the error expected for each."""

import json
from collections.abc import Iterator
from typing import NamedTuple

EVERY = 25  # every 25th row is odd, the kinds in turn
COLUMNS = ("external_id", "name", "country", "choice")
OPTIONS = ("--plan", "le_chat_free")


class Odd(NamedTuple):
    """Values that replace those of a good row, the columns that the error names, and a part of its text."""

    values: dict[str, str]
    columns: tuple[str, ...]
    told: str


# `{}` is the number of the row, `{before}` of the one before it.
KINDS = [
    Odd({"name": "Nul\x00 {}"}, ("name",), "U+0000"),
    Odd({"external_id": "kv\u200b-{}"}, ("external_id",), "U+200B"),
    Odd({"external_id": "kv\U000e0041-{}"}, ("external_id",), "U+E0041"),
    Odd({"external_id": "kv\u3164{}"}, ("external_id",), "U+3164"),
    Odd({"external_id": "kv-{}\ue000x"}, ("external_id",), "U+E000"),
    Odd({"name": "Next\x85line {}"}, ("name",), "U+0085"),
    Odd({"name": "\u0301\u200c"}, ("name",), "visible"),
    Odd({"external_id": "KV-{before}"}, ("external_id",), "differs from “kv-"),
    Odd({"external_id": "\uff4b\uff56-{before}"}, ("external_id",), "differs from “kv-"),
    Odd({"external_id": ""}, ("external_id",), "needs its external id"),
    Odd({"choice": "perhaps", "country": "France"}, ("choice", "country"), "opted_out or opted_in"),
    Odd({"name": "", "external_id": "a/{}", "choice": "?"}, ("choice", "external_id", "name"), "slash"),
]
IN_CSV = [Odd({}, ("",), "repeats the first line"), Odd({}, ("",), "4 columns")]
IN_JSON = [
    Odd({"name": "Half\ud83d {}"}, ("name",), "U+D83D"),
    Odd({}, ("",), "nested too deep"),
    Odd({}, ("external_id",), "no text"),
]
_LINES = {
    "repeats the first line": ",".join(COLUMNS),
    "4 columns": "one,value,too,many,here",
    "nested too deep": '{"name": ' + "[" * 10_000 + "]" * 10_000 + "}",
    "no text": '{"external_id": 1e400, "name": "N"}',
}


def good(number: int) -> dict[str, str]:
    """A good row; some names have directional marks, decomposed characters or quotes, as in real life."""
    name = ("Kvasir {}", "\u200f\u0634\u0631\u0643\u0629 {}\u200e", "Cafe\u0301 {}", 'The "Hall" {}')[number % 4]
    choice = "opted_out" if number % 3 == 0 else ""
    return {"external_id": f"kv-{number}", "name": name.format(number), "country": "FR", "choice": choice}


def lines(form: str, count: int) -> Iterator[tuple[str, Odd | None]]:
    """A line of text for each row, with what is odd about it or None; the first row is good."""
    kinds = KINDS + (IN_CSV if form == "csv" else IN_JSON)
    for number in range(1, count + 1):
        odd = kinds[number // EVERY % len(kinds)] if number % EVERY == 0 else None
        yield _line(form, number, odd), odd


def _line(form: str, number: int, odd: Odd | None) -> str:
    if odd and odd.told in _LINES:
        return _LINES[odd.told]
    values = good(number) | (
        {name: text.format(number, before=number - 1) for name, text in odd.values.items()} if odd else {}
    )
    if form == "csv":
        return ",".join('"{}"'.format(values[name].replace('"', '""')) for name in COLUMNS)
    return json.dumps(values)
