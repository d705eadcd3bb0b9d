"""The members' list: searched by words of names and addresses, sorted by name, page by page."""

import pytest
from django.test import Client

from consent.console import paging
from consent.services import members
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, UserFactory

pytestmark = pytest.mark.django_db
NAMES = {
    "emile@kvasir.example": "Émile Zola", "zoe@kvasir.example": "Zoë Żółw", "eva@kvasir.example": "eva bråten",
    "anon_7@kvasir.example": "",
}  # fmt: skip


@pytest.fixture
def owner(cast: Cast, client: Client) -> Client:
    for email, name in NAMES.items():
        MemberFactory(organization=cast.labs, user=UserFactory(email=email, name=name), actor=cast.provider)
    client.force_login(cast.owner)
    return client


def listed(owner: Client, cast: Cast, query: str) -> list[str]:
    page = owner.get(f"/o/{cast.labs.pk}/members/{query}")
    assert page.status_code == 200
    return [str(member.user) for member in page.context["page"].rows]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("emile", ["Émile Zola"]),
        ("ÉMILE zol", ["Émile Zola"]),
        ("zolw", ["Zoë Żółw"]),
        ("BRATEN", ["eva bråten"]),
        ("kvasir anon", ["anon_7@kvasir.example"]),
        ("anon_7@kvasir.example", ["anon_7@kvasir.example"]),
        ("%", []),
        ("nidhögg", []),
        ("emile bråten", []),
    ],
)
def test_members__searched__by_any_word_of_name_or_address(
    cast: Cast, owner: Client, text: str, names: list[str]
) -> None:
    assert listed(owner, cast, f"?q={text.replace('%', '%25')}") == names


def test_members__nobody_found__says_what_was_looked_for(cast: Cast, owner: Client) -> None:
    page = owner.get(f"/o/{cast.labs.pk}/members/", {"q": "<nidhögg>", "sort": "name"}).content.decode()
    assert "No member has “&lt;nidhögg&gt;” in their name or e-mail address." in page and 'href="?sort=name"' in page


def test_members__by_name__every_one_once_page_by_page(
    cast: Cast, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = listed(owner, cast, "?sort=name")
    assert (every[0], every[-1]) == ("Ada Lindqvist", "Zoë Żółw")
    folded = [name for name in every if name in ("anon_7@kvasir.example", "Émile Zola", "eva bråten", "Zoë Żółw")]
    assert folded == ["anon_7@kvasir.example", "Émile Zola", "eva bråten", "Zoë Żółw"]
    monkeypatch.setattr(paging, "ROWS", 2)
    found, query = [], "?sort=name&q=kvasir"
    while query:
        page = owner.get(f"/o/{cast.labs.pk}/members/{query}").context["page"]
        found += [str(member.user) for member in page.rows]
        query = page.next_url
        assert not query or "q=kvasir" in query
    assert found == every


def test_members__last_one_seen_has_left__the_next_page_goes_on(
    cast: Cast, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = listed(owner, cast, "?sort=name")
    monkeypatch.setattr(paging, "ROWS", 3)
    page = owner.get(f"/o/{cast.labs.pk}/members/?sort=name").context["page"]
    members.remove_member(member=page.rows[-1], actor=cast.provider, source="admin")
    assert listed(owner, cast, page.next_url) == every[3:6]


def test_members__a_role_is_changed__the_filter_stays(cast: Cast, owner: Client) -> None:
    form = {"do": "role", "member": str(cast.labs_member.pk), "role": "member"}
    answer = owner.post(f"/o/{cast.labs.pk}/members/?q=dag&sort=name", form)
    assert answer.headers["Location"] == f"/o/{cast.labs.pk}/members/?q=dag&sort=name"


def test_members__nonsense_in_the_url__the_whole_list(cast: Cast, owner: Client) -> None:
    assert len(listed(owner, cast, "?sort=age&after=x")) == cast.labs.members.active().count()


def test_members__searched__say_nothing_of_what_others_chose(cast: Cast, owner: Client) -> None:
    assert listed(owner, cast, "?q=opted_out") == []
