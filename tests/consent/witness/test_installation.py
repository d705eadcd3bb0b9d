"""The one row that says which installation a database belongs to."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from consent.models import Installation, Trouble

pytestmark = pytest.mark.django_db


def test_installation__after_migrations__is_one_row_without_a_witness() -> None:
    found = Installation.objects.current()

    assert found.epoch == 1
    assert not found.witness_kept and not found.quarantine
    assert found.vouches == found.witnessed_position == 0


def test_installation__second_row__is_refused_by_the_database() -> None:
    for fields in ({}, {"single": False}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Installation.objects.create(**fields)
    assert Installation.objects.count() == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"quarantine": "nothing_known", "quarantined_at": timezone.now()},
        {"quarantine": Trouble.HEAD_LOWER},
        {"quarantined_at": timezone.now()},
    ],
)
def test_installation__quarantine_unknown_or_undated__is_refused_by_the_database(fields: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Installation.objects.update(**fields)
    assert not Installation.objects.current().quarantine


def test_installation__delete__is_refused() -> None:
    with pytest.raises(TypeError):
        Installation.objects.current().delete()
    assert Installation.objects.current()
