"""Rows loaded past the ORM are the rows that the ORM would have written."""

import pytest
from django.db import DatabaseError

from accounts.fields import new_id
from consent.files.loading import load
from consent.models import BulkJob, BulkJobRow, PrivacySetting
from tests.support.jobs import Team

TABLE, COLUMNS = "consent_bulkjobrow", ("job_id", "number", "organization_id", "wanted", "carry", "event_id", "refusal")
ODD = ["", "two\tparts", "two\nlines", "back\\slash", "\\N", "“quoted”", "'; --", "%s"]


def make_job() -> BulkJob:
    return Team().previewed("opted_out")


@pytest.mark.django_db
def test_load__values_of_every_type__are_what_the_orm_reads() -> None:
    job, ids = make_job(), [new_id() for _ in ODD]
    rows = [
        (job.pk, n, pk, word, "", 10**15 if n % 2 else None, "x")
        for n, (pk, word) in enumerate(zip(ids, ODD, strict=True), start=1)
    ]
    assert load(TABLE, COLUMNS, rows) == len(ODD)
    assert list(job.rows.order_by("number").values_list("organization_id", "wanted", "event_id")) == [
        (pk, word, 10**15 if n % 2 else None) for n, (pk, word) in enumerate(zip(ids, ODD, strict=True), start=1)
    ]


@pytest.mark.django_db
def test_load__more_rows_than_a_page_from_a_generator__counts_and_stores_them_all() -> None:
    job = make_job()
    assert load(TABLE, COLUMNS, ((job.pk, n, new_id(), "", "", None, "") for n in range(12_001))) == 12_001
    assert job.rows.count() == 12_001


@pytest.mark.django_db
def test_load__booleans__are_booleans() -> None:
    (organization,) = Team().organizations(1)
    row = {"organization_id": organization.pk, "product": "ai_studio", "plan": "", "subscribed": True}
    row |= {"applied_default": "", "choice": "default", "carry": "", "locked": False, "closed": False}
    row |= {"allowed": False, "reason_code": "no_subscription", "version": 0}
    assert load("consent_privacysetting", tuple(row), [tuple(row.values())]) == 1
    found = PrivacySetting.objects.get(organization=organization, product="ai_studio")
    assert (found.subscribed, found.locked) == (True, False)


@pytest.mark.django_db
def test_load__no_rows__does_nothing() -> None:
    assert load(TABLE, COLUMNS, []) == 0


@pytest.mark.django_db(transaction=True)
def test_load__a_later_row_breaks_a_constraint__stores_none_of_them() -> None:
    job = make_job()
    rows = [(job.pk, min(n, 9_000), new_id(), "", "", None, "") for n in range(1, 9_002)]
    with pytest.raises(DatabaseError):
        load(TABLE, COLUMNS, rows)
    assert not BulkJobRow.objects.filter(job=job).exists()
