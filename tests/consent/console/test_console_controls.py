"""Data & Account Controls: each person's own choice, and nobody else's."""

import pytest
from django.urls import reverse

from accounts.models import Member
from consent.models import ConsentEvent, PrivacySetting
from consent.services import members, organizations
from tests.support.cast import Cast
from tests.support.console import CONTROLS, events, opted_out_by_owner, signed_in
from tests.support.factories import MemberFactory

pytestmark = pytest.mark.django_db


def data_sharing(member: Member) -> str:
    return reverse("console:data-sharing", args=[member.pk])


def own_choice(member: Member) -> str:
    found = PrivacySetting.objects.of_members().filter(member=member).first()
    return str(found.choice) if found else "default"


def test_data_controls__own_membership__opts_out_and_in_again(cast: Cast) -> None:
    client, before = signed_in(cast, "member"), events()
    assert client.post(data_sharing(cast.labs_member), {"choice": "opted_out"})["Location"].startswith(CONTROLS)
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.source, event.member_id) == ("choice.opted_out", "data_controls", cast.labs_member.pk)
    asked = client.post(data_sharing(cast.labs_member), {"choice": "opted_in", "version": 1})
    assert asked.status_code == 200 and own_choice(cast.labs_member) == "opted_out"
    data = {"choice": "opted_in", "version": 1, "confirmed": "yes"}
    assert client.post(data_sharing(cast.labs_member), data).status_code == 302
    assert own_choice(cast.labs_member) == "opted_in" and events() == before + 2


@pytest.mark.parametrize("role", ["owner", "auditor", "operator", "outsider"])
def test_data_controls__somebody_elses_membership__not_found(cast: Cast, role: str) -> None:
    before = events()
    assert signed_in(cast, role).post(data_sharing(cast.labs_member), {"choice": "opted_out"}).status_code == 404
    assert events() == before


def test_data_controls__auditor__decides_for_themselves(cast: Cast) -> None:
    own = Member.objects.get(user=cast.auditor)
    assert signed_in(cast, "auditor").post(data_sharing(own), {"choice": "opted_out"}).status_code == 302
    assert own_choice(own) == "opted_out"


def test_data_controls__organization_opted_out__says_so_and_keeps_out(cast: Cast) -> None:
    opted_out_by_owner(cast)
    client = signed_in(cast, "member")
    page = client.get(CONTROLS).content.decode()
    assert "Your organization Kvasir Labs has opted out, so your data is not used." in page
    assert "Keep my data out even if that changes" in page and " checked" not in page
    client.post(data_sharing(cast.labs_member), {"choice": "opted_out"})
    assert own_choice(cast.labs_member) == "opted_out"


def test_data_controls__has_left__may_only_opt_out(cast: Cast) -> None:
    members.remove_member(member=cast.labs_member, actor=cast.provider, source="admin")
    client, before = signed_in(cast, "member"), events()
    page = client.get(CONTROLS).content.decode()
    assert "You have left Kvasir Labs" in page and "Opt out for good" in page
    assert "What was collected before you left may still be used" in page
    data = {"choice": "opted_in", "confirmed": "yes", "version": 0}
    assert client.post(data_sharing(cast.labs_member), data).status_code == 409
    assert events() == before
    assert client.post(data_sharing(cast.labs_member), {"choice": "opted_out"}).status_code == 302
    assert own_choice(cast.labs_member) == "opted_out"


def test_opt_out_everywhere__several_memberships__one_event_each(cast: Cast) -> None:
    other = MemberFactory(organization=cast.brage, user=cast.member, actor=cast.provider)
    client, before = signed_in(cast, "member"), events()
    for _ in range(2):
        assert client.post(reverse("console:opt-out-everywhere")).status_code == 302
    assert (own_choice(cast.labs_member), own_choice(other)) == ("opted_out", "opted_out")
    assert events() == before + 2


def test_data_controls__more_memberships__as_many_queries(cast: Cast, django_assert_max_num_queries) -> None:
    for n in range(6):
        made = organizations.create_organization(
            draft=organizations.OrganizationDraft(name=f"Team {n}"), actor=cast.provider, source="admin"
        )
        MemberFactory(organization=made, user=cast.member, actor=cast.provider)
    client = signed_in(cast, "member")
    with django_assert_max_num_queries(30):
        assert client.get(CONTROLS).content.decode().count("data-switch") == 7
