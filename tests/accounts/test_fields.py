"""Ids and instants as text: one spelling is taken, and what is none is refused."""

import datetime as dt
import uuid

import pytest
from django.core.exceptions import ValidationError

from accounts.fields import InstantField, parse_id

ID = uuid.UUID("01900000-0000-7000-8000-00000000abcd")
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
NEW_YEAR = dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
MICROS = 1_772_452_800_000_000


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (ID, ID), (str(ID), ID), (str(ID).upper(), ID), (ID.hex, None), (f"{{{ID}}}", None), (ID.urn, None),
        (f" {ID}", None), ("", None), (None, None), (ID.int, None), ([str(ID)], None),
    ],
)  # fmt: skip
def test_parse_id__canonical_form__alone_is_taken(given: object, found: uuid.UUID | None) -> None:
    assert parse_id(given) == found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, None), (NOON, NOON), (MICROS, NOON), (str(MICROS), NOON), ("-1000000", NEW_YEAR),
        ("2026-03-02T12:00:00Z", NOON), ("2026-03-02T13:00:00+01:00", NOON),
    ],
)  # fmt: skip
def test_instant__of_a_fixture__read(given: object, found: dt.datetime | None) -> None:
    assert InstantField().to_python(given) == found


@pytest.mark.parametrize("text", ["noon", "", "2026-13-01T00:00:00Z", "1.5"])
def test_instant__text_that_is_none__refused_and_named(text: str) -> None:
    with pytest.raises(ValidationError, match=f"Not an instant: {text}"):
        InstantField().to_python(text)


def test_instant__text_as_a_value_to_store__refused() -> None:
    with pytest.raises(ValueError, match="noon"):
        InstantField().get_prep_value("noon")


def test_instant__without_a_time_zone__refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        InstantField().get_prep_value(NOON.replace(tzinfo=None))
