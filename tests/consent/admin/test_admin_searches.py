"""Searching the operators' lists: by id, external id, address and name; and the words of a job's page."""

import uuid

import pytest
from django.test import Client

from consent.admin import jobs as pages
from consent.models import BulkJob
from tests.support.cast import Cast
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


def listed(operator: Client, name: str, term: str) -> set[uuid.UUID]:
    page = operator.get(url(f"{name}_changelist"), {"q": term})
    assert page.status_code == 200
    return {row.pk for row in page.context["cl"].result_list}


def test_members__searched__by_each_of_their_names(cast: Cast, operator: Client) -> None:
    own, team = cast.labs_member, set(cast.labs.members.values_list("pk", flat=True))
    everybody = team | set(cast.brage.members.values_list("pk", flat=True))
    found = {
        "": everybody, " ": everybody, str(own.pk): {own.pk}, f" {own.pk} ": {own.pk}, str(cast.labs.pk): team,
        "DAG@kvasir.example": {own.pk}, "nobody@kvasir.example": set(), "external:nobody": set(), "nobody": set(),
        str(uuid.uuid4()): set(),
    }  # fmt: skip
    assert {term: listed(operator, "accounts_member", term) for term in found} == found


def test_organizations__searched__by_each_of_their_names(cast: Cast, operator: Client) -> None:
    labs, both = {cast.labs.pk}, {cast.labs.pk, cast.brage.pk}
    found = {
        "": both, " ": both, str(cast.labs.pk): labs, "DAG@kvasir.example": labs, "kvasir": labs, "asir": set(),
        "external:nobody": set(), str(uuid.uuid4()): set(),
    }  # fmt: skip
    assert {term: listed(operator, "accounts_organization", term) for term in found} == found


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"kind": "undo"}, "Undo of a job"),
        ({"kind": "plan_default", "plan": "le_chat_pro", "wanted": "opted_in"}, "Default of Le Chat Pro: opted in"),
        ({"kind": "plan_default", "plan": "le_chat_pro", "wanted": "opted_out"}, "Default of Le Chat Pro: opted out"),
        ({"kind": "rebind"}, "External ids moved to others"),
        ({"kind": "import", "selection": {"name": "halls.csv"}}, "Import of halls.csv"),
        ({"kind": "choice", "surface": "le_chat_console", "wanted": "opted_out"}, "Opt out of Le Chat training"),
        ({"kind": "choice", "surface": "le_chat_console", "wanted": "opted_in"}, "Opt in to Le Chat training"),
        ({"kind": "choice", "surface": "le_chat_console", "wanted": ""}, "Different choices for Le Chat"),
    ],
)
def test_job__of_each_kind__titled(fields: dict[str, object], title: str) -> None:
    assert pages.title_of(BulkJob(**fields)) == title


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""), (0.2, "1 second to go"), (1.4, "1 second to go"), (89, "89 seconds to go"), (90, "2 minutes to go"),
        (3600, "60 minutes to go"),
    ],
)  # fmt: skip
def test_job__time_left__in_words(seconds: float | None, words: str) -> None:
    assert pages._time(seconds) == words
