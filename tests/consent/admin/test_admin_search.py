"""The operators' search: organizations by words, people by address, both by ids; and what it says if none is there."""

import uuid
from typing import Any

import pytest
from django.test import Client

from accounts.access import Actor, Forbidden
from accounts.models import User
from consent import ledger
from consent.presentation import finding
from consent.projections import runner
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, OrganizationFactory, UserFactory
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db
PAGE = "/admin/search/"


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


@pytest.fixture
def named(cast: Cast) -> Cast:
    OrganizationFactory(
        name="Tomasz Zieliński", kind="personal", owner=("tomasz@zielinski.example", "Tomasz"), actor=cast.provider
    )
    OrganizationFactory(name="Kvasir Østfold", external_id="acct-17", actor=cast.provider)
    MemberFactory(organization=cast.brage, user=UserFactory(email="daga@saga.example"), actor=cast.provider)
    ledger.sequence()
    runner.catch_up("words")
    return cast


def found(operator: Client, text: str) -> tuple[list[str], list[str]]:
    page = operator.get(PAGE, {"q": text})
    assert page.status_code == 200
    result = page.context["found"]
    return [each.name for each in result.organizations], [each.user.email for each in result.people]


@pytest.mark.parametrize(
    ("text", "organizations", "people"),
    [
        ("zielinski", ["Tomasz Zieliński"], []),
        ("ZIELIŃSKI tom", ["Tomasz Zieliński"], []),
        ("kvasir", ["Kvasir Labs", "Kvasir Østfold"], []),
        (" ostfold  kvas", ["Kvasir Østfold"], []),
        ("acct-17", ["Kvasir Østfold"], []),
        ("external:acct-17", ["Kvasir Østfold"], []),
        ("dag", [], ["dag@kvasir.example", "daga@saga.example"]),
        ("DAG@kvasir.example", [], ["dag@kvasir.example"]),
        ("tomasz", ["Tomasz Zieliński"], ["tomasz@zielinski.example"]),
        ("daga@saga.exam", [], ["daga@saga.example"]),
        ("d%", [], []),
        ("_ag", [], []),
        ("external:nobody", [], []),
        ("external:", [], []),
        ("…", [], []),
        ("", [], []),
    ],
)
def test_search__for_any_of_their_names__found(
    named: Cast, operator: Client, text: str, organizations: list[str], people: list[str]
) -> None:
    assert found(operator, text) == (organizations, people)


def test_search__by_id__of_organization_person_and_membership(named: Cast, operator: Client) -> None:
    member = named.labs_member
    assert found(operator, str(named.labs.pk)) == ([named.labs.name], [])
    assert found(operator, f" {named.member.pk} ") == ([], [named.member.email])
    assert found(operator, str(member.pk)) == ([], [named.member.email])
    assert found(operator, str(uuid.uuid4())) == ([], [])


def test_search__by_a_members_external_id__the_person(named: Cast, operator: Client) -> None:
    MemberFactory(
        organization=named.labs, user=UserFactory(email="x@x.example"), external_id="seat-4", actor=named.provider
    )
    assert found(operator, "seat-4") == found(operator, "external:seat-4") == ([], ["x@x.example"])


def test_search__nothing_found__says_what_was_looked_for_and_what_can_be(operator: Client) -> None:
    page = operator.get(PAGE, {"q": "<Nidhögg>"}).content.decode()
    assert "Nothing was found for “&lt;Nidhögg&gt;”." in page and "A person by e-mail address" in page
    assert 'value="&lt;Nidhögg&gt;"' in page


def test_search__more_than_are_shown__leads_to_the_list(cast: Cast, operator: Client) -> None:
    OrganizationFactory.create_batch(finding.MOST + 1, name="Skald & Co", actor=cast.provider)
    page = operator.get(PAGE, {"q": "skald"})
    assert len(page.context["found"].organizations) == finding.MOST
    assert f"{url('accounts_organization_changelist')}?q=skald" in page.content.decode()


def test_search__person_in_many_organizations__a_few_and_a_link_to_all(cast: Cast, operator: Client) -> None:
    for each in OrganizationFactory.create_batch(4, actor=cast.provider):
        MemberFactory(organization=each, user=cast.member, actor=cast.provider)
    (person,) = operator.get(PAGE, {"q": cast.member.email}).context["found"].people
    assert len(person.memberships) == 3 and person.more


def test_suggestions__while_typing__links_and_their_number_without_the_frame(named: Cast, operator: Client) -> None:
    page = operator.get(PAGE, {"q": "kvas"}, HTTP_HX_REQUEST="true").content.decode()
    assert "2 suggestions" in page and url("accounts_organization_change", named.labs.pk) in page
    assert "<html" not in page
    none = operator.get(PAGE, {"q": "nobody"}, HTTP_HX_REQUEST="true").content.decode()
    assert "Nothing begins with or is called “nobody”." in none and "0 suggestions" in none


@pytest.mark.parametrize("who", ["owner", "admin", "auditor", "member", "outsider"])
def test_search__by_customers__refused(cast: Cast, client: Client, who: str) -> None:
    person: User = getattr(cast, who)
    client.force_login(person)
    assert client.get(PAGE, {"q": "kvasir"}).status_code == 403
    with pytest.raises(Forbidden):
        finding.find("kvasir", Actor.from_user(person))
    assert "finder" not in client.get("/settings/data-controls/").content.decode()


def test_search__box__in_the_head_of_operators_pages(cast: Cast, operator: Client) -> None:
    for path in ("/admin/", url("accounts_organization_change", cast.labs.pk), f"/o/{cast.labs.pk}/"):
        assert f'action="{PAGE}"' in operator.get(path).content.decode()


def test_search__worker_far_behind__says_so(operator: Client, monkeypatch: Any) -> None:
    assert "still reading names" not in operator.get(PAGE, {"q": "x"}).content.decode()
    from consent.admin import search

    monkeypatch.setattr(search, "_BEHIND", -1)
    assert "still reading names" in operator.get(PAGE, {"q": "x"}).content.decode()


def test_search__numbers_of_queries__fixed(named: Cast, operator: Client, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(40):
        operator.get(PAGE, {"q": "dag"})
