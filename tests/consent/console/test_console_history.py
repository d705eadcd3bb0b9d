"""History and members: what an organization's people may see, and what remains private to its members."""

import pytest

from accounts.access import Actor
from consent.services import choices, organizations
from consent.surfaces import LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member
from tests.support.console import opted_out_by_owner, signed_in, url
from tests.support.factories import MemberFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_history__newest_first_without_members_own_choices(cast: Cast) -> None:
    opted_out_by_owner(cast)
    opt_out_as_member(cast)
    for role in ("owner", "operator"):
        page = signed_in(cast, role).get(url(cast, "history")).content.decode()
        assert "Le Chat: No choice yet → <b>Opted out</b>" in page
        assert "Data &amp; Account Controls</td>" not in page
        assert page.index("Opted out</b>") < page.index("Organization created: <b>Team</b>")


def test_history__filters_in_the_url(cast: Cast) -> None:
    opted_out_by_owner(cast)
    client = signed_in(cast, "owner")
    page = client.get(url(cast, "history"), {"product": "le_chat", "kind": "choice.opted_out"}).content.decode()
    assert page.count('class="what"') == 1
    nothing = client.get(url(cast, "history"), {"kind": "lock.placed"}).content.decode()
    assert "Nothing matches these filters." in nothing
    bad = client.get(url(cast, "history"), {"kind": "lock.broken"})
    assert bad.status_code == 400 and "lock.broken is not one of the available choices" in bad.content.decode()


def test_history__many_events__paged_by_key(cast: Cast) -> None:
    for n in range(60):
        organizations.update_organization(
            organization=cast.labs, country=("FR", "SE")[n % 2], actor=cast.provider, source="admin"
        )
    client = signed_in(cast, "owner")
    first = client.get(url(cast, "history"))
    assert first.content.decode().count('class="what"') == 50
    second = client.get(url(cast, "history") + first.context["page"].next_url)
    assert second.context["page"].next_url == ""
    rows = [row.at for row in (*first.context["page"].rows, *second.context["page"].rows)]
    assert rows == sorted(rows, reverse=True) and len(set(rows)) >= 60


@pytest.mark.thorough
@pytest.mark.parametrize("opted_out", [0, 1, 6])
def test_members__how_many_opted_out__told_to_operators_alone(cast: Cast, opted_out: int) -> None:
    for n in range(6):
        person = UserFactory(email=f"m{n}@kvasir.example", name=f"Member {n}")
        member = MemberFactory(organization=cast.labs, user=person, actor=cast.provider)
        if n < opted_out:
            choices.choose(
                surface=LE_CHAT_MOBILE,
                organization=cast.labs,
                member=member,
                choice="opted_out",
                actor=Actor.from_user(person, confirmed=True),
                source="data_controls",
            )
    words = f"{opted_out} member{'' if opted_out == 1 else 's'} {'has' if opted_out == 1 else 'have'} opted out"
    for role in ("owner", "admin", "auditor"):
        client = signed_in(cast, role)
        for name in ("members", "le-chat", "overview"):
            page = client.get(url(cast, name)).content.decode()
            assert "opted out" not in page.lower()
            assert f">{opted_out}<" not in page
        assert "shown to them alone" in client.get(url(cast, "members")).content.decode()
    assert words in signed_in(cast, "operator").get(url(cast, "members")).content.decode()
